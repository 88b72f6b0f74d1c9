"""What a call cost, from its real token counts. Pure: row, counts and time in; genai-prices is data of the package.

The price list knows bands of context, cached tokens and dates; where it does not know the model, or the row pins its
price, the row's own prices hold. Every charge says which, and of what version, so that it can be computed again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from .catalogue import Entry
from .providers import PROVIDERS, Completion


@dataclass(frozen=True)
class Charge:
    cost_usd: float
    basis: str
    """`genai-prices <version>` or `catalogue`."""
    estimated: bool = False
    """The counts are not the provider's own."""


_last: list[tuple[Entry, Completion, Charge]] = []
"""The budget, the router and the answer each ask for the price of one call, one after the other."""


def charge(entry: Entry, completion: Completion, at: datetime | None = None) -> Charge:
    """Cost of one completion at a time, now where none is given."""
    if at is not None:
        return _charge(entry, completion, at)
    for known, told, found in _last:
        if known is entry and told is completion:
            return found
    found = _charge(entry, completion, datetime.now(UTC))
    _last[:] = [(entry, completion, found)]
    return found


def _charge(entry: Entry, completion: Completion, at: datetime) -> Charge:
    estimated = bool(completion.flags)
    listed = _listed(entry, completion, at.replace(second=0, microsecond=0))  # prices change by the day
    if listed is not None:
        return Charge(listed, f"genai-prices {_version()}", estimated)
    return Charge(entry.cost_usd(completion.input_tokens, completion.output_tokens), "catalogue", estimated)


def forecast_usd(entry: Entry, input_tokens: int, output_tokens: int) -> float:
    """For choosing and reserving, before the call: from the row alone, so that it costs nothing to ask."""
    return entry.cost_usd(input_tokens, output_tokens)


def warm() -> None:
    """Load the price list beside a call that waits for its provider anyway."""
    threading.Thread(target=_version, daemon=True).start()


def _listed(entry: Entry, completion: Completion, at: datetime) -> float | None:
    spec = PROVIDERS.get(entry.provider)
    price_list = spec.price_list if spec else None
    if entry.pinned_price or price_list is None:
        return None
    counts = (completion.input_tokens, completion.output_tokens, completion.cached_tokens)
    return _calculated(price_list, entry.wire_name, counts, at)


@lru_cache(maxsize=256)
def _calculated(price_list: str, model: str, counts: tuple[int, int, int], at: datetime) -> float | None:
    from genai_prices import Usage, calc_price  # 0.3 s of CPU, once

    usage: Any = Usage(input_tokens=counts[0], output_tokens=counts[1], cache_read_tokens=counts[2] or None)
    try:
        found = calc_price(usage, model, provider_id=price_list, genai_request_timestamp=at)
        return float(found.total_price)
    except (LookupError, ValueError):
        return None


@cache
def _version() -> str:
    from genai_prices import __version__

    return __version__
