"""Where foreign code is called and its errors become ours, once for every provider.

What a provider wrote in an error is never repeated: it may quote the key or the text. Only its HTTP status and its
machine-readable code are, and the foreign error is not chained, so that no traceback can print it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

import orjson

from .. import wire
from ..catalogue import Entry
from ..errors import Declined, MillraceError, ProviderRefused, Throttled, Unavailable
from . import Completion, Health

T = TypeVar("T")
MAX_RETRY_AFTER_S = 3600.0

_CODE = re.compile(r"[A-Za-z][A-Za-z_.-]{2,47}")
"""No digits: a key never fits."""
_NO_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error"}
_BAD_KEY = {"invalid_api_key", "authentication_error", "api_key_invalid", "permission_error", "account_deactivated"}
_FILTERED = {"content_filter", "content_policy_violation", "refusal"}


class Refused(Exception):
    """An HTTP status of 300 and more, with what else tells what it means."""

    def __init__(self, reply: wire.Reply) -> None:
        self.status_code, self.response = reply.status, reply
        try:
            self.body: Any = orjson.loads(reply.content)
        except orjson.JSONDecodeError:
            self.body = None


def call(entry: Entry, timeout_s: float, work: Callable[[], T]) -> T:
    """What `work` returns, before the deadline, or one of our errors."""
    try:
        with wire.until(time.monotonic() + timeout_s):
            return work()
    except MillraceError:
        raise
    except Exception as error:  # an SDK that is fed garbage raises whatever its parser trips over
        ours = translated(entry, error, timeout_s)
    raise ours


class Reading(Protocol):
    """What of a stream is text, and what it amounts to in the end."""

    def take(self, event: Any) -> str: ...

    def whole(self) -> Completion: ...


def flow(
    entry: Entry, timeout_s: float, begin: Callable[[], Iterable[Any]], reading: Reading
) -> Iterator[str | Completion]:
    """The pieces of a stream, then the whole, all before the deadline; the stream is closed whatever happens."""
    deadline = time.monotonic() + timeout_s
    source = call(entry, timeout_s, begin)
    pieces = wire.stepped(map(reading.take, source), deadline)
    try:
        while True:
            try:
                piece = next(pieces, None)
            except MillraceError:
                raise
            except Exception as error:  # as above
                ours = translated(entry, error, timeout_s)
                break
            if piece is None:
                yield call(entry, timeout_s, reading.whole)
                return
            if piece:
                yield piece
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
    raise ours


def probe(entry: Entry, timeout_s: float, work: Callable[[], str]) -> Health:
    """`work` returns what it found, or raises."""
    began = time.monotonic()
    try:
        ok, text = True, call(entry, timeout_s, work)
    except MillraceError as error:
        ok, text = False, str(error)
    return Health(ok, text, round((time.monotonic() - began) * 1000, 1))


def translated(entry: Entry, error: BaseException, timeout_s: float) -> MillraceError:
    """Our error for a foreign one."""
    chain = list(_chain(error))
    if walled := next((e for e in chain if isinstance(e, wire.Walled)), None):
        return ProviderRefused(f"{entry.id} cannot be reached: {walled}")
    status = _status(error)
    if status:
        return of_status(entry, status, _codes(error), _retry_after_s(error))
    if any(isinstance(e, TimeoutError) or "Timeout" in type(e).__name__ for e in chain):
        return Unavailable(f"{entry.id} did not answer within {timeout_s:.1f} s.")
    if any(isinstance(e, wire.Oversized) for e in chain):
        return Unavailable(f"{entry.id} answered more than can be meant.")
    if any("Connect" in type(e).__name__ or isinstance(e, OSError) for e in chain):
        return Unavailable(f"{entry.id} could not be reached ({type(chain[-1]).__name__}).")
    if codes := _codes(error):
        return of_status(entry, 0, codes, None)
    return Unavailable(f"{entry.id} broke off or answered something that is not a completion ({type(error).__name__}).")


def of_status(entry: Entry, status: int, codes: set[str], retry_after_s: float | None = None) -> MillraceError:
    """Our error for what a provider says. `status` 0: an error inside a reply that claimed success."""
    lower = {code.lower() for code in codes}
    said = f"({', '.join(filter(None, [str(status or ''), *sorted(codes)]))})"
    if lower & _NO_QUOTA or status == 402:
        return ProviderRefused(f"{entry.provider} refused {entry.id}: its quota or credit is used up {said}.")
    if lower & _BAD_KEY or status in (401, 403):
        return ProviderRefused(f"{entry.provider} refused {entry.id}: its key is wrong or lacks the right {said}.")
    if status == 404:
        return ProviderRefused(f"{entry.provider} has no model {entry.wire_name} {said}.")
    if lower & _FILTERED:
        return Declined(f"{entry.id} declined the text {said}.")
    if status in (429, 529) or lower & {"rate_limit_exceeded", "rate_limit_error", "overloaded_error"}:
        return Throttled(f"{entry.id} asks to be called less often {said}.", retry_after_s)
    if status in (400, 413, 415, 422):
        return Declined(f"{entry.id} does not take this request {said}.")
    if 300 <= status < 400:
        return Unavailable(f"{entry.id} answered with a redirect, which is not followed {said}.")
    return Unavailable(f"{entry.id} failed {said}.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int:
    for name in ("status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 300 <= value < 600:
            return value
    return 0


def _codes(error: BaseException) -> set[str]:
    """Machine-readable words of the error's body."""
    return codes_in(getattr(error, "body", None) or getattr(error, "details", None))


def codes_in(body: Any, depth: int = 4) -> set[str]:
    found: set[str] = set()
    if depth and isinstance(body, dict):
        for name in ("code", "type", "status", "reason"):
            value = body.get(name)
            if isinstance(value, str) and _CODE.fullmatch(value) and value != "error":
                found.add(value)
        for name in ("error", "details"):
            found |= codes_in(body.get(name), depth - 1)
    elif depth and isinstance(body, list):
        for part in body[:8]:
            found |= codes_in(part, depth - 1)
    return found


def _retry_after_s(error: BaseException) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return retry_after_s(headers.get("retry-after-ms"), headers.get("retry-after"), getattr(error, "details", None))


def retry_after_s(ms: str | None, told: str | None, details: Any = None) -> float | None:
    """Seconds to wait: OpenAI's milliseconds, HTTP's seconds or date, or Google's RetryInfo. None where untold."""
    wait = _number(ms, 0.001) if ms else None
    if wait is None and told:
        wait = _number(told, 1.0)
        if wait is None:
            try:
                wait = parsedate_to_datetime(told).timestamp() - time.time()
            except ValueError:
                wait = None
    if wait is None:
        wait = _retry_info(details)
    return None if wait is None else min(max(wait, 0.0), MAX_RETRY_AFTER_S)


def _retry_info(details: Any) -> float | None:
    error = details.get("error", details) if isinstance(details, dict) else {}
    parts = error.get("details") if isinstance(error, dict) else None
    for part in parts if isinstance(parts, list) else []:
        delay = part.get("retryDelay") if isinstance(part, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1], 1.0)
    return None


def _number(text: str, unit: float) -> float | None:
    try:
        value = float(text) * unit
    except ValueError:
        return None
    return value if value == value and value != float("inf") else None
