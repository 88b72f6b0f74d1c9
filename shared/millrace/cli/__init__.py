"""The `millrace` command. Speaks HTTP to the API and, to drop files, S3; knows nothing of what is behind them."""

from __future__ import annotations


def main() -> None:
    """typer and rich are of the developer's environment: no function needs them, so nothing here imports them."""
    from .app import app

    app()
