"""The ingest function as a process: events as lines on stdin, answers among its log on stdout. Killed by its test.

Leases end at once, so that a test need not wait for them; blocks are small and checkpoints many.
"""

from __future__ import annotations

import json
import sys

from millrace import intake

from functions.ingest.handler import handler
from tests.functions.conftest import CONTEXT

intake.LEASE_S, intake.CHECKPOINT_S, intake._BLOCK_ROWS = 0, 0, 40


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        print("answer", json.dumps(handler(json.loads(line), CONTEXT)), flush=True)


if __name__ == "__main__":
    main()
