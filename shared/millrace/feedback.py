"""What people say of an answer: a rating, or the text as it should have been. AWS: DynamoDB, through the corpus.

A corrected text is a data point of its own, linked to the decision; the same correction twice is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .clock import fresh_id, stamp
from .corpus import Corpus
from .datapoints import MAX_TEXT, DataPoint, Origin, check_unicode, content_id
from .errors import InvalidInput, NotFound
from .table import Write
from .tenants import Kind, Tenant


@dataclass(frozen=True)
class Feedback:
    decision_id: str
    edited_text: str | None = None
    rating: int | None = None
    """1 (bad) to 5 (good)."""


def give(corpus: Corpus, tenant: Tenant, feedback: Feedback) -> DataPoint | None:
    """The data point that a correction became, if there was one. NotFound for an unknown decision."""
    if feedback.edited_text is None and feedback.rating is None:
        raise InvalidInput("Feedback holds an edited_text, a rating from 1 to 5, or both.")
    answer = _decision(corpus, tenant, feedback.decision_id)
    values = {"rating": feedback.rating, "feedback_at": stamp()}
    values = {name: value for name, value in values.items() if value is not None}
    if feedback.edited_text is None:
        write = _sibling(tenant, feedback.decision_id, values)
        corpus.table.update(write, op=fresh_id("rating-"))
        return None
    point = corpus.kept(tenant, _edit(answer, feedback.edited_text))
    corpus.add_edit(tenant, point, _sibling(tenant, feedback.decision_id, values | {"edit_id": point.id}))
    return point


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
    return DataPoint(
        id=content_id(answer.source, edited),
        origin=Origin.EDIT,
        source=answer.source,
        target=edited,
        created_at=stamp(),
        origin_ref=answer.id,
        model_id=answer.model_id,
    )


def _sibling(tenant: Tenant, decision_id: str, values: Mapping[str, object]) -> Write:
    return Write("update", tenant.pk(Kind.DATA_POINT, decision_id), "state", values)
