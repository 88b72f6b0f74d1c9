"""What the containers of a job said: lines and figures of every attempt, while it runs and after. AWS: DynamoDB.

Chunks come as CloudWatch Logs delivers them, each under the time and id of its first line: delivered twice it is
written twice to the same place, and the order of keys is the order of time. An attempt keeps LINES lines and a sixth of
that many figures; what comes then is counted and dropped, and the log says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .clock import fresh_id
from .errors import InvalidInput
from .jobs import run_key
from .table import Item, Table, Write
from .tenants import Kind, Tenant

if TYPE_CHECKING:
    from .container import Progress

LINES = 30_000
FIGURES = 5_000
LINE_CHARACTERS = 2_000
CHUNK_LINES = 100
CHUNK_CHARACTERS = 60_000
MAX_READ = 40
"""Chunks that one page reads."""
CURVE = 400
"""Points of one figure that are shown."""
_LAST = "~"
_CURSOR = re.compile(r"\d{3,}#log#(\d{13}#[0-9A-Za-z_-]{1,128})?")
_FULL = f"(The log holds {LINES:,} lines; what came after is not kept.)"


@dataclass(frozen=True)
class Line:
    at_ms: int
    """Unix milliseconds."""
    id: str
    """Of the log event: unique and growing."""
    text: str


@dataclass(frozen=True)
class JobLog:
    table: Table

    def add(self, tenant: Tenant, job_id: str, attempt: int, part: str, lines: Sequence[Line]) -> None:
        """Keep these lines of one container, as far as the attempt's bound allows."""
        if not (before := self._counted(tenant, job_id, attempt, {"log_lines": len(lines)})) < LINES:
            return
        kept = list(lines[: LINES - before])
        if len(kept) < len(lines):
            kept[-1] = Line(kept[-1].at_ms, kept[-1].id, _FULL)
        for chunk in _chunks(kept):
            told = [[line.at_ms, line.text[:LINE_CHARACTERS]] for line in chunk]
            self.table.put({**self._key(tenant, job_id, attempt, "log", part, chunk[0]), "part": part, "lines": told})

    def add_figures(
        self, tenant: Tenant, job_id: str, attempt: int, part: str, figures: Sequence[tuple[Line, Progress]]
    ) -> None:
        """Keep these progress lines, each as its figures."""
        if self._counted(tenant, job_id, attempt, {"log_figures": len(figures)}) >= FIGURES:
            return
        for start in range(0, len(figures), CHUNK_LINES):
            chunk = figures[start : start + CHUNK_LINES]
            told = [{"at_ms": line.at_ms, **_flat(progress)} for line, progress in chunk]
            self.table.put(
                {**self._key(tenant, job_id, attempt, "fig", part, chunk[0][0]), "part": part, "figures": told}
            )

    def page(
        self, tenant: Tenant, job_id: str, attempt: int, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str]:
        """Lines in the order of time, whole chunks until there are `limit`, and the cursor of what follows.

        The same cursor again later finds what came meanwhile.
        """
        first = f"{attempt:03}#log#"
        if cursor and not (cursor.startswith(first) and _CURSOR.fullmatch(cursor)):
            raise InvalidInput("That cursor is not one of this attempt's log; begin again without it.")
        following = cursor + _LAST if cursor and cursor != first else first
        lines: list[dict[str, Any]] = []
        cursor = cursor or first
        for item in self.table.between(self._pk(tenant, job_id), following, first + _LAST, MAX_READ):
            lines += [{"at_ms": at, "part": item["part"], "text": text} for at, text in item["lines"]]
            cursor = item["sk"]
            if len(lines) >= limit:
                break
        return lines, cursor

    def figures(self, tenant: Tenant, job_id: str, attempt: int) -> dict[str, list[dict[str, Any]]]:
        """Part -> its figures in the order of time, thinned evenly to CURVE points, the last one always there."""
        first = f"{attempt:03}#fig#"
        found: dict[str, list[dict[str, Any]]] = {}
        for item in self.table.between(self._pk(tenant, job_id), first, first + _LAST, FIGURES):
            found.setdefault(item["part"], []).extend(item["figures"])
        return {part: _thinned(points) for part, points in found.items()}

    def _counted(self, tenant: Tenant, job_id: str, attempt: int, amounts: dict[str, int]) -> int:
        """How many there were before these."""
        ((name, amount),) = amounts.items()
        write = Write("update", tenant.pk(Kind.JOB, job_id), run_key(attempt), {"attempt": attempt}, add=amounts)
        return int(self.table.update(write, op=fresh_id("log-"))[name]) - amount

    @staticmethod
    def _pk(tenant: Tenant, job_id: str) -> str:
        return tenant.pk(Kind.JOB_LOG, job_id)

    def _key(self, tenant: Tenant, job_id: str, attempt: int, kind: str, part: str, first: Line) -> Item:
        return {"pk": self._pk(tenant, job_id), "sk": f"{attempt:03}#{kind}#{first.at_ms:013}#{first.id}-{part}"}


def _chunks(lines: Sequence[Line]) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    size = 0
    for line in lines:
        length = min(len(line.text), LINE_CHARACTERS)
        if chunk and (len(chunk) == CHUNK_LINES or size + length > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += length
    if chunk:
        yield chunk


def _flat(progress: Progress) -> dict[str, Any]:
    """The figures alone, those with a name of their own among the named ones."""
    told = progress.model_dump(exclude={"type", "metrics"}, exclude_none=True)
    return {**progress.metrics, **told}


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(points) <= CURVE:
        return points
    step = (len(points) - 1) / (CURVE - 1)
    return [points[round(n * step)] for n in range(CURVE)]
