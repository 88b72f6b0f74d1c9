"""Records that survive a restart: one JSON file each, replaced whole."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Store:
    """Records of one kind by name. Every method is atomic; what `get` returns is a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self._records: dict[str, Record] = {p.stem: json.loads(p.read_bytes()) for p in folder.glob("*.json")}

    def add(self, name: str, record: Record) -> bool:
        """False when the name is taken."""
        with self.lock:
            if name in self._records:
                return False
            self._put(name, record)
            return True

    def get(self, name: str) -> Record | None:
        with self.lock:
            found = self._records.get(name)
            return None if found is None else json.loads(json.dumps(found))

    def update(self, name: str, **changes: Any) -> None:
        """A value of None removes the field."""
        with self.lock:
            merged = {**self._records[name], **changes}
            self._put(name, {k: v for k, v in merged.items() if v is not None})

    def remove(self, name: str) -> None:
        with self.lock:
            self._records.pop(name, None)
            (self.folder / f"{name}.json").unlink(missing_ok=True)

    def all(self) -> list[Record]:
        with self.lock:
            return [json.loads(json.dumps(record)) for record in self._records.values()]

    def _put(self, name: str, record: Record) -> None:
        part = self.folder / f"{name}.part"
        part.write_text(json.dumps(record))
        os.replace(part, self.folder / f"{name}.json")
        self._records[name] = record
