"""Rewrites that nobody waits for: once, in order, through crashes, and never charged for much twice."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from millrace import rewriting
from millrace.catalogue import Catalogue, Entry
from millrace.contract import JobState
from millrace.errors import Conflict, InvalidInput, NotFound, ProviderRefused, TooLarge, Unavailable, told
from millrace.humanize import Humanizer
from millrace.providers import Ask, Completion
from millrace.rewrites import Order
from millrace.rewriting import Rewriting
from millrace.sections import SECTION_PARTS
from millrace.table import Table
from millrace.tenants import Kind, Tenant
from millrace.text.faithfulness import verify

from tests.fakes import LONG as LONG_RUN
from tests.fakes import Crash, Plan, World
from tests.millrace.test_humanize import ACME, CODE, Script, paragraph

LONG = "\n\n".join([CODE, *(paragraph(n) for n in range(1, 80))])


def _plainly(ask: Ask) -> Completion:
    return Completion(ask.text.replace("Moreover, ", ""), 7, 5)


@dataclass
class Stage:
    says: Any = _plainly
    world: World = field(default_factory=World)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.script = Script({"m": self.says})
        Catalogue(self.world.table).publish(ACME, Entry("m", "scripted", input_usd=2.0, output_usd=10.0))

    def submit(self, *texts: str, id: str = "rw1", wish: str | None = None, batch: bool | None = None) -> Any:
        named = tuple((f"t{n}", text) for n, text in enumerate(texts))
        order = Order(named, len(texts) > 1 if batch is None else batch, "medium", "plain", wish=wish)
        return self.world.rewrites.submit(ACME, order, id)

    def work(self, plan: Plan | None = None, id: str = "rw1", **more: Any) -> str:
        world = self.world.through(plan) if plan else self.world
        humanizer = Humanizer(Catalogue(world.table), world.corpus, 25.0, self.script)
        return Rewriting(world.rewrites, humanizer, self.clock).work(ACME, id, **more)

    def clock(self) -> float:
        return self.now

    def item(self, id: str = "rw1") -> Any:
        return self.world.rewrites.get(ACME, id)

    def result(self, id: str = "rw1") -> Any:
        return self.world.store.get_json(self.item(id)["result_key"])

    def forget_the_lease(self) -> None:
        self.world.dynamo.items[(ACME.pk(Kind.REWRITE, "rw1"), "body")]["lease_until"] = {"N": "0"}


def test_a_long_text_is_queued_rewritten_and_told_whole() -> None:
    stage = Stage()
    job = stage.submit(LONG)
    assert job["state"] == "pending" and stage.world.queue.sent == [{"tenant": "acme", "id": "rw1"}]

    assert stage.work() == "done"

    item, told = stage.item(), stage.result()
    assert item["state"] == "completed" and item["progress"]["step"] == item["progress"]["steps"] > 50
    assert CODE in told["text"] and verify(LONG, told["text"]) == [] and "Moreover" not in told["text"]
    assert told["model_id"] == "m" and told["usage"]["output_tokens"] == 5 * len(stage.script.asked)
    assert stage.work() == "nothing" and stage.work(id="rw-nobody") == "nothing"
    inline, link = stage.world.rewrites.result(ACME, item)
    assert inline == told and item["result_key"] in str(link)


def test_progress_is_told_while_it_works() -> None:
    seen: list[int] = []
    stage = Stage()
    stage.script.says["m"] = lambda ask: seen.append(stage.item()["progress"]["step"]) or _plainly(ask)
    stage.submit(LONG)
    stage.work()

    assert seen[0] == 0 and sorted(seen) == seen and len(set(seen)) >= 4


def test_the_same_id_and_text_is_the_same_job_and_another_text_a_conflict() -> None:
    stage = Stage()
    assert stage.submit(LONG)["created_at"] == stage.submit(LONG)["created_at"]
    with pytest.raises(Conflict):
        stage.submit(LONG + " More.")


def test_another_tenants_rewrite_looks_like_a_missing_one() -> None:
    stage = Stage()
    stage.submit(LONG)
    with pytest.raises(NotFound):
        stage.world.rewrites.get(Tenant("other"), "rw1")


def test_after_its_slice_it_goes_on_through_the_queue_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.script.says["m"] = lambda ask: setattr(stage, "now", stage.now + 30) or _plainly(ask)
    stage.submit(LONG)

    deeds = [stage.work()]
    while deeds[-1] == "more":
        deeds.append(stage.work())

    assert len(deeds) >= 3 and deeds[-1] == "done" and len(stage.world.queue.sent) == len(deeds)
    whole = Stage()
    whole.submit(LONG)
    whole.work()
    assert stage.result()["text"] == whole.result()["text"]
    assert sorted(stage.script.texts) == sorted(whole.script.texts)


def test_whichever_call_crashes_the_next_worker_goes_on_and_repeats_one_stretch_at_most() -> None:
    whole = Stage()
    whole.submit(LONG)
    quiet = Plan()
    whole.work(quiet)
    asked = len(whole.script.asked)

    for number in range(1, len(quiet.seen) + 1, 1 if LONG_RUN else 5):
        stage = Stage()
        stage.submit(LONG)
        try:
            stage.work(Plan({number: "crash"}))
        except Crash:
            stage.forget_the_lease()
            stage.work()
        assert stage.item()["state"] == "completed", (number, quiet.seen[number - 1])
        assert stage.result()["text"] == whole.result()["text"]
        assert len(stage.script.asked) <= asked + SECTION_PARTS


@pytest.mark.parametrize("fault", ["throttle", "timeout", "lost", "error"])
def test_whatever_aws_does_it_ends_completed_after_tries(fault: Any) -> None:
    for number in range(1, 40, 5 if LONG_RUN else 13):
        stage = Stage()
        stage.submit(LONG)
        try:
            stage.work(Plan({number: fault}))
        except (Unavailable, Conflict):
            stage.forget_the_lease()
            stage.work()
        assert stage.item()["state"] == "completed", (fault, number)


def test_a_second_worker_waits_for_the_lease_and_one_that_lost_it_writes_nothing() -> None:
    stage = Stage()
    stage.submit(LONG)
    first = stage.world.rewrites.begin(ACME, "rw1")
    assert first is not None
    with pytest.raises(Unavailable, match="being worked on"):
        stage.work()
    stage.forget_the_lease()
    second = stage.world.rewrites.begin(ACME, "rw1")
    assert second is not None and second["epoch"] == first["epoch"] + 1

    with pytest.raises(Conflict):
        stage.world.rewrites.keep(ACME, first, 0, [], 1)
    with pytest.raises(Conflict):
        stage.world.rewrites.fail(ACME, first, told(Unavailable("late")))


def test_a_rewrite_called_off_while_it_works_stops_after_the_stretch_in_hand_and_stays_cancelled() -> None:
    stage = Stage()
    stage.submit(LONG)
    stage.script.says["m"] = lambda ask: stage.world.rewrites.cancel(ACME, "rw1") and _plainly(ask)

    assert stage.work() == "cancelled"

    asked, item = len(stage.script.asked), stage.item()
    assert 0 < asked <= SECTION_PARTS and (item["state"], item["progress"]["step"]) == ("cancelled", 0)
    assert stage.work() == "nothing" == stage.work(last=True) and len(stage.script.asked) == asked
    assert stage.world.rewrites.result(ACME, item) == (None, None) and "result_key" not in item
    assert stage.world.rewrites.cancel(ACME, "rw1") == stage.item() == item


def test_a_rewrite_called_off_before_its_turn_is_never_begun() -> None:
    stage = Stage()
    stage.submit(LONG)
    assert stage.world.rewrites.cancel(ACME, "rw1")["state"] == "cancelled"

    assert stage.work() == "nothing" and stage.script.asked == []


def test_who_read_a_rewrite_before_it_was_called_off_does_not_bring_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.submit(LONG)
    read = Table.get

    def called_off_after(table: Table, *key: Any) -> Any:
        item = read(table, *key)
        monkeypatch.undo()
        stage.world.rewrites.cancel(ACME, "rw1")
        return item

    monkeypatch.setattr(Table, "get", called_off_after)
    with pytest.raises(Unavailable, match="called off"):
        stage.world.rewrites.begin(ACME, "rw1")
    assert stage.item()["state"] == "cancelled" and stage.item()["epoch"] == 0


def test_a_rewrite_that_ended_while_it_was_called_off_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.submit(LONG)
    read = Table.get

    def done_after(table: Table, *key: Any) -> Any:
        item = read(table, *key)
        monkeypatch.undo()
        assert stage.work() == "done"
        return item

    monkeypatch.setattr(Table, "get", done_after)
    with pytest.raises(Conflict, match="is completed"):
        stage.world.rewrites.cancel(ACME, "rw1")
    assert stage.item()["state"] == "completed" and stage.result()["text"]


@pytest.mark.parametrize("fault", ["throttle", "timeout", "lost", "error"])
def test_whatever_aws_does_a_rewrite_is_called_off_or_its_caller_told(fault: Any) -> None:
    for number in range(1, 3):
        stage = Stage()
        stage.submit(LONG)
        try:
            stage.world.through(Plan({number: fault})).rewrites.cancel(ACME, "rw1")
        except Unavailable:
            assert stage.world.rewrites.cancel(ACME, "rw1")["state"] == "cancelled"
        assert stage.item()["state"] == "cancelled" and stage.work() == "nothing"


def test_a_batch_tells_each_text_its_answer_or_its_failure() -> None:
    stage = Stage()
    stage.submit(paragraph(1), "", LONG, " ", paragraph(2))
    stage.work()

    told = stage.result()
    assert (told["done"], told["failed"]) == (3, 2) and [item["id"] for item in told["items"]] == [
        f"t{n}" for n in range(5)
    ]
    assert [item["state"] for item in told["items"]] == ["done", "failed", "done", "failed", "done"]
    assert told["items"][1]["problem"]["status"] == 422 and verify(LONG, told["items"][2]["result"]["text"]) == []


def test_a_named_models_lie_fails_the_job_in_words_and_in_a_batch_its_text_alone() -> None:
    def lies(ask: Ask) -> Completion:
        return Completion(ask.text.replace("hall 2 ", "hall 99 "), 7, 5)

    stage = Stage(lies)
    stage.submit(LONG, wish="m")
    assert stage.work() == "failed" and "did not keep" in stage.item()["error"] and stage.item()["state"] == "failed"
    problem, link = stage.world.rewrites.problem(stage.item())
    assert problem is not None and problem["violations"] and problem["status"] == 422 and link
    assert problem["draft"] == LONG.replace("hall 2 ", "hall 99 ") and "draft" not in json.dumps(
        stage.item(), default=str
    )
    stage.submit(paragraph(1), paragraph(2), id="rw2", wish="m")
    assert stage.work(id="rw2") == "done"

    good, bad = stage.result("rw2")["items"]
    assert (
        good["state"] == "done"
        and bad["problem"]["type"] == "/problems/unfaithful"
        and "hall 99" in bad["problem"]["draft"]
    )


def test_a_named_model_that_is_down_is_tried_again_and_told_in_the_end() -> None:
    stage = Stage(Unavailable("m is down."))
    stage.submit(LONG, wish="m")
    with pytest.raises(Unavailable):
        stage.work()
    assert stage.item()["state"] == "running" and stage.item()["lease_until"] == 0

    assert stage.work(last=True) == "failed" and stage.item()["error"] == "m is down."
    assert stage.world.rewrites.problem(stage.item()) == (told(Unavailable("m is down.")), None)


def test_a_provider_that_refuses_is_not_asked_again() -> None:
    stage = Stage(ProviderRefused("There is no key."))
    stage.submit(LONG, wish="m")
    assert stage.work() == "failed" and stage.item()["error"] == "There is no key."


@pytest.mark.parametrize(
    ("texts", "error"),
    [([" "], InvalidInput), (["a\ud800"], InvalidInput), (["é" * 2_500_001], TooLarge), (["a"] * 1_001, TooLarge)],
)
def test_what_is_no_order_is_refused(texts: list[str], error: type[Exception]) -> None:
    stage = Stage()
    with pytest.raises(error):
        stage.submit(*texts)
    assert stage.world.queue.sent == []


def test_five_megabytes_are_cut_once_and_kept_in_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n\n".join(paragraph(n) for n in range(1, 14_500))[:4_900_000]
    stage = Stage()
    stage.submit(text)
    monkeypatch.setattr(rewriting, "SLICE_S", -1.0)

    assert stage.work() == "more"

    item = stage.item()
    plan = stage.world.store.get_json(f"tenants/acme/rewrites/{item['id']}/plan.json")
    assert sum(s["end"] - s["start"] for stretch in plan for s in stretch) == len(text)
    assert item["progress"]["steps"] > 10_000 and json.dumps(item["progress"])
    assert JobState(item["state"]) is JobState.RUNNING
