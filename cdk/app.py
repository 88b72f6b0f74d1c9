"""`python -m cdk.app [stage]`: App -> Millrace(stage) -> synth. The CDK command line calls it too, with `-c stage=`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from aws_cdk import App

from .bundle import ROOT
from .stack import Millrace
from .stage import Stage, WrongSetting, stage


def build(standing: Stage, outdir: Path | None = None) -> tuple[App, Millrace]:
    """The app before synthesis, for who wants to add checks."""
    app = App(outdir=None if outdir is None else str(outdir), context=_context(), analytics_reporting=False)
    return app, Millrace(app, standing)


def synth(stage_name: str, outdir: Path, check: bool = False) -> Path:
    """Write the assembly of one stage: templates, assets.json and assets. Returns its folder.

    `check`: raise on whatever cdk-nag or our own rules find and nothing explains; 4 s more.
    """
    app, stack = build(stage(stage_name, os.environ), outdir)
    if check:
        from . import checks  # cdk-nag takes a second to load, which the twin need not wait for

        checks.attach(app, stack)
    return Path(app.synth().directory)


def _context() -> dict[str, Any]:
    """The feature flags of cdk.json, which only the CDK command line would read by itself."""
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return context


def main() -> None:
    """The stage is the first argument, or the context `stage` of the CDK command line, or dev."""
    given = json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}"))
    name = sys.argv[1] if len(sys.argv) > 1 else str(given.get("stage", "dev"))
    try:
        print(synth(name, Path(os.environ.get("CDK_OUTDIR", ROOT / "cdk.out")), check=name != "local"))
    except WrongSetting as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
