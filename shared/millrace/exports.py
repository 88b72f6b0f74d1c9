"""A tenant's data points as a file: asked for, written in bounded memory, fetched by an address. AWS: DynamoDB, S3.

An export is an item; its insertion on the table's stream starts the writing, which may run twice: the object's key is
the export's id, so the second writing puts the same rows in the same place. What cannot be written, or not in one
function's time, is `failed` with a sentence; what a dependency had no answer for comes again by the stream. GROUP rows
and one part of the upload are in memory at a time; item and file go after 30 days. Cells of a CSV that a spreadsheet
would take for a formula begin with an apostrophe.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson

from . import parquet
from .artifacts import KEPT_DAYS, Store
from .browsing import Browser, Filters, Row
from .clock import fresh_id, stamp
from .datapoints import Origin, split_of
from .errors import Conflict, Corrupt, MillraceError, NotFound, TooLarge, Unavailable, told
from .table import Item, Table, Write
from .tenants import Kind, Tenant

Format = Literal["jsonl", "csv", "parquet"]
Shape = Literal["pair", "chat", "preference"]
GROUP = 1_000
LINK_S = 900
"""How long the address of a file works."""
_TYPES = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_TEXTS = {
    "pair": ("source", "target"),
    "chat": ("messages",),
    "preference": ("prompt", "chosen", "rejected"),
}
_FACTS: dict[str, parquet.Kind] = {
    "id": "text",
    "origin": "text",
    "split": "text",
    "model_id": "text",
    "created_at": "text",
    "quality": "float",
    "improvement": "float",
    "rating": "int",
}


@dataclass(frozen=True)
class Export:
    id: str
    state: Literal["pending", "ready", "failed"]
    format: Format
    shape: Shape
    filters: Mapping[str, Any]
    created_at: str
    rows: int = 0
    size_bytes: int = 0
    sha256: str = ""
    error: str = ""

    @classmethod
    def from_item(cls, item: Item) -> Export:
        return cls(**{name: item[name] for name in cls.__dataclass_fields__ if name in item})


@dataclass(frozen=True)
class Exports:
    table: Table
    store: Store
    browser: Browser

    def ask(self, tenant: Tenant, format: Format, shape: Shape, filters: Filters) -> Export:
        told = {name: value for name, value in asdict(filters).items() if value is not None}
        export = Export(fresh_id("ex"), "pending", format, shape, told, stamp())
        item = asdict(export) | {"pk": tenant.pk(Kind.EXPORT, export.id), "sk": "body", "expires_at": _gone_at()}
        self.table.put_new(
            item | {"list_pk": tenant.pk(Kind.EXPORT), "list_sk": f"{export.created_at}#{export.id}", "op": export.id}
        )
        return export

    def get(self, tenant: Tenant, id: str) -> Export:
        item = self.table.get(tenant.pk(Kind.EXPORT, id), "body")
        if item is None:
            raise NotFound(f"There is no export {id}.")
        return Export.from_item(item)

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[Export], str | None]:
        items, following = self.table.page(tenant.pk(Kind.EXPORT), limit, cursor)
        return [Export.from_item(item) for item in items], following

    def link(self, tenant: Tenant, export: Export) -> str | None:
        """Where a file that is ready can be fetched, for LINK_S seconds."""
        return self.store.link(_key(tenant, export), LINK_S) if export.state == "ready" else None

    def write(self, tenant: Tenant, id: str, ends_at: float = float("inf")) -> Export:
        """Write the file of an export that is pending, until `ends_at` (seconds since 1970); one that is done is left.

        What goes wrong is raised, and who calls says by `fail` whether it is over.
        """
        export = self.get(tenant, id)
        if export.state != "pending":
            return export
        count = _Count()
        groups = count.through(self._groups(tenant, export, ends_at))
        written = self.store.keeping(KEPT_DAYS[-1]).write(
            _key(tenant, export), encode(export, groups), _TYPES[export.format]
        )
        done = {"state": "ready", "rows": count.rows, "size_bytes": written.size_bytes, "sha256": written.sha256}
        return self._end(tenant, export, done)

    def fail(self, tenant: Tenant, id: str, error: Exception) -> Export:
        """It is over, and the tenant is told why. Unavailable comes back: the stream brings the export again."""
        if isinstance(error, Unavailable):
            raise error
        known = error if isinstance(error, MillraceError) else MillraceError()
        said = str(known) if isinstance(known, Corrupt) else told(known)["detail"]
        return self._end(tenant, self.get(tenant, id), {"state": "failed", "error": said})

    def _end(self, tenant: Tenant, export: Export, values: Mapping[str, Any]) -> Export:
        write = Write("update", tenant.pk(Kind.EXPORT, export.id), "body", values, expect={"state": "pending"})
        try:
            self.table.update(write, op=fresh_id("export-"))
        except Conflict:
            pass  # another writing of the same export was quicker
        return self.get(tenant, export.id)

    def _groups(self, tenant: Tenant, export: Export, ends_at: float) -> Iterator[list[dict[str, Any]]]:
        filters, cursor, group = Filters(**export.filters), None, list[dict[str, Any]]()
        while True:
            if time.time() >= ends_at:
                raise TooLarge("There is more than one export holds; ask for less by since and until, several times.")
            rows, cursor = self.browser.page(tenant, filters, 100, cursor)
            group += [told for row in rows if (told := shaped(row, export.shape)) is not None]
            if len(group) >= GROUP:
                yield group
                group = []
            if cursor is None:
                break
        if group:
            yield group


class _Count:
    rows = 0

    def through(self, groups: Iterator[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
        for group in groups:
            self.rows += len(group)
            yield group


def _gone_at() -> int:
    return int(time.time()) + KEPT_DAYS[-1] * 86_400


def _key(tenant: Tenant, export: Export) -> str:
    return tenant.prefix("exports", f"{export.id}.{export.format}")


def shaped(row: Row, shape: Shape) -> dict[str, Any] | None:
    """A data point as pair, chat or preference; None where it is none, as a preference without a rejected text."""
    point = row.point
    said = [{"role": turn.role, "content": turn.text} for turn in point.context]
    asked = [*said, {"role": "user", "content": point.source}]
    if point.origin is Origin.NEGATIVE:
        return None  # what nobody wanted is nobody's example
    if shape == "preference":
        if point.rejected is None:
            return None
        texts: dict[str, Any] = {"prompt": point.source, "chosen": point.target, "rejected": point.rejected}
    elif shape == "chat":
        texts = {"messages": [*asked, {"role": "assistant", "content": point.target}]}
    else:
        texts = {"source": point.source, "target": point.target}
    if said and shape != "chat":
        texts["context"] = said
    return texts | {
        "id": point.id,
        "origin": str(point.origin),
        "split": split_of(point.source),
        "model_id": point.model_id,
        "created_at": point.created_at,
        "quality": row.assessed.quality if row.assessed else None,
        "improvement": row.assessed.improvement if row.assessed else None,
        "rating": row.state.get("rating"),
    }


def encode(export: Export, groups: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    return _ENCODERS[export.format](export.shape, groups)


def _jsonl(shape: Shape, groups: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    for group in groups:
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in group)


def _csv(shape: Shape, groups: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    names = [*_columns(shape)]
    yield _csv_lines([names])
    for group in groups:
        yield _csv_lines([cell(row.get(name)) for name in names] for row in group)


def _csv_lines(rows: Any) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


def cell(value: Any) -> str:
    """Text of a cell; what a spreadsheet would work out is text to it."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text


def _parquet(shape: Shape, groups: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    return parquet.write(_columns(shape), ([_flat(row) for row in group] for group in groups))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: orjson.dumps(v).decode() if isinstance(v, (list, dict)) else v for k, v in row.items()}


def _columns(shape: Shape) -> dict[str, parquet.Kind]:
    """In order; messages and context are JSON in one column."""
    texts: dict[str, parquet.Kind] = dict.fromkeys(_TEXTS[shape], "text")
    return texts | ({} if shape == "chat" else {"context": "text"}) | _FACTS


_ENCODERS: dict[str, Callable[[Shape, Iterator[list[dict[str, Any]]]], Iterator[bytes]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
}
