"""Proposers: a scripted model that answers well, nonsense, code, huge networks or nothing, and evolution after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from millrace.architecture import Budget, Spec, Task, digest, fits, parse, resnet
from millrace.errors import InvalidInput, Unavailable
from millrace.evolution import RATES, crossed, drawn, evolve, mutated, retried
from millrace.history import Search, Tried, best, signature
from millrace.proposals import FAILURES, Evolution, Guided, Messages, Proposer, guided, messages, read

from tests.millrace.escapes import ESCAPES

TASK = Task(height=8, width=8, channels=1, classes=10, samples=1_000)
SEARCH = Search(TASK, Budget(), "digits")
GOOD: dict[str, Any] = {"blocks": [{"kind": "conv", "filters": 24}, {"kind": "pool"}], "note": "small"}
HUGE: dict[str, Any] = {"blocks": [{"kind": "conv", "filters": 1024, "kernel": 7}] * 40}


def reply(*specs: Any) -> str:
    return json.dumps({"proposals": list(specs)})


def tried(spec: Spec, accuracy: float | None = 0.9, **values: Any) -> Tried:
    known: dict[str, Any] = {"number": 1, "state": "completed" if accuracy is not None else "failed", "epochs": 9}
    return Tried(id=digest(spec), spec=spec, accuracy=accuracy, **(known | values))


class Scripted:
    """Plays replies and records what it was asked."""

    def __init__(self, *replies: str | Exception) -> None:
        self.replies, self.asked = list(replies), list[Messages]()

    def __call__(self, asked: Messages) -> str:
        self.asked.append(asked)
        given = self.replies.pop(0)
        if isinstance(given, Exception):
            raise given
        return given


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: text,
        lambda text: f"Here you are:\n```json\n{text}\n```\nGood luck!",
        lambda text: f"Sure! {json.loads(text)['proposals'][0] and text} I hope it helps.",
        lambda text: json.dumps(json.loads(text)["proposals"]),
        lambda text: json.dumps(json.loads(text)["proposals"][0]),
    ],
)
def test_a_reply_is_read_however_it_is_wrapped(wrap: Callable[[str], str]) -> None:
    assert read(wrap(reply(GOOD)), SEARCH, []).specs == [parse(GOOD)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot do that.",
        "import torch\nclass Net(torch.nn.Module): ...",
        "[" * 90_000,
        "7",
        '"text"',
        "x" * 300_000,
    ],
)
def test_a_reply_without_proposals_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"no JSON list of proposals|at most 200,000"):
        read(text, SEARCH, [])


def test_each_proposal_is_taken_or_refused_with_its_reason() -> None:
    near = {**GOOD, "training": {"learning_rate": 0.0101}}
    found = read(reply(GOOD, HUGE, near, 7, {"code": "x"}), SEARCH, [])

    assert found.specs == [parse(GOOD)]
    assert [sentence.partition(":")[0] for sentence in found.refused] == [f"Proposal {n}" for n in (2, 3, 4, 5)]
    assert "parameters; the budget is" in found.refused[0] and "nearly the same" in found.refused[1]


def test_more_than_is_read_of_one_reply_is_left_out() -> None:
    many = [{"blocks": [{"kind": "conv", "filters": 4 * n}]} for n in range(1, 60)]

    assert "the rest was not read" in read(reply(*many), SEARCH, []).refused[-1]


@pytest.mark.parametrize("escape", ESCAPES)
def test_an_escape_in_a_reply_is_no_proposal(escape: str) -> None:
    hurt = {"blocks": [{"kind": escape}]}

    assert read(reply(hurt), SEARCH, []).specs == []
    with suppress(InvalidInput):  # "[0]" is a list all the same, of nothing that is a proposal
        assert read(escape, SEARCH, []).specs == []


def test_the_model_sees_the_best_the_failures_and_why_it_was_refused() -> None:
    history = [tried(resnet(), 0.97), tried(parse(GOOD), None, code="diverged", error="The loss became infinite.")]
    ask = Scripted("nonsense", reply(HUGE), reply({**GOOD, "head": {"dense": [64]}}))

    made = guided(ask, SEARCH, history, 1, 0, Random(0))

    assert made.source == "llm" and made.failures == 0 and len(made.specs) == 1
    told = json.loads(ask.asked[2][1]["content"].split("\n", 1)[1])
    assert told["tried_best_first"][0]["accuracy"] == 0.97
    assert told["failed"][0]["error"] == "The loss became infinite."
    assert "no JSON list" in told["your_last_refused"][0] and "parameters" in told["your_last_refused"][1]
    assert "note" not in json.dumps(told["tried_best_first"])


@pytest.mark.parametrize(
    "broken", ["", "os.system('id')", reply(HUGE), reply(), Unavailable("No answer in time."), reply("x" * 500)]
)
def test_after_three_failures_evolution_goes_on_and_nobody_is_asked_again(broken: str | Exception) -> None:
    ask = Scripted(*[broken] * FAILURES)
    proposer = Guided(SEARCH, Random(0), ask)

    first, second = proposer.propose([], 4), proposer.propose([], 4)

    assert (first.source, second.source) == ("evolution", "evolution")
    assert len(first.specs) == len(second.specs) == 4
    assert len(ask.asked) == FAILURES and proposer.failures == FAILURES


def test_failures_of_earlier_rounds_count_and_a_good_answer_forgets_them() -> None:
    two = guided(Scripted("no", "no", "no"), SEARCH, [], 2, 1, Random(0))
    good = guided(Scripted("no", reply(GOOD)), SEARCH, [], 1, 1, Random(0))

    assert two.failures == FAILURES and two.source == "evolution"
    assert good.failures == 0 and good.specs == [parse(GOOD)]


def test_too_few_proposals_are_filled_up_and_with_nobody_to_ask_all_are_evolutions() -> None:
    filled = guided(Scripted(reply(GOOD)), SEARCH, [], 5, 0, Random(0))
    alone: list[Proposer] = [Guided(SEARCH, Random(0), None), Evolution(SEARCH, Random(0))]

    assert len(filled.specs) == 5 and filled.source == "llm"
    assert alone[0].propose([], 3).specs == alone[1].propose([], 3).specs


def test_the_question_says_that_nothing_is_run_and_stays_small() -> None:
    history = [tried(drawn(TASK, Random(n)), 0.5 + n / 1000, number=n) for n in range(300)]
    asked = messages(Search(TASK, Budget(), "x" * 10_000), history, 8)

    assert "never executed" in asked[0]["content"]
    assert sum(len(message["content"]) for message in asked) < 20_000


def test_evolution_is_the_same_for_the_same_draw_and_new_fitting_and_related() -> None:
    first = evolve(SEARCH, [], 12, Random(3))
    history = [tried(spec, 0.8 + n / 100, number=n) for n, spec in enumerate(first.specs)]
    second = evolve(SEARCH, history, 12, Random(4))

    assert first.specs == evolve(SEARCH, [], 12, Random(3)).specs
    assert len({signature(spec) for spec in first.specs + second.specs}) == 24
    assert all(fits(spec, TASK, SEARCH.budget) is None for spec in second.specs)
    parents = {one.id for one in best(history)[:4]}
    assert len(second.parents) > 4 and set(second.parents.values()) <= parents


@pytest.mark.parametrize("seed", range(20))
def test_every_change_is_a_proposal_again(seed: int) -> None:
    draw, task = Random(seed), Task(height=32, width=32, channels=3, classes=5, samples=100)
    spec = drawn(task, draw)
    for _ in range(60):
        spec = mutated(crossed(spec, drawn(task, draw), draw), draw)
        assert parse(json.dumps(spec.model_dump())) == spec
    assert spec.training.optimizer in RATES


@pytest.mark.parametrize(
    ("code", "name"), [("diverged", "learning_rate"), ("memory", "batch_size"), ("timeout", "epochs")]
)
def test_a_failed_candidate_is_tried_with_what_broke_it_changed(code: str, name: str) -> None:
    spec = resnet()
    other = retried(spec, code)

    assert other is not None and other.blocks == spec.blocks
    assert getattr(other.training, name) < getattr(spec.training, name)


def test_a_candidate_with_nothing_left_to_change_is_given_up() -> None:
    spec = parse({**GOOD, "training": {"batch_size": 8, "epochs": 1}})

    assert retried(spec, "memory") is None and retried(spec, "timeout") is None
