"""Where the API is and who calls: options, then the environment, then what the local twin wrote down."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidInput

RECORD = Path(".millrace/twin.json")
TWIN_TENANT = "demo"


@dataclass(frozen=True)
class Where:
    api: str
    key: str | None = None
    tenant: str | None = None
    """Whose drop folder; the API does not need to be told."""
    aws_endpoint: str | None = None
    """None: AWS itself."""
    region: str | None = None


def find(
    api: str | None = None,
    key: str | None = None,
    tenant: str | None = None,
    env: Mapping[str, str] | None = None,
    start: Path | None = None,
) -> Where:
    """InvalidInput where nothing says which API is meant. The twin's key goes to the twin alone."""
    env = os.environ if env is None else env
    twin = _twin(env, start or Path.cwd())
    url = api or env.get("MILLRACE_API") or twin.get("api_url")
    if not url:
        raise InvalidInput("No API is known: start the twin with `make up`, or name one with --api or MILLRACE_API.")
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"The API's address begins with http:// or https://, not {url!r}.")
    here = twin if url.rstrip("/") == str(twin.get("api_url", "")).rstrip("/") else {}
    return Where(
        api=url.rstrip("/"),
        key=key or env.get("MILLRACE_KEY") or here.get("demo_key"),
        tenant=tenant or env.get("MILLRACE_TENANT") or (here.get("tenant", TWIN_TENANT) if here else None),
        aws_endpoint=env.get("AWS_ENDPOINT_URL") or here.get("aws_endpoint"),
        region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or here.get("region"),
    )


def _twin(env: Mapping[str, str], start: Path) -> dict[str, Any]:
    """What the twin wrote down: in MILLRACE_HOME, or in .millrace of this folder or one above it."""
    home = env.get("MILLRACE_HOME")
    candidates = [Path(home) / RECORD.name] if home else [folder / RECORD for folder in (start, *start.parents)]
    for path in candidates:
        try:
            told = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        return told if isinstance(told, dict) else {}
    return {}
