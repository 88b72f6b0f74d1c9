"""One example of a source text and what it should become. Pure.

A data point is immutable and named by its content, so that the same pair is the same data point wherever it came
from. An answer of ours is salted with its decision: it is an event, not yet an example. A preference pair carries the
text that was not chosen as well, a chat the turns before its last question; both are content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from .errors import InvalidInput

MAX_TEXT = 60_000
"""Characters on either side of a pair: MAX_WORDS words with their markup and addresses."""
MAX_WORDS = 3_000
"""Of a text that is humanized while its caller waits."""

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_VALIDATION_FROM, _TEST_FROM = 80, 90  # percent of the hash space: 80 train, 10 validation, 10 test


class Origin(StrEnum):
    ANSWER = "answer"
    """Captured; trains nothing until somebody corrects it."""
    DROP = "drop"
    API = "api"
    """Sent in as an example by a program."""
    EDIT = "edit"
    """Somebody's correction of an answer: the best there is."""
    ACCEPTED = "accepted"
    """An answer that somebody liked as it is."""
    NEGATIVE = "negative"
    """An answer that somebody rejected: what is not wanted."""

    @property
    def trains(self) -> bool:
        return self is not Origin.ANSWER


@dataclass(frozen=True)
class Turn:
    """What was said before the source, by whom: role system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True)
class DataPoint:
    id: str
    origin: Origin
    source: str
    target: str
    created_at: str
    origin_ref: str
    """`<drop id>#<line>` of a drop, the decision id of an answer or an edit."""
    model_id: str | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    decision: dict[str, Any] = field(default_factory=dict)
    rejected: str | None = None
    """Of a preference pair: the text that the target was chosen over."""
    context: tuple[Turn, ...] = ()
    """Of a chat: the turns before the source, oldest first."""
    consent: str = ""
    """On what ground the texts are kept."""
    masked: dict[str, int] = field(default_factory=dict)
    """How many values of each kind of personal data were masked before the texts were stored."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values. What only some points have is there where the point has it."""
        values: dict[str, Any] = {
            "id": self.id,
            "origin": self.origin,
            "source": self.source,
            "target": self.target,
            "created_at": self.created_at,
            "origin_ref": self.origin_ref,
            "model_id": self.model_id,
            "scores": self.scores,
            "decision": self.decision,
        }
        if self.rejected is not None:
            values["rejected"] = self.rejected
        if self.context:
            values["context"] = tuple({"role": turn.role, "text": turn.text} for turn in self.context)
        if self.consent:
            values["consent"] = self.consent
        if self.masked:
            values["masked"] = self.masked
        return values

    @classmethod
    def from_item(cls, item: dict[str, Any]) -> DataPoint:
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        context = tuple(Turn(**turn) for turn in item.get("context") or ())
        return cls(**{**known, "origin": Origin(item["origin"]), "context": context})


def check_unicode(name: str, text: str) -> None:
    """InvalidInput for text that no UTF-8 can carry."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"The {name} holds an unpaired surrogate, which is not text; send valid UTF-8.") from error


def content_id(
    source: str, target: str, salt: str = "", rejected: str | None = None, context: Sequence[Turn] = ()
) -> str:
    """`dp` and 26 hex digits of SHA-256 over every text; lengths are hashed too, so texts cannot shift between.

    A pair with neither a rejected text nor a context has the id that it always had.
    """
    parts = [salt, source, target]
    if rejected is not None or context:
        parts += ["" if rejected is None else f"rejected {rejected}"]
        parts += [word for turn in context for word in (turn.role, turn.text)]
    texts = [part.encode("utf-8", "surrogatepass") for part in parts]
    told = b"".join([word for raw in texts for word in (len(raw).to_bytes(8, "big"), raw)])
    return "dp" + hashlib.sha256(told).hexdigest()[:26]


def example_id(
    origin: Origin, source: str, target: str, rejected: str | None = None, context: Sequence[Turn] = ()
) -> str:
    """Of a point that trains; what is not wanted is another thing than the same texts as they are wanted."""
    return content_id(source, target, "negative" if origin is Origin.NEGATIVE else "", rejected, context)


def split_of(source: str) -> Split:
    """Fixed by the source alone: no text is ever on both sides of a split."""
    bucket = int.from_bytes(hashlib.sha256(" ".join(source.split()).casefold().encode()).digest()[:4], "big") % 100
    if bucket >= _TEST_FROM:
        return "test"
    return "validation" if bucket >= _VALIDATION_FROM else "train"
