"""Every error that a caller treats differently, one class each.

The gateway maps class -> HTTP status once; the state machines retry by the names in `RETRYABLE`
(Step Functions matches exact class names, never a base class).
"""

from __future__ import annotations

from typing import Any, ClassVar


class MillraceError(Exception):
    """Base. The message is one sentence that a person understands, with the values in it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"


class InvalidInput(MillraceError):
    """The caller sent something that can never work; the sentence says what to send instead."""

    status = 422
    code = "invalid-input"


class NotFound(MillraceError):
    """Nothing of that id for this tenant; a foreign tenant's id looks the same."""

    status = 404
    code = "not-found"


class Conflict(MillraceError):
    """The thing is in a state that forbids this, or somebody else changed it first."""

    status = 409
    code = "conflict"


class TooLarge(MillraceError):
    """The input is over a stated limit."""

    status = 413
    code = "too-large"


class Forbidden(MillraceError):
    """Known caller, not allowed: tier, role or quota."""

    status = 403
    code = "forbidden"


class OverBudget(Forbidden):
    """The day's budget has no room for this call; tomorrow it has, or after an operator raised it."""

    status = 429
    code = "insufficient_quota"


class Unfaithful(MillraceError):
    """A rewrite by the model that was asked for failed verification; carries the draft and what it broke."""

    status = 422
    code = "unfaithful"

    def __init__(self, message: str, draft: str, violations: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.draft = draft
        self.violations = violations


class Unavailable(MillraceError):
    """A dependency did not answer in time or said no for now; trying again later may work."""

    status = 503
    code = "unavailable"


class Throttled(Unavailable):
    """A dependency asks to be called less often; `retry_after_s` is its own wish, where it told one."""

    status = 503
    code = "throttled"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderRefused(Unavailable):
    """A provider will not work until a person mends it: no key, a wrong one, no quota, no such model.

    Another route may answer; the same one again will not, so this is never retried and is left alone for long.
    """

    status = 503
    code = "provider-refused"


class LeftAlone(Unavailable):
    """A model that failed too often lately is not called; the sentence says until when."""

    status = 503
    code = "left-alone"


class Declined(Unavailable):
    """This model does not take this request: filtered, too long, malformed for it. Another model may.

    Says nothing about the model's health, so no breaker counts it.
    """

    status = 422
    code = "declined"


class Abandoned(Declined):
    """Nobody waits for this answer any more; the call was left, and may be billed all the same."""

    status = 503
    code = "abandoned"


class TrainingFailed(MillraceError):
    """A container ended without a complete result; the sentence is the container's own."""

    code = "training-failed"


class DeploymentFailed(MillraceError):
    """An endpoint did not come up; the sentence is SageMaker's."""

    code = "deployment-failed"


class Corrupt(MillraceError):
    """Bytes do not have the hash, shape or manifest that they claim."""

    code = "corrupt"


def told(error: MillraceError) -> dict[str, Any]:
    """RFC 9457: what a caller hears of an error; what is our fault keeps its details to itself."""
    title = (type(error).__doc__ or type(error).__name__).split(";")[0].split(".")[0]
    detail = str(error)
    if error.status >= 500 and not isinstance(error, Unavailable):
        title, detail = "Internal error", "Something went wrong on our side; it is logged."
    found = {"type": f"/problems/{error.code}", "title": title, "status": error.status, "detail": detail}
    if isinstance(error, Unfaithful):
        found |= {"draft": error.draft, "violations": error.violations}
    return found


RETRYABLE: tuple[type[MillraceError], ...] = (Unavailable, Throttled)
"""What may be tried again. Each class by its own name: subclasses are not matched, here as in Step Functions."""
