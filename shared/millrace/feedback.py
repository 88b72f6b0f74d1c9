"""What people say of an answer, and what training gets of it. AWS: DynamoDB, through the corpus.

accepted (thumbs up)  the answer as it stands becomes an example
edited                the text as it should have been becomes an example, preferred over the answer; what the edit cost
rejected              the answer becomes a negative: what is not wanted
rating, thumbs        are kept beside the answer, in its sibling `state`

Each example is a data point of its own that names the decision. The same words twice are one; every figure moves in
the transaction that stores what it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .clock import fresh_id, stamp
from .corpus import Corpus
from .datapoints import MAX_TEXT, DataPoint, Origin, check_unicode, example_id
from .errors import Conflict, InvalidInput, NotFound
from .table import Item, Write
from .tenants import Kind, Tenant

FIGURES = "feedback"
"""Of the tenant's figures those that count what people said."""
MAX_REASON = 500
SCALE = 10_000
_TRIES = 8


@dataclass(frozen=True)
class Feedback:
    decision_id: str
    edited_text: str | None = None
    rating: int | None = None
    """1 (bad) to 5 (good)."""
    thumbs: Literal["up", "down"] | None = None
    rejected: bool = False
    """The answer is not to be learned from, but against."""
    reason: str = ""
    """Why it was rejected, in the person's words."""


@dataclass(frozen=True)
class Learned:
    """What feedback became."""

    points: tuple[DataPoint, ...] = ()
    edit_cost: float | None = None
    """Words that were changed over the words there are, in [0, 1]."""


def kinds(state: Mapping[str, Any]) -> list[str]:
    """What people have said, by the names that lists filter by."""
    said = {
        "rated": state.get("rating") is not None,
        "up": state.get("thumbs") == "up",
        "down": state.get("thumbs") == "down",
        "accepted": bool(state.get("accepted_id")),
        "edited": bool(state.get("edit_id")),
        "rejected": bool(state.get("rejected_id")),
    }
    return [name for name, true in said.items() if true]


def give(corpus: Corpus, tenant: Tenant, feedback: Feedback) -> Learned:
    """NotFound for an unknown decision."""
    if not (feedback.edited_text is not None or feedback.rating or feedback.thumbs or feedback.rejected):
        raise InvalidInput("Feedback holds an edited_text, a rating from 1 to 5, thumbs, rejected, or several of them.")
    if feedback.rejected and feedback.thumbs == "up":
        raise InvalidInput("An answer cannot be rejected and have thumbs up at once.")
    if len(feedback.reason) > MAX_REASON:
        raise InvalidInput(f"The reason has {len(feedback.reason)} characters; at most {MAX_REASON} are taken.")
    answer = _decision(corpus, tenant, feedback.decision_id)
    learned: list[DataPoint] = []
    cost = None
    if feedback.edited_text is not None:
        point = corpus.kept(tenant, _edit(answer, feedback.edited_text))
        cost = edit_cost(answer.target, point.target)
        figures = {"edited": 1, "edit_cost": round(cost * SCALE)}
        _learn(corpus, tenant, answer, point, {"edit_id": point.id, "edit_cost": cost}, figures)
        learned.append(point)
    if feedback.thumbs == "up" and feedback.edited_text is None:
        learned.append(_accept(corpus, tenant, answer))
    if feedback.rejected:
        learned.append(_reject(corpus, tenant, answer, feedback.reason))
    if feedback.rating is not None or feedback.thumbs is not None:
        _note(corpus, tenant, answer.id, feedback)
    return Learned(tuple(learned), cost)


def edit_cost(before: str, after: str) -> float:
    from rapidfuzz.distance import Levenshtein  # 41 modules, which a cold start does without

    return round(Levenshtein.normalized_distance(before.split(), after.split()), 4)


def _accept(corpus: Corpus, tenant: Tenant, answer: DataPoint) -> DataPoint:
    if answer.source.strip() == answer.target.strip():
        raise InvalidInput("The answer is the text that was sent in: there is nothing to learn from it. Rate it only.")
    point = corpus.kept(tenant, _example(answer, Origin.ACCEPTED, answer.target))
    _learn(corpus, tenant, answer, point, {"accepted_id": point.id}, {"accepted": 1})
    return point


def _reject(corpus: Corpus, tenant: Tenant, answer: DataPoint, reason: str) -> DataPoint:
    point = corpus.kept(tenant, _example(answer, Origin.NEGATIVE, answer.target))
    said = {"rejected_id": point.id, "rejected_for": corpus.hidden(tenant, reason) or None}
    _learn(corpus, tenant, answer, point, said, {"rejected": 1})
    return point


def _example(answer: DataPoint, origin: Origin, target: str, rejected: str | None = None) -> DataPoint:
    """On the answer's ground, and with what was masked in it; the policy of now is applied to it as to any other."""
    return DataPoint(
        id=example_id(origin, answer.source, target, rejected),
        origin=origin,
        source=answer.source,
        target=target,
        created_at=stamp(),
        origin_ref=answer.id,
        model_id=answer.model_id,
        rejected=rejected,
        consent=answer.consent,
        masked=answer.masked,
    )


def _learn(
    corpus: Corpus,
    tenant: Tenant,
    answer: DataPoint,
    point: DataPoint,
    said: Mapping[str, Any],
    figures: Mapping[str, int],
) -> None:
    """An example, what was said and the figures, at once; where the example stood already, what was said alone."""
    write = _sibling(tenant, answer.id, said)
    corpus.add_example(tenant, point, write, [Write("update", tenant.pk(Kind.STATS), FIGURES, add=figures)])


def _note(corpus: Corpus, tenant: Tenant, id: str, feedback: Feedback) -> None:
    """Rating and thumbs with the figures, which lose the earlier ones of the same answer."""
    pk = tenant.pk(Kind.DATA_POINT, id)
    for _ in range(_TRIES):
        standing = corpus.table.get(pk, "state") or {}
        values = {"rating": feedback.rating, "thumbs": feedback.thumbs}
        values = {name: value for name, value in values.items() if value is not None}
        expect = {name: standing.get(name) for name in values}
        change = _counted({**standing, **values}, 1)
        for name, value in _counted(standing, -1).items():
            change[name] = change.get(name, 0) + value
        write = _sibling(tenant, id, values, expect)
        counting = [Write("update", tenant.pk(Kind.STATS), FIGURES, add=change)] if any(change.values()) else []
        try:
            corpus.table.transact([write, *counting], op=fresh_id("rating-"))
            return
        except Conflict:
            continue  # somebody else rated it at this moment
    raise Conflict(f"Decision {id} is being rated by many at once; ask again.")


def _counted(state: Item, sign: int) -> dict[str, int]:
    rating, thumbs = state.get("rating"), state.get("thumbs")
    counts = {"rated": sign, "rating": sign * rating} if rating is not None else {}
    return counts | ({str(thumbs): sign} if thumbs else {})


def _decision(corpus: Corpus, tenant: Tenant, id: str) -> DataPoint:
    missing = f"There is no decision {id}."
    try:
        answer = corpus.get(tenant, id)
    except NotFound as error:
        raise NotFound(missing) from error
    if answer.origin is not Origin.ANSWER:
        raise NotFound(missing)
    return answer


def _edit(answer: DataPoint, edited: str) -> DataPoint:
    edited = edited.strip()
    if not edited:
        raise InvalidInput("The edited_text is empty; leave it out to rate only.")
    check_unicode("edited_text", edited)
    if len(edited) > MAX_TEXT:
        raise InvalidInput(f"The edited_text has {len(edited):,} characters; at most {MAX_TEXT:,} are taken.")
    if edited == answer.source.strip():
        raise InvalidInput("The edited_text is the text that was sent in: there is nothing to learn from it.")
    over = answer.target if edited not in (answer.target, answer.target.strip()) else None
    return _example(answer, Origin.EDIT, edited, over)


def _sibling(
    tenant: Tenant, decision_id: str, values: Mapping[str, Any], expect: Mapping[str, Any] | None = None
) -> Write:
    """The answer's `state`, which also stands in the tenant's list of what was said."""
    at = stamp()
    listed = {"list_pk": tenant.pk(Kind.FEEDBACK), "list_sk": f"{at}#{decision_id}", "id": decision_id}
    values = {**values, **listed, "feedback_at": at}
    return Write("update", tenant.pk(Kind.DATA_POINT, decision_id), "state", values, expect=expect or {})
