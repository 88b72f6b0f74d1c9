"""Sections make the text byte for byte, each fits one request, and answers come together verified."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace import paragraphs
from millrace.complexity import complexity
from millrace.errors import Unfaithful
from millrace.humanize import check
from millrace.sections import SECTION_WORDS, STRETCH_SECTIONS, Answered, Section, kept, planned, sections, whole
from millrace.text.faithfulness import verify

from tests.fakes import examples
from tests.millrace.test_humanize import CODE, TABLE, paragraph

SENTENCE = "word " * 20_000
BLOCKS = st.sampled_from(
    [CODE, TABLE, "# Head", "", "   ", "A b c.", paragraph(3), "- one\n- two", "x" * 30_000, "🎉", "مرحبا"]
)


def _answered(text: str) -> Answered:
    usage = {"input_tokens": 2, "output_tokens": 3, "cost_usd": 0.5}
    return Answered(text, "m", "dp1", [{"code": "answered", "text": "m answered"}], usage, 10.0)


@given(st.lists(BLOCKS, max_size=40))
@examples(60)
def test_sections_make_the_text_and_each_can_be_asked_for(blocks: list[str]) -> None:
    text = "\n\n".join(blocks)

    found = list(sections(0, text))

    assert "".join(text[s.start : s.end] for s in found) == text
    assert all(before.end == after.start for before, after in pairwise(found))
    for section in found:
        if not section.kept:
            check(text[section.start : section.end])


@pytest.mark.parametrize("text", ["```\n" + "x = 1\n" * 50_000 + "```", SENTENCE, CODE + "\n\n" + SENTENCE])
def test_what_no_request_holds_stays_as_it_is(text: str) -> None:
    found = list(sections(0, text))
    assert any(section.kept for section in found) and "".join(text[s.start : s.end] for s in found) == text


def test_short_texts_are_answered_together_and_a_long_one_in_stretches() -> None:
    long = "\n\n".join(paragraph(n) for n in range(1, 200))

    plan = planned([paragraph(1)] * 30 + [long])

    sizes = [sum(paragraphs.size(long[s.start : s.end]) for s in stretch if s.at == 30) for stretch in plan]
    assert (
        len(plan[0]) == STRETCH_SECTIONS and len([size for size in sizes if size]) > 5 and max(sizes) <= SECTION_WORDS
    )
    assert sum(s.parts for stretch in plan for s in stretch if s.at == 30) == len(paragraphs.split(long))


def test_many_short_texts_are_no_longer_work_at_a_time_than_one_section() -> None:
    """However many there are: a stretch is kept before a function's time is over."""
    stretches = planned([f"A title of {n} words." for n in range(1_000)])

    assert max(map(len, stretches)) == STRETCH_SECTIONS and sum(map(len, stretches)) == 1_000


def test_answers_come_together_with_their_costs_and_reasons() -> None:
    text = "\n\n".join(paragraph(n) for n in range(1, 60))
    cut = list(sections(0, text))
    answers = [_answered(text[s.start : s.end].replace("Moreover, ", "")) for s in cut]

    told = whole(text, cut, [*answers[:-1], kept(text[cut[-1].start :])])

    assert verify(text, told["text"]) == [] == told["violations"] and told["model_id"] == "m"
    assert told["usage"]["output_tokens"] == 3 * (len(cut) - 1) and told["decisions"] == ["dp1"] * (len(cut) - 1)
    assert told["reasons"][0]["text"] == f"m answered ({len(cut) - 1} of {len(cut)} sections)"
    assert told["scores"]["before"] and told["scores"]["after"]
    assert told["complexity"] == complexity(text).to_dict()


def test_a_section_that_breaks_the_whole_becomes_what_it_was() -> None:
    text = "\n\n".join(paragraph(n) for n in range(1, 60))
    cut = list(sections(0, text))
    answers = [_answered(text[s.start : s.end].replace("Moreover, ", "")) for s in cut]
    answers[1] = _answered(answers[1].text.replace("hall", "yard 999 hall"))

    told = whole(text, cut, answers)

    assert verify(text, told["text"]) == [] and "999" not in told["text"]
    assert told["text"].startswith(answers[0].text)


def _halls(count: int) -> tuple[str, list[Section]]:
    """A text of two duties a paragraph, and its sections."""
    duties = "The doors of hall {n} must be shut at night, and the lamps of hall {n} must be out. " + "Rest well. " * 12
    text = "\n\n".join(duties.format(n=n).strip() for n in range(count))
    return text, list(sections(0, text))


def _wrote(text: str, cut: list[Section], edits: dict[int, tuple[str, str]]) -> list[Answered]:
    """Each section by the model, with one edit where one is asked for."""
    each = [text[s.start : s.end].replace("be shut at", "be closed at") for s in cut]
    return [_answered(body.replace(*edits[at], 1) if at in edits else body) for at, body in enumerate(each)]


def test_of_a_duty_that_moved_between_sections_one_section_stays_and_the_rest_is_the_models() -> None:
    """H12: each verifies alone, and its words stand in every other section too."""
    text, cut = _halls(60)
    answers = _wrote(text, cut, {0: ("must be out", "are out"), 2: ("Rest well", "You may rest well")})
    assert len(cut) >= 4
    for section, answer in zip(cut, answers, strict=True):
        assert verify(text[section.start : section.end], answer.text) == []
    assert {one.kind for one in verify(text, "".join(answer.text for answer in answers))} == {"modal"}

    told = whole(text, cut, answers)

    stayed = [at for at, section in enumerate(cut) if text[section.start : section.end] in told["text"]]
    assert verify(text, told["text"]) == [] and stayed in ([0], [2])
    assert told["model_id"] == "m"
    assert {"code": "unchanged"}.items() <= told["reasons"][-1].items()
    assert told["reasons"][0]["text"] == f"m answered ({len(cut) - 1} of {len(cut)} sections)"
    assert told["reasons"][-1]["text"].endswith(f"(1 of {len(cut)} sections)")


def test_what_nobody_wrote_is_credited_to_nobody_and_a_named_model_is_told_what_it_broke() -> None:
    """H1, H12: no section alone is to blame, so mending finds nothing."""
    text, cut = _halls(48)
    edits = {at: ("must be out", "may be out") for at in range(len(cut))}
    answers = _wrote(text, cut, edits)

    told = whole(text, cut, answers)
    with pytest.raises(Unfaithful) as refused:
        whole(text, cut, answers, wished=True)

    assert told["text"] == text and told["model_id"] == "rules"
    assert refused.value.draft == "".join(answer.text for answer in answers)
    assert {one["kind"] for one in refused.value.violations} == {"modal"} and str(refused.value).startswith(
        "m answered"
    )


def test_a_blank_text_is_one_kept_section() -> None:
    assert list(sections(0, "")) == []
    assert list(sections(4, " \n ")) == [Section(4, 0, 3, 1, kept=True)]
