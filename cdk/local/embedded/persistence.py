"""What the embedded AWS holds survives kill -9: tables by a journal, the rest by saving what changed every second.

The journal holds after-images (table, key, item or null), so replaying a line twice is harmless and a snapshot may
be taken at any moment. A journal is started before its snapshot and the older ones are dropped after it.
Events of objects that were written in the last minute before the stop are sent again: delivery is at least once.
"""

from __future__ import annotations

import contextvars
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

SNAPSHOT_BYTES = 8 * 1024 * 1024
"""A journal of this size is folded into a snapshot."""
RESEND_S = 60.0
SHARE = 0.05
"""Of a core that saving may cost: a service that took t seconds to save rests for t / SHARE."""
_group: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("group", default=None)


class Journal:
    """Append-only after-images of items, one line a write; the lines of one request are one write to the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._number = max([0, *(_number(p) for p in self.parts())])
        self._file = self._open()

    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("dynamodb.journal.*"), key=_number)

    def append(self, table: dict[str, Any], pk: str, sk: str, item: Any) -> None:
        line = json.dumps([table["TableArn"], pk, sk, item])
        group = _group.get()
        if group is None:
            self._write([line])
        else:
            group.append(line)

    @contextmanager
    def request(self) -> Iterator[None]:
        """All or nothing: a transaction is never half in the journal."""
        lines: list[str] = []
        token = _group.set(lines)
        try:
            yield
        finally:
            _group.reset(token)
            self._write(lines)

    def size_bytes(self) -> int:
        return int(self._file.tell())

    def rotate(self) -> list[Path]:
        """Start a new part; the ones before it, to be dropped once a snapshot holds them."""
        with self._lock:
            old = self.parts()
            self._file.close()
            self._number += 1
            self._file = self._open()
        return old

    def replay(self, apply: Callable[[str, str, str, Any], None]) -> int:
        count = 0
        for part in self.parts():
            for line in part.read_text().splitlines():
                try:
                    entries = json.loads(line)
                except json.JSONDecodeError:  # the last line of a killed process
                    break
                for entry in entries:
                    apply(*entry)
                    count += 1
        return count

    def _write(self, lines: list[str]) -> None:
        if lines:
            with self._lock:
                self._file.write("[" + ",".join(lines) + "]\n")
                self._file.flush()

    def _open(self) -> Any:
        return (self.folder / f"dynamodb.journal.{self._number}").open("a")


def _number(path: Path) -> int:
    return int(path.suffix[1:])


def install(save_s: float) -> Saver:
    """Hook into ministack before it starts: load -> replay -> save from then on."""
    from ministack import app
    from ministack.services import dynamodb

    state = Path(os.environ["STATE_DIR"])
    state.mkdir(parents=True, exist_ok=True)
    journal = Journal(state)
    saver = Saver(app, state, journal, save_s)
    load = app._load_persisted_state

    def load_and_go_on() -> None:
        load()
        _replay(dynamodb, journal)
        _write_down_items(dynamodb, journal)
        saver.start()

    app._load_persisted_state = load_and_go_on
    return saver


def _replay(dynamodb: Any, journal: Journal) -> None:
    def apply(arn: str, pk: str, sk: str, item: Any) -> None:
        _, _, _, region, account, name = arn.split(":", 5)
        table = dynamodb._tables.get_scoped(account, region, name.removeprefix("table/"))
        if table is None:
            return
        if item is None:
            dynamodb._remove_item(table, pk, sk)
        else:
            dynamodb._set_item(table, pk, sk, item)

    journal.replay(apply)


def _write_down_items(dynamodb: Any, journal: Journal) -> None:
    set_item, remove_item, handle = dynamodb._set_item, dynamodb._remove_item, dynamodb.handle_request

    def set_and_note(table: dict[str, Any], pk: str, sk: str, item: Any) -> Any:
        old = set_item(table, pk, sk, item)
        journal.append(table, pk, sk, item)
        return old

    def remove_and_note(table: dict[str, Any], pk: str, sk: str) -> Any:
        old = remove_item(table, pk, sk)
        journal.append(table, pk, sk, None)
        return old

    async def handle_as_one(*args: Any) -> Any:
        with journal.request():
            return await handle(*args)

    dynamodb._set_item, dynamodb._remove_item = set_and_note, remove_and_note
    dynamodb.handle_request = handle_as_one


class Saver:
    """A thread that writes down what changed."""

    def __init__(self, app: Any, state: Path, journal: Journal, every_s: float) -> None:
        self.app = app
        self.state = state
        self.journal = journal
        self.every_s = every_s
        self._seen: dict[str, str] = {}
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def alive(self) -> Path:
        return self.state / "saved"

    def start(self) -> None:
        since = self.alive.stat().st_mtime - RESEND_S if self.alive.exists() else None
        threading.Thread(target=self._run, args=(since,), daemon=True, name="saver").start()

    def _run(self, since: float | None) -> None:
        if since is not None:
            resend(since)
        while True:
            with self._lock:
                self.save()
            self.alive.touch()
            time.sleep(self.every_s)

    def save_now(self) -> None:
        """Everything that changed, rested or not."""
        with self._lock:
            self._due.clear()
            self.save()

    def save(self) -> None:
        for name, get_state in self.app._build_persistence_save_dict().items():
            began = time.monotonic()
            if self._due.get(name, 0.0) > began:
                continue
            try:
                {"dynamodb": self._tables, "lambda": self._lambda}.get(name, self._plain)(name, get_state)
            except RuntimeError:  # it changed while it was copied; the next round gets it
                continue
            self._due[name] = began + (time.monotonic() - began) / SHARE

    def _plain(self, name: str, get_state: Callable[[], Any]) -> None:
        state = get_state()
        if state is None:
            return
        text = json.dumps(state, default=_json_default())
        self._if_changed(name, text, lambda: _save(name, state))

    def _tables(self, name: str, get_state: Callable[[], Any]) -> None:
        """The definitions of tables when they change; items only when the journal has grown."""
        from ministack.services import dynamodb

        left_out = {"items", "ItemCount", "TableSizeBytes", dynamodb._INDEX_MEMBERS}
        shapes = [
            {k: v for k, v in table.items() if k not in left_out} for table in list(dynamodb._tables._data.values())
        ]
        others = [list(getattr(dynamodb, s)._data.items()) for s in ("_ttl_settings", "_pitr_settings", "_tags")]
        grown = self.journal.size_bytes() > SNAPSHOT_BYTES
        self._if_changed(name, repr((shapes, others, grown)), lambda: self._snapshot(name, get_state))

    def _snapshot(self, name: str, get_state: Callable[[], Any]) -> None:
        old = self.journal.rotate()
        _save(name, get_state())
        for part in old:
            part.unlink()

    def _lambda(self, name: str, get_state: Callable[[], Any]) -> None:
        """Hashing every asset is dear: only when a function or a mapping was changed."""
        from ministack.services import lambda_svc

        functions = [(k, f.get("config")) for k, f in list(lambda_svc._functions._data.items())]
        mappings = [
            {k: v for k, v in mapping.items() if not k.startswith("Last")} for mapping in lambda_svc._esms.all_values()
        ]
        self._if_changed(name, repr((functions, mappings)), lambda: _save(name, get_state()))

    def _if_changed(self, name: str, text: str, save: Callable[[], None]) -> None:
        seen = hashlib.sha256(text.encode()).hexdigest()
        if self._seen.get(name) != seen:
            save()
            self._seen[name] = seen


def _json_default() -> Any:
    from ministack.core import persistence

    return persistence._json_default


def _save(name: str, state: Any) -> None:
    from ministack.core import persistence

    persistence.save_state(name, state)


def resend(since: float) -> None:
    """Tell again of every object written after `since` (seconds since 1970) in a bucket that speaks to EventBridge."""
    from ministack.core.responses import set_request_account_id, set_request_region
    from ministack.services import s3

    for (account, name), bucket in list(s3._buckets._data.items()):
        set_request_account_id(account)
        set_request_region(bucket.get("region") or os.environ.get("MINISTACK_REGION", "us-east-1"))
        for key, found in list(bucket["objects"].items()):
            if _epoch(found.get("last_modified", "")) >= since and not found.get("is_delete_marker"):
                s3._fire_s3_event(
                    name,
                    key,
                    "s3:ObjectCreated:Put",
                    size=found.get("size", 0),
                    etag=found.get("etag", ""),
                    version_id=found.get("version_id"),
                )


def _epoch(text: str) -> float:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
