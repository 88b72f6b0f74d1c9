"""Entry point of every image: `python -m training_containers.common.main <container> [train] [--root DIR]`.

Looks the hyperparameter `strategy` up in the container's strategy.json, runs its entry (which puts the given values
over its defaults) and turns every way to fail into one sentence in output/failure and exit status 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from millrace import contract
from millrace.errors import InvalidInput, MillraceError

from .job import Job

CONTAINERS = Path(__file__).parent.parent


def strategies(container: str) -> dict[str, dict[str, Any]]:
    """The entries of one container's strategy.json, by strategy name."""
    loaded: dict[str, dict[str, Any]] = json.loads((CONTAINERS / container / "strategy.json").read_text())["strategies"]
    return loaded


def entry(container: str, name: str) -> Callable[[Job], None]:
    """The function that runs strategy `name`: takes the Job, writes model/ and its manifest, returns nothing."""
    known = strategies(container)
    if name not in known:
        raise InvalidInput(f"Container {container} has no strategy {name!r}; it has {', '.join(sorted(known))}.")
    module, _, function = known[name]["entry"].partition(":")
    found: Callable[[Job], None] = getattr(importlib.import_module(module), function)
    return found


def run(container: str, job: Job) -> int:
    """Exit status of the job: 0 only when the manifest is in place."""
    try:
        entry(container, str(job.hyperparameters.get(contract.STRATEGY)))(job)
        if not (job.model / contract.MANIFEST).is_file():
            raise MillraceError("The strategy returned without writing its manifest.")
    except MillraceError as error:
        job.fail(str(error))
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    except Exception as error:
        # The border of the process: whatever happened, the caller gets a sentence and the log the traceback.
        job.fail(_sentence(error))
        traceback.print_exc()
        return 1
    return 0


def _sentence(error: Exception) -> str:
    """What memory was short for begins in one way, whoever ran out of it: Python, torch on a CPU or on a GPU."""
    said = " ".join(str(error).split())
    short = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if short or "can't allocate memory" in said or "not enough memory" in said:
        return f"{contract.OUT_OF_MEMORY} the job needs more memory than the machine has. {said[:300]}".strip()
    return f"{type(error).__name__}: {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("container")
    parser.add_argument("command", nargs="?", default="train", choices=["train", "serve"])
    parser.add_argument("--root", type=Path, default=Path(contract.CONTAINER_ROOT))
    options = parser.parse_args()
    if options.command == "serve":
        importlib.import_module(f"training_containers.{options.container}.server").main(options.root)
        return
    sys.exit(run(options.container, Job(options.root)))


if __name__ == "__main__":
    main()
