from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.catalogue import RULES, Catalogue, Entry
from millrace.contract import Tier
from millrace.corpus import Corpus
from millrace.errors import (
    Corrupt,
    Forbidden,
    InvalidInput,
    MillraceError,
    NotFound,
    Throttled,
    TooLarge,
    Unavailable,
    Unfaithful,
)
from millrace.humanize import RULES_RESERVE_S, Answer, Humanizer
from millrace.providers import Ask, Completion, Provider, provider
from millrace.tenants import Tenant

from tests.fakes import FAULTS, Fault, Plan, World, examples

ACME = Tenant("acme", Tier.ENTERPRISE)
TEXT = "Moreover, it is important to note that we utilize 3 servers in Berlin."
FAITHFUL = "We use 3 servers in Berlin."


@dataclass
class Script:
    """Providers that do as they are told, and a record of who was asked."""

    says: dict[str, Any]
    asked: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def __call__(self, name: str) -> Provider:
        return provider("rules") if name == "rules" else self._play

    def _play(self, entry: Entry, ask: Ask, timeout_s: float) -> Completion:
        self.asked.append(entry.id)
        line = self.says[entry.id]
        if line == "hang":
            self.release.wait(30)
            return Completion(FAITHFUL)
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, Completion) else Completion(line, 7, 5)


@dataclass
class Stage:
    """A world with models in its catalogue, and what they say."""

    says: dict[str, Any]
    deadline_s: float = 25.0
    world: World = field(default_factory=World)
    lost: list[MillraceError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.script = Script(self.says)
        for id in self.says:
            Catalogue(self.world.table).publish(ACME, Entry(id, "scripted", input_usd=2.0, output_usd=10.0))

    def humanize(
        self, wish: str | None = None, text: str = TEXT, tenant: Tenant = ACME, plan: Plan | None = None
    ) -> Answer:
        world = self.world.through(plan) if plan else self.world
        humanizer = Humanizer(Catalogue(world.table), world.corpus, self.deadline_s, self.script, self.lost.append)
        return humanizer.humanize(tenant, Ask(text), wish)


def _codes(answer: Answer) -> list[str]:
    return [reason["code"] for reason in answer.reasons]


def test_the_answer_tells_who_gave_it_why_what_it_cost_and_is_captured() -> None:
    stage = Stage({"writer@2": FAITHFUL})

    answer = stage.humanize()

    assert (answer.text, answer.model_id, answer.violations) == (FAITHFUL, "writer@2", [])
    assert answer.usage == {"input_tokens": 7, "output_tokens": 5, "cost_usd": pytest.approx(64e-6)}
    assert _codes(answer) == ["answered", "suits", "floor"]
    assert set(answer.scores) == {"before", "after"} and answer.latency_ms >= 0
    point = stage.world.corpus.get(ACME, answer.decision_id)
    assert (point.source, point.target, point.model_id) == (TEXT, FAITHFUL, "writer@2")
    assert not point.origin.trains and stage.world.corpus.counts(ACME).usable == 0


def test_two_answers_of_one_text_are_two_decisions() -> None:
    stage = Stage({})
    assert stage.humanize().decision_id != stage.humanize().decision_id


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (Unavailable("it is down"), "unavailable"),
        (Throttled("too often"), "unavailable"),
        (Corrupt("half a body"), "unavailable"),
        (KeyError("choices"), "unavailable"),
        (RecursionError(), "unavailable"),
        ("We use 4 servers in Munich.", "unfaithful"),
        ("", "unavailable"),
        ("   ", "unavailable"),
        (Completion(None), "unavailable"),  # type: ignore[arg-type]
    ],
)
def test_a_model_that_fails_or_lies_is_passed_over_and_the_rules_answer(line: Any, code: str) -> None:
    answer = Stage({"writer@1": line}).humanize()

    assert answer.model_id == RULES.id and code in _codes(answer)
    assert "3 servers" in answer.text and "Berlin" in answer.text


def test_an_unknown_provider_in_the_catalogue_costs_its_row_and_no_answer() -> None:
    stage = Stage({})
    Catalogue(stage.world.table).publish(ACME, Entry("odd@1", "nobody"))
    humanizer = Humanizer(Catalogue(stage.world.table), stage.world.corpus, 5.0)

    answer = humanizer.humanize(ACME, Ask(TEXT))
    assert answer.model_id == RULES.id and "unavailable" in _codes(answer)


def test_a_provider_that_hangs_is_left_behind_in_time() -> None:
    stage = Stage({"slow@1": "hang", "slower@1": "hang"}, deadline_s=RULES_RESERVE_S + 0.2)
    stage.humanize("rules")  # what is imported at first is imported
    began = time.monotonic()

    answer = stage.humanize()

    took = time.monotonic() - began
    stage.script.release.set()
    assert answer.model_id == RULES.id and took < stage.deadline_s + 0.05
    assert "unavailable" in _codes(answer) and "deadline" in _codes(answer)
    assert len(stage.script.asked) == 1


def test_a_model_asked_for_by_name_that_hangs_says_so_at_the_deadline() -> None:
    stage = Stage({"slow@1": "hang"}, deadline_s=0.2)
    began = time.monotonic()

    with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
        stage.humanize("slow@1")
    stage.script.release.set()
    assert time.monotonic() - began < 1.0


def test_a_model_asked_for_by_name_answers_alone_and_its_lie_carries_the_draft() -> None:
    stage = Stage({"writer@1": "We use 4 servers in Munich.", "other@1": FAITHFUL})

    with pytest.raises(Unfaithful) as told:
        stage.humanize("writer@1")

    assert told.value.draft == "We use 4 servers in Munich." and told.value.violations
    assert {"kind", "before", "after"} == set(told.value.violations[0])
    assert stage.script.asked == ["writer@1"]
    assert stage.world.table.all("acme#datapoint") == []


def test_a_model_asked_for_by_name_that_fails_is_not_replaced() -> None:
    with pytest.raises(Unavailable, match="it is down"):
        Stage({"writer@1": Unavailable("it is down")}).humanize("writer@1")


@pytest.mark.parametrize("wish", ["nobody", "writer@9", "other-tenants@1"])
def test_a_model_that_is_not_there_is_not_found(wish: str) -> None:
    with pytest.raises(NotFound, match="There is no model"):
        Stage({"writer@1": FAITHFUL}).humanize(wish)


def test_another_tenants_model_looks_like_a_missing_one() -> None:
    stage = Stage({"writer@1": FAITHFUL})
    with pytest.raises(NotFound) as foreign:
        stage.humanize("writer@1", tenant=Tenant("other", Tier.ENTERPRISE))
    with pytest.raises(NotFound) as missing:
        Stage({}).humanize("writer@1", tenant=Tenant("other", Tier.ENTERPRISE))
    assert str(foreign.value) == str(missing.value)


@pytest.mark.parametrize(
    ("text", "error"), [("", InvalidInput), (" \n", InvalidInput), ("x" * 20_001, TooLarge), ("\ud800", InvalidInput)]
)
def test_a_text_that_is_none_is_refused_before_anything_is_done(text: str, error: type[MillraceError]) -> None:
    stage = Stage({"writer@1": FAITHFUL})
    with pytest.raises(error):
        stage.humanize(text=text)
    assert not stage.script.asked


def _fails(what: str, fault: Fault, world: World) -> Plan:
    plan = Plan()
    Stage({}, world=world).humanize(plan=plan)
    return Plan({n: fault for n, name in enumerate(plan.seen, 1) if name == what})


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "twice"])
def test_a_lost_capture_is_counted_and_never_fails_the_answer(fault: Fault) -> None:
    stage = Stage({"writer@1": FAITHFUL})

    answer = stage.humanize(plan=_fails("put_item", fault, stage.world))

    assert answer.text == FAITHFUL and len(stage.lost) == 1


@pytest.mark.parametrize("wish", [None, "", "auto", "rules"])
@pytest.mark.parametrize("fault", ["throttle", "timeout", "error"])
def test_without_a_table_the_rules_still_answer(wish: str | None, fault: Fault) -> None:
    stage = Stage({"writer@1": FAITHFUL})

    answer = stage.humanize(wish, plan=Plan(dict.fromkeys(range(1, 20), fault)))

    assert answer.model_id == RULES.id and len(stage.lost) == 1 and "catalogue" in _codes(answer)
    with pytest.raises(Unavailable):
        stage.humanize("writer@1", plan=Plan({1: fault}))


LINES = st.sampled_from(
    [FAITHFUL, "We use 4 servers.", "", Unavailable("down"), Throttled("slow"), ValueError("odd"), TEXT]
)


@examples(150)
@given(st.lists(LINES, max_size=4), st.dictionaries(st.integers(1, 5), st.sampled_from(FAULTS)))
def test_for_auto_there_is_always_an_answer_and_it_is_faithful(lines: list[Any], faults: dict[int, Fault]) -> None:
    from millrace.text.faithfulness import verify

    stage = Stage({f"m{n}@1": line for n, line in enumerate(lines)})

    answer = stage.humanize(plan=Plan(faults))

    assert answer.text and not verify(TEXT, answer.text)
    asked = stage.script.asked
    assert answer.model_id == (asked[-1] if answer.model_id != RULES.id else RULES.id)
    assert len(asked) == len(set(asked))


def test_a_free_tenant_is_not_answered_by_a_model_above_its_tier() -> None:
    world = World()
    free = Tenant("acme", Tier.FREE)
    Catalogue(world.table).publish(free, Entry("writer@1", "own"))
    script: Callable[[str], Provider] = Script({"writer@1": FAITHFUL})
    humanizer = Humanizer(Catalogue(world.table), Corpus(world.table, world.store), 5.0, script)

    answer = humanizer.humanize(free, Ask(TEXT))
    assert answer.model_id == RULES.id and "tier" in _codes(answer)
    with pytest.raises(Forbidden, match="higher tier than FREE"):
        humanizer.humanize(free, Ask(TEXT), "writer@1")
