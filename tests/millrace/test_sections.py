"""Sections make the text byte for byte, each fits one request, and answers come together verified."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace import paragraphs
from millrace.complexity import complexity
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


def test_a_blank_text_is_one_kept_section() -> None:
    assert list(sections(0, "")) == []
    assert list(sections(4, " \n ")) == [Section(4, 0, 3, 1, kept=True)]
