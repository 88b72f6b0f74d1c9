"""Faithfulness: every planted change is found under its kind, and a good editor's work raises no alarm."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace.text import facts, names, quantities, roles
from millrace.text.faithfulness import KINDS, Violation, against, verify
from millrace.text.words import WORD, beyond_ascii, word_list, words_of

from tests.millrace.text.samples import AI_TEXTS, FAITHFUL_PAIRS, HUMAN_TEXTS, MACHINE_LIKE, PLANTED


@pytest.mark.parametrize(("kind", "source", "rewrite"), PLANTED, ids=[f"{n}-{p[0]}" for n, p in enumerate(PLANTED)])
def test_a_planted_change_is_found_under_its_kind(kind: str, source: str, rewrite: str) -> None:
    assert kind in {violation.kind for violation in verify(source, rewrite)}


def test_every_kind_has_a_planted_change() -> None:
    assert {kind for kind, _, _ in PLANTED} == set(KINDS)


@pytest.mark.parametrize(("source", "rewrite"), FAITHFUL_PAIRS, ids=range(len(FAITHFUL_PAIRS)))
def test_a_faithful_edit_raises_no_alarm(source: str, rewrite: str) -> None:
    assert verify(source, rewrite) == []


@pytest.mark.parametrize("text", AI_TEXTS + HUMAN_TEXTS + MACHINE_LIKE, ids=lambda text: text[:20])
def test_a_text_is_faithful_to_itself_with_other_white_space(text: str) -> None:
    assert verify(text, text + "\n") == []


EQUAL = [
    ("It costs 1,000 dollars.", "It costs $1000."),
    ("We met on 5 March 2024.", "We met on March 5th, 2024."),
    ("We met on 2024-03-05 here.", "We met on March 5, 2024 here."),
    ("It took one hundred and two days.", "It took 102 days."),
    ("He earns $5k now.", "He earns $5,000 now."), ("It is 1.50 long.", "It is 1.5 long."),
    ("A 30-minute walk helps.", "A walk of thirty minutes helps."), ("It's 5 percent.", "It is 5%."),
    ("We do not know.", "We don't know."), ("She is unable to come.", "She cannot come."),
    ("He said “it works.”", "He said “it works”."), ("The U.S. team won it.", "The U.S. team won it all."),
    ("It grew by half.", "It grew by 50%."), ("Therefore, dogs bark.", "Dogs bark."),
    ("It starts at 3:00 PM.", "It starts at 15:00."), ("Acme's plan is good.", "The plan of Acme is good."),
    ("Growth was twofold, or 2x.", "Growth was twofold, or 2 times."),
    ("The results of Smith (2020) hold.", "Smith (2020) holds."),
    ("Take it twice a day.", "Take it two times a day."), ("It doubled in size.", "It grew twofold."),
    ("Half of their customers left.", "50% of their customers left."), ("Add 1/2 of it.", "Add half of it."),
    ("Take 5 mg/day.", "Take 5 mg daily."), ("It takes no more than 5 days.", "It takes up to 5 days."),
    ("No fewer than 50 people came.", "At least 50 people came."), ("It is 5 percent.", "It is 5 per cent."),
    ("More than 50 people came.", "Over 50 people came."), ("50 people or more came.", "At least 50 people came."),
    ("It should not exceed 1.5 g.", "It should be at most 1.5 g."), ("We drove 60 miles per hour.", "We drove 60 mph."),
    ("The trip will not exceed 52 euros.", "The trip won't go over 52 euros."),
    ("It took 50 or more days.", "It took at least 50 days."), ("It has 5 km².", "It has 5 square kilometres."),
]  # fmt: skip


@pytest.mark.parametrize(("one", "two"), EQUAL, ids=range(len(EQUAL)))
def test_equal_forms_pass_both_ways(one: str, two: str) -> None:
    assert verify(one, two) == []
    assert verify(two, one) == []


def test_a_violation_shows_both_sides() -> None:
    assert verify("Walk 5 km home.", "Walk 5 miles home.") == [Violation("unit", "5 km", "5 miles")]


@pytest.mark.parametrize("before", ["", "We met.\n", "We met.\n\n", "- one thing\n"])
def test_a_number_at_the_start_of_a_line_is_one(before: str) -> None:
    assert verify(f"{before}12 men came.", f"{before}14 men came.") == [
        Violation("number", "12", ""),
        Violation("number", "", "14"),
    ]


@pytest.mark.parametrize(("kind", "source", "rewrite"), PLANTED, ids=[f"{n}-{p[0]}" for n, p in enumerate(PLANTED)])
def test_a_source_read_once_judges_each_of_its_rewrites_alike(kind: str, source: str, rewrite: str) -> None:
    judge = against(source)

    assert [judge(text) for text in (rewrite, source, rewrite)] == [
        verify(source, rewrite),
        [],
        verify(source, rewrite),
    ]


_BITS = st.sampled_from(
    "“ ” \" ' ‘ ’ « » must should be noted has to required is naïve É Ab’s McAb iAb 'Ab a_b _x [1] (Ab 2020) ( [ "
    "\\cite{a} 12 ½ \n \u2003 İ ß — 🎉 .".split(" ")
)
_QUOTE = re.compile(
    r"“[^“”\n]{1,2000}”|«[^«»\n]{1,2000}»|(?<![\w\"])\"(?=\S)[^\"\n]{1,2000}(?<=\S)\"(?!\w)"
    r"|(?<!\w)‘[^‘’\n]{2,300}’(?!\w)"
)
"""A quotation as one would write it down."""
_SOUP = st.lists(st.one_of(_BITS, st.text(max_size=4)), max_size=30).flatmap(
    lambda bits: st.sampled_from([" ".join(bits), "".join(bits)])
)


@settings(max_examples=300, deadline=None)
@given(_SOUP)
def test_what_is_tried_only_where_it_can_begin_is_what_a_plain_search_finds(text: str) -> None:
    assert facts.QUOTE.findall(text) == _QUOTE.findall(text)
    assert word_list(text) == WORD.findall(text)
    assert words_of(text) == frozenset(re.findall(r"[^\W_]+", text.casefold()))
    assert roles._modals(text) == (roles.STRONG.findall(text), roles.WEAK.findall(text))
    capitals = [(match.start(), match.group()) for match in names._CAPITAL.finditer(text)]
    inside = {n for start, word in capitals for n in range(start + 1, start + len(word))}
    camels = [found for found in names._camels(text) if found[0] not in inside]
    assert names._capitals(text, beyond_ascii(text)) == sorted(capitals + camels)
    assert facts.sub_emails(lambda match: f"<{match.group()}>", text) == facts.EMAIL.sub(r"<\g<0>>", text)
    cited: list[str] = []
    left = facts._take("citation", facts.CITATION, text, cited, [])
    assert cited == [facts._canonical("citation", match.group()) for match in facts.CITATION.finditer(text)]
    assert left == facts.CITATION.sub(lambda match: f"`{' ' * (len(match.group()) - 2)}`", text)


_COUNTED = st.lists(
    st.sampled_from(
        "5 12 2024 1,000 1.5 . , ; ) - / k m mn µg °C % km h mph km² m2 of or more million hundred thousand x "
        "or more kg per cent Kg men \n ½ 3rd 90s 3: 4pm KB".split(" ")
    ),
    max_size=12,
).flatmap(lambda bits: st.sampled_from([" ".join(bits), "".join(bits), "-".join(bits)]))
_ANY_UNIT = re.compile(rf"(?:{quantities._UNIT.pattern})?", re.IGNORECASE)


@settings(max_examples=500, deadline=None)
@given(_COUNTED)
def test_a_number_that_looks_plain_is_no_other_and_has_the_unit_that_it_would_have(text: str) -> None:
    for place in quantities._DIGITS.finditer(text):
        number = quantities._NUMBER.match(text, place.start())
        if plain := quantities._PLAIN_NUMBER.match(text, place.start()):
            assert number is not None
            assert [number.end(), *filter(None, number.groups())] == [plain.end(), plain.group()]
        found = quantities._number(text, place.start())
        if number and found:
            whole = _ANY_UNIT.match(text, number.end())
            assert found[1] == (number.start(), whole.end() if whole else number.end())


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_get_an_answer_and_equal_ones_none(one: str, two: str) -> None:
    assert verify(one, one) == []
    assert all(violation.kind in KINDS for violation in verify(one, two))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 10**7),
    st.sampled_from(["We sold {} units.", "It costs ${}.", "About {}% of it.", "It is {} km long."]),
)
def test_any_number_that_changes_is_found(value: int, frame: str) -> None:
    assert verify(frame.format(value), frame.format(f"{value:,}")) == []
    assert [v.kind for v in verify(frame.format(value), frame.format(value + 1))].count("number") >= 1


@pytest.mark.parametrize(
    "unit",
    [
        "(Ab, ",
        "[1, ",
        "“a",
        '"a ',
        "`a",
        "{{RED:",
        "not ",
        "1/",
        "1.",
        "A ",
        "a@",
        "www.",
        "$1",
        "Jan 1 ",
        "```a\n",
        "~~~\n```\n",
        "no ",
        "- ```\n",
    ],
)
def test_repetition_of_any_opener_takes_linear_time(unit: str) -> None:
    def seconds(count: int) -> float:
        text = unit * count
        start = time.process_time()
        verify(text, text + " x")
        return time.process_time() - start

    seconds(500)

    assert min(seconds(8_000) for _ in range(3)) < 24 * max(min(seconds(1_000) for _ in range(3)), 0.005)


@pytest.mark.parametrize(
    "frame", ["5 {}, ", "Not {}. ", "It is not only {}. ", "5 {} or more, ", "[{}](x/{}) ", "Anna {} 5 [1]. "]
)
def test_many_different_words_take_linear_time(frame: str) -> None:
    def seconds(count: int) -> float:
        words = ["q" + "".join(map(chr, (97 + n // 676, 97 + n // 26 % 26, 97 + n % 26))) for n in range(count)]
        text = "".join(frame.replace("{}", word) for word in words)
        start = time.process_time()
        verify(text, text.replace("q", "k") + " ".join(words))
        return time.process_time() - start

    seconds(500)

    assert min(seconds(8_000) for _ in range(3)) < 24 * max(min(seconds(1_000) for _ in range(3)), 0.005)
