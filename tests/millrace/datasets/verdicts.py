"""Run as a process of its own: what becomes of each archive in a folder, how long it took, and the memory that it took.

Prints one JSON line for each archive, {"name", "kind", "seconds"}, and last {"rss_bytes"} of this process and of its
decoders. `kind` is None where an archive was taken.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from millrace.datasets.decoding import Decoder
from millrace.datasets.directory import HostileArchive
from millrace.datasets.indexing import Index
from millrace.datasets.layout import NoLayout
from millrace.datasets.looking import Seen, look_at


def verdict(path: Path, decoder: Decoder) -> str | None:
    with path.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        try:
            with Index(read, path.stat().st_size) as index:
                plan, layout = index.plan()
                for items in index.slices(plan, layout):
                    seen = Seen()
                    look_at(items, read, index.directory.offset, decoder.look, seen)
                    if seen.refused:
                        return seen.refused["code"]
        except HostileArchive as hostile:
            return hostile.kind
        except NoLayout:
            return "layout"
    return None


def main() -> None:
    with Decoder() as decoder:
        for path in sorted(Path(sys.argv[1]).iterdir()):
            began = time.perf_counter()
            kind = verdict(path, decoder)
            print(json.dumps({"name": path.name, "kind": kind, "seconds": time.perf_counter() - began}))
    decoders = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(json.dumps({"rss_bytes": max(peak_bytes(), decoders)}))


def peak_bytes() -> int:
    """Of this program alone: what getrusage tells begins with the memory of the process that started it."""
    told = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()
    return int(told[0]) * 1024


if __name__ == "__main__":
    main()
