"""What a tenant's policy lets be stored."""

from __future__ import annotations

import pytest
from millrace.corpus import Corpus
from millrace.datapoints import DataPoint, Origin, Turn, content_id
from millrace.datapolicy import TTL_S, DataPolicy, Policies, data_policy, set_data_policy
from millrace.errors import InvalidInput
from millrace.feedback import Feedback, give
from millrace.tenants import Kind, Tenant

from tests.fakes import World

ACME = Tenant("acme")
SOURCE, TARGET = "Dr Okafor wrote to okafor@example.org.", "Okafor wrote to okafor@example.org today."


def _point(origin: Origin = Origin.DROP, id: str = "") -> DataPoint:
    return DataPoint(id or content_id(SOURCE, TARGET), origin, SOURCE, TARGET, "2026-01-01T00:00:00.000Z", "dr1#2")


def _world(policy: DataPolicy) -> tuple[World, Corpus]:
    world = World()
    set_data_policy(world.table, ACME, policy)
    return world, Corpus(world.table, world.store, Policies(world.table))


def test_without_a_policy_texts_stay_as_they_are() -> None:
    assert DataPolicy().kept(_point()) == _point()
    assert data_policy(World().table, ACME) == DataPolicy()


def test_what_is_masked_is_stored_nowhere() -> None:
    world, corpus = _world(DataPolicy(mask=("email", "name"), consent="contract"))

    corpus.capture(ACME, _point(Origin.ANSWER, id="dpanswer"))
    corpus.add(ACME, corpus.kept(ACME, _point()))

    assert "kafor" not in repr(world.dynamo.items) + repr(world.s3.objects)
    answer = corpus.get(ACME, "dpanswer")
    assert (answer.source, answer.masked) == ("Dr [NAME_1] wrote to [EMAIL_1].", {"name": 1, "email": 1})
    assert answer.consent == "contract"


def test_a_masked_pair_is_named_by_what_is_left_of_it() -> None:
    kept = DataPolicy(mask=("email", "name")).kept(_point())

    assert kept.id == content_id(kept.source, kept.target) != _point().id


def test_every_text_of_a_point_is_masked() -> None:
    point = DataPoint(
        "dp1", Origin.DROP, SOURCE, TARGET, "", "r", rejected=SOURCE + " No.", context=(Turn("user", SOURCE),)
    )

    kept = DataPolicy(mask=("email", "name")).kept(point)

    assert "kafor" not in repr(kept)


@pytest.mark.parametrize(
    ("said", "salt"),
    [(Feedback("dpanswer", thumbs="up"), ""), (Feedback("dpanswer", rejected=True), "negative")],
)
def test_an_answer_that_becomes_an_example_is_kept_by_the_policy_of_now_on_its_own_ground(
    said: Feedback, salt: str
) -> None:
    """C6, C8: what the policy masks by now is not stored again, and what is not wanted keeps an id of its own."""
    world, corpus = _world(DataPolicy(mask=("email",), consent="contract"))
    corpus.capture(ACME, _point(Origin.ANSWER, id="dpanswer"))
    set_data_policy(world.table, ACME, DataPolicy(mask=("email", "name")))
    corpus = Corpus(world.table, world.store, Policies(world.table))

    (point,) = give(corpus, ACME, said).points

    stored = corpus.get(ACME, point.id)
    assert (stored.source, stored.consent) == ("Dr [NAME_1] wrote to [EMAIL_1].", "contract")
    assert stored.masked == {"email": 1, "name": 1}
    assert stored.id == content_id(stored.source, stored.target, salt)


def test_why_an_answer_was_rejected_is_masked_as_the_answer_is() -> None:
    """C8."""
    world, corpus = _world(DataPolicy(mask=("email", "name")))
    corpus.capture(ACME, _point(Origin.ANSWER, id="dpanswer"))

    give(corpus, ACME, Feedback("dpanswer", rejected=True, reason="Dr Okafor is okafor@example.org."))

    assert "kafor" not in repr(world.dynamo.items)
    state = world.table.get(ACME.pk(Kind.DATA_POINT, "dpanswer"), "state") or {}
    assert state["rejected_for"] == "Dr [NAME_1] is [EMAIL_1]."


def test_an_edit_stands_on_the_ground_of_its_answer_and_tells_what_was_masked_in_it() -> None:
    world, corpus = _world(DataPolicy(mask=("email",), consent="contract"))
    corpus.capture(ACME, _point(Origin.ANSWER, id="dpanswer"))
    set_data_policy(world.table, ACME, DataPolicy())
    corpus = Corpus(world.table, world.store, Policies(world.table))

    (point,) = give(corpus, ACME, Feedback("dpanswer", edited_text="He wrote to [EMAIL_1].")).points

    assert (point.consent, point.masked) == ("contract", {"email": 1})


def test_who_opted_out_is_not_captured() -> None:
    world, corpus = _world(DataPolicy(capture=False))

    corpus.capture(ACME, _point(Origin.ANSWER, id="dpanswer"))

    assert not [key for key in world.dynamo.items if "datapoint" in key[0]]


def test_a_policy_that_was_read_holds_for_a_while_and_is_read_again() -> None:
    world = World()
    at = [100.0]
    policies = Policies(world.table, clock=lambda: at[0])
    assert policies.of(ACME).capture

    set_data_policy(world.table, ACME, DataPolicy(capture=False))
    assert policies.of(ACME).capture
    at[0] += TTL_S
    assert not policies.of(ACME).capture


@pytest.mark.parametrize(
    "wrong", [{"mask": ("shoe_size",)}, {"min_quality": 1.5}, {"min_quality": -0.1}, {"consent": "x" * 201}]
)
def test_a_policy_that_can_mean_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        DataPolicy(**wrong)  # type: ignore[arg-type]
