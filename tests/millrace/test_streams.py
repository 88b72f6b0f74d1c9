"""A stream: what it releases verifies at every moment, in order, and stops when nobody waits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.errors import Abandoned, InvalidInput, NotFound, Unavailable, Unfaithful
from millrace.humanize import Answer
from millrace.providers import Ask, Completion
from millrace.text.faithfulness import verify

from tests.fakes import examples
from tests.millrace.test_humanize import ACME, CODE, TEXT, Stage, paragraph

LONG = "\n\n".join([CODE, *(paragraph(n) for n in range(1, 9))])


def _plainly(ask: Ask) -> Completion:
    return Completion(ask.text.replace("Moreover, ", ""), 7, 5)


def _stream(stage: Stage, text: str = LONG, wish: str | None = None, **more: Any) -> Any:
    return stage.humanizer().stream(ACME, Ask(text), wish, **more)


def _all(stage: Stage, text: str = LONG, wish: str | None = None) -> tuple[list[str], Answer]:
    *pieces, answer = _stream(stage, text, wish)
    return pieces, answer


def test_the_pieces_are_the_answer_which_is_captured_once() -> None:
    stage = Stage({"good": _plainly})

    pieces, answer = _all(stage)

    assert len(pieces) >= 5 and "".join(pieces) == answer.text and answer.model_id == "good"
    assert CODE in answer.text and verify(LONG, answer.text) == []
    assert answer.usage["output_tokens"] == 5 * len(stage.script.asked)
    assert [point.id for point in stage.world.corpus.page(ACME, 10, None)[0]] == [answer.decision_id]


def test_a_paragraph_is_released_while_later_ones_are_still_written() -> None:
    held = threading.Event()

    def waits(ask: Ask) -> Completion:
        if "hall 8" in ask.text:
            held.wait(20)
        return _plainly(ask)

    stream = _stream(Stage({"good": waits}))
    first = next(stream)
    assert first.startswith(CODE) and not held.is_set()
    held.set()

    assert isinstance(list(stream)[-1], Answer)


def test_a_paragraph_that_lies_escalates_before_any_of_it_is_released() -> None:
    def lies(ask: Ask) -> Completion:
        return Completion(ask.text.replace("hall 3", "hall 99"), 7, 5)

    pieces, answer = _all(Stage({"liar": lies}))

    assert "hall 99" not in "".join(pieces) and "hall 3" in answer.text
    assert "unfaithful" in {reason["code"] for reason in answer.reasons}


def test_a_paragraph_that_breaks_what_was_released_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from millrace import paragraphs
    from millrace.text.faithfulness import Violation

    def together(source: str, text: str) -> list[Violation]:
        return [Violation("number", "5", "")] if "hall 5" in source and "Moreover" not in text[-400:] else []

    monkeypatch.setattr(paragraphs, "verify", together)
    pieces, answer = _all(Stage({"good": _plainly}))

    kept = [piece for piece in pieces if "Moreover, " in piece]
    assert kept and "stay as they were" in answer.reasons[0]["text"] and "".join(pieces) == answer.text


def test_what_fails_before_the_first_piece_fails_as_without_a_stream() -> None:
    with pytest.raises(NotFound):
        next(_stream(Stage({}), TEXT, "nobody"))
    with pytest.raises(InvalidInput):
        next(_stream(Stage({}), " "))
    with pytest.raises(Unfaithful):
        next(_stream(Stage({"liar": "We use 9 servers."}), TEXT, "liar"))
    with pytest.raises(Unavailable):
        next(_stream(Stage({"sick": Unavailable("It is down.")}), LONG, "sick"))


def test_a_named_models_lie_in_a_later_paragraph_ends_the_stream_with_its_draft() -> None:
    def lies(ask: Ask) -> Completion:
        return Completion(ask.text.replace("hall 8", "hall 99"), 7, 5)

    stream, released = _stream(Stage({"liar": lies}), LONG, "liar"), []
    with pytest.raises(Unfaithful) as told:
        released += list(stream)

    assert "hall 99" in told.value.draft and "hall 1" not in told.value.draft


@pytest.mark.parametrize("how", ["stopped", "closed"])
def test_who_goes_away_stops_the_work_and_what_is_out_is_left(how: str) -> None:
    entered = threading.Semaphore(0)

    def hangs(ask: Ask) -> Any:
        if "hall 1" in ask.text:
            return _plainly(ask)
        entered.release()
        return "hang"

    stage, stopped = Stage({"slow": hangs}), threading.Event()
    stream = _stream(stage, stopped=stopped)
    next(stream)
    for _ in range(3):
        assert entered.acquire(timeout=10)
    if how == "stopped":
        stopped.set()
        with pytest.raises(Abandoned):
            list(stream)
    else:
        stream.close()
    asked = len(stage.script.asked)
    stage.script.release.set()

    assert asked < len(LONG.split("\n\n")) and len(stage.script.asked) == asked
    assert stage.world.corpus.page(ACME, 10, None)[0] == []


@given(st.lists(st.sampled_from(["plain", "lie", "down"]), min_size=8, max_size=8))
@examples(15)
def test_for_auto_every_moment_of_every_stream_verifies(fates: list[str]) -> None:
    def says(ask: Ask) -> Any:
        n = next((n for n in range(8, 0, -1) if f"hall {n}" in ask.text), 1)
        if fates[n - 1] == "down":
            return Unavailable("down")
        text = ask.text.replace(f"hall {n}", "hall 77") if fates[n - 1] == "lie" else ask.text
        return Completion(text.replace("Moreover, ", ""), 7, 5)

    pieces, answer = _all(Stage({"one": says}))

    assert "".join(pieces) == answer.text and verify(LONG, answer.text) == []
    assert "hall 77" not in answer.text
