from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from millrace import architecture, clock
from millrace.architecture import Task
from millrace.contract import JobState
from millrace.errors import Corrupt, InvalidInput, NotFound, Unavailable
from millrace.history import Tried
from millrace.jobs import Job
from millrace.proposals import Ask, Messages
from millrace.searching import Searching
from millrace.strategies import find
from millrace.tenants import Tenant

from tests.fakes import World

ACME = Tenant("acme")
CHANNEL = "tenants/acme/datasets/d1/channel/"
TASK = Task(height=8, width=8, channels=1, classes=10, samples=1000)
GOOD = {"blocks": [{"kind": "conv", "filters": 16}], "training": {"learning_rate": 0.003, "epochs": 4}}


@pytest.fixture
def world() -> World:
    world = World()
    world.store.put_json(CHANNEL + "dataset.json", {"classes": list("0123456789"), "samples": 1797})
    row = {"label": 0, "width": 8, "height": 8, "mode": "L"}
    world.store.put(CHANNEL + "index.jsonl", b"\n".join(json.dumps(row).encode() for _ in range(50)) + b"\n")
    return world


def job(**hyperparameters: Any) -> Job:
    given = find("cnn-search").settle({"population": 3, "rounds": 3, **hyperparameters})
    at = "2026-01-01T00:00:00Z"
    made = Job("j1", JobState.RUNNING, "cnn-search", 1, "classifier", at, "person", dataset_id="d1")
    return replace(made, hyperparameters=given)


class Model:
    """Plays a language model: the next reply of a script, or an error."""

    def __init__(self, *replies: str | Exception) -> None:
        self.replies, self.asked = list(replies), list[Messages]()

    def __call__(self, tenant: Tenant, proposer: str) -> Ask:
        return self.ask

    def ask(self, messages: Messages) -> str:
        self.asked.append(messages)
        reply = self.replies.pop(0) if self.replies else "nothing more"
        if isinstance(reply, Exception):
            raise reply
        return reply


def results(world: World, round: int, *accuracies: float, task: Task = TASK, reached: bool = False) -> str:
    """What the round's container leaves; its key."""
    told = world.store.get_json(f"tenants/acme/jobs/j1/search/round-{round}/proposals.json")
    tried = []
    for number, (raw, accuracy) in enumerate(zip(told["specs"], accuracies, strict=False)):
        spec = architecture.parse(raw)
        id = architecture.digest(spec)
        tried.append(Tried(id=id, number=number, spec=spec, state="completed", round=round, accuracy=accuracy))
    body = {"format": 1, "round": round, "task": task.model_dump(), "tried": [t.model_dump() for t in tried]}
    key = f"tenants/acme/jobs/j1/1/trials{round}/results.json"
    world.store.put_json(key, body | {"refused": [], "best": max(accuracies, default=None), "reached": reached})
    return key


def test_what_a_model_proposes_is_tried_and_evolution_fills_up_the_round(world: World) -> None:
    model = Model(json.dumps({"proposals": [GOOD]}))
    searching = Searching(world.store, model)

    round = searching.propose(ACME, job(), CHANNEL)

    told = world.store.get_json(round.proposals + "proposals.json")
    assert (round.number, round.source, len(told["specs"])) == (0, "llm", 3)
    assert architecture.parse(told["specs"][0]).blocks[0].filters == 16
    assert '"classes": 10' in model.asked[0][1]["content"]


def test_each_candidate_of_a_round_is_labelled_by_who_proposed_it(world: World) -> None:
    """S5: what evolution fills up is not the model's."""
    round = Searching(world.store, Model(json.dumps([GOOD]))).propose(ACME, job(), CHANNEL)

    told = world.store.get_json(round.proposals + "proposals.json")
    assert told["source"] == "llm"
    assert told["sources"] == dict.fromkeys(told["ids"][1:], "evolution") and len(told["ids"]) == 3


def test_a_budget_that_nothing_fits_is_said_before_a_machine_is_paid_for(world: World) -> None:
    """S1: and a later round of nothing is the end of the rounds, not of the search."""
    searching, small = Searching(world.store), job(max_parameters=1_000)
    with pytest.raises(
        InvalidInput, match=r"No network that was proposed fits max_parameters 1,000, max_flops 400,000,"
    ):
        searching.propose(ACME, small, CHANNEL)
    assert not searching.propose(ACME, job(), CHANNEL).empty
    searching.judge(ACME, job(), 0, results(world, 0, 0.8, 0.9))

    rounds = [searching.propose(ACME, small, CHANNEL) for _ in range(2)]

    assert rounds[0] == rounds[1] and rounds[0].empty and rounds[0].number == 1
    assert len(searching.history(ACME, small)) == 2


def test_a_model_is_not_asked_twice_for_one_round(world: World) -> None:
    model = Model(json.dumps([GOOD]))
    searching = Searching(world.store, model)

    first = searching.propose(ACME, job(), CHANNEL)
    again = searching.propose(ACME, replace(job(), attempt=2), CHANNEL)

    assert again == first and len(model.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [
        "I would rather write you a poem.",
        "import os; os.system('rm -rf /')",
        json.dumps([{"blocks": [{"kind": "conv", "filters": 10**9}]}]),
        json.dumps([{"blocks": [{"kind": "conv", "filters": 1024}] * 60}]),
        "",
        "[" * 5_000,
    ],
)
def test_after_three_answers_of_no_use_evolution_goes_on_alone(world: World, reply: str) -> None:
    model = Model(reply, reply, reply, json.dumps([GOOD]))
    searching = Searching(world.store, model)

    first = searching.propose(ACME, job(), CHANNEL)
    searching.judge(ACME, job(), 0, results(world, 0, 0.8, 0.9))
    second = searching.propose(ACME, job(), CHANNEL)

    assert (first.source, second.source) == ("evolution", "evolution")
    assert len(model.asked) == 3 and searching.state(ACME, job()).said


def test_a_provider_that_is_down_does_not_end_a_search(world: World) -> None:
    searching = Searching(world.store, Model(*[Unavailable("It is down."), NotFound("Gone."), Unavailable("Still.")]))

    assert searching.propose(ACME, job(), CHANNEL).source == "evolution"
    assert "It is down." in searching.state(ACME, job()).said


def test_without_a_model_evolution_proposes(world: World) -> None:
    assert Searching(world.store).propose(ACME, job(), CHANNEL).source == "evolution"


def test_by_wish_no_model_is_asked(world: World) -> None:
    model = Model(json.dumps([GOOD]))

    assert Searching(world.store, model).propose(ACME, job(proposer="evolution"), CHANNEL).source == "evolution"
    assert not model.asked


def test_the_next_round_knows_what_the_last_one_showed(world: World) -> None:
    model = Model(json.dumps([GOOD]), json.dumps([GOOD | {"training": {"learning_rate": 0.03, "epochs": 9}}]))
    searching = Searching(world.store, model)
    searching.propose(ACME, job(), CHANNEL)

    assert searching.judge(ACME, job(), 0, results(world, 0, 0.71, 0.93))
    searching.propose(ACME, job(), CHANNEL)

    assert "0.93" in model.asked[1][1]["content"]
    assert [tried.accuracy for tried in searching.history(ACME, job())] == [0.71, 0.93]
    assert searching.state(ACME, job()).best == 0.93


def test_it_tells_by_round_who_proposed_and_what_was_not_taken(world: World) -> None:
    model = Model("a poem", json.dumps([{"blocks": [{"kind": "exec"}]}, GOOD]), *["nothing"] * 3)
    searching = Searching(world.store, model)
    searching.propose(ACME, job(), CHANNEL)
    searching.judge(ACME, job(), 0, results(world, 0, 0.9))
    searching.propose(ACME, job(), CHANNEL)

    first, second = searching.state(ACME, job()).asked
    assert (first.round, first.source, len(first.ids)) == (0, "llm", 3)
    assert "no JSON" in first.refused[0] and first.refused[1].startswith("Proposal 1:")
    assert (second.round, second.source, len(second.refused)) == (1, "evolution", 3)


def test_a_round_that_is_asked_for_again_after_a_crash_stands_once(world: World) -> None:
    searching = Searching(world.store, Model(json.dumps([GOOD]), json.dumps([GOOD])))
    searching.propose(ACME, job(), CHANNEL)
    world.store.delete(searching.folder(ACME, job()) + "round-0/proposals.json")

    searching.propose(ACME, job(), CHANNEL)

    assert [asked.round for asked in searching.state(ACME, job()).asked] == [0]


@pytest.mark.parametrize(
    ("given", "reached", "again"),
    [({"rounds": 1}, False, False), ({"rounds": 2}, False, True), ({"rounds": 2}, True, False)],
)
def test_it_ends_at_its_rounds_or_its_target(world: World, given: dict[str, Any], reached: bool, again: bool) -> None:
    searching = Searching(world.store)
    searching.propose(ACME, job(**given), CHANNEL)
    key = results(world, 0, 0.9, reached=reached)

    assert searching.judge(ACME, job(**given), 0, key) is again
    assert searching.judge(ACME, job(**given), 0, key) is again, "a repeat of a lost answer"
    assert searching.state(ACME, job()).rounds == 1


def test_it_ends_when_its_time_is_spent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    searching = Searching(world.store)
    searching.propose(ACME, job(budget_s=60), CHANNEL)
    later = clock.now().replace(year=clock.now().year + 1)
    monkeypatch.setattr("millrace.searching.now", lambda: later)

    assert searching.judge(ACME, job(budget_s=60), 0, results(world, 0, 0.9)) is False


def test_results_that_are_none_say_so(world: World) -> None:
    searching = Searching(world.store)
    searching.propose(ACME, job(), CHANNEL)
    world.store.put("tenants/acme/bad.json", b'{"format": 2}')

    with pytest.raises(Corrupt, match=r"results\.json"):
        searching.judge(ACME, job(), 0, "tenants/acme/bad.json")


def test_an_attempt_that_begins_after_the_last_round_has_only_the_finalists_left(world: World) -> None:
    searching = Searching(world.store)
    assert not searching.over(ACME, job(rounds=1)), "nothing was tried yet"

    searching.propose(ACME, job(rounds=1), CHANNEL)
    searching.judge(ACME, job(rounds=1), 0, results(world, 0, 0.9))

    assert searching.over(ACME, job(rounds=1)) and not searching.over(ACME, job(rounds=2))
