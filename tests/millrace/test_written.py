from __future__ import annotations

import pytest
from millrace.catalogue import RULES, Entry
from millrace.errors import Unfaithful
from millrace.paragraphs import Part
from millrace.providers import Completion
from millrace.routing import Reason
from millrace.written import MOST_REASONS, Written, hold_faithful, merged, usage_of, whole

A, B = Entry("a@1", "scripted", input_usd=2.0, output_usd=10.0), Entry("b@1", "scripted")
PARTS = [Part("# H\n", "We use 3 halls."), Part("\n\n", "They cost 9 euros, and nobody was glad about it.", "\n")]


def _by(entry: Entry, text: str, *codes: str) -> Written:
    return Written(text, entry, tuple(Reason(code, code) for code in codes), ((entry, Completion(text, 10, 5)),))


def test_the_author_is_who_wrote_the_most_words_and_everybody_is_named() -> None:
    written = [_by(A, PARTS[0].body, "answered", "suits"), _by(B, PARTS[1].body, "answered", "unfaithful", "suits")]

    one = whole(PARTS, [each.text for each in written], written)

    assert one.entry == B and one.text == "# H\nWe use 3 halls.\n\nThey cost 9 euros, and nobody was glad about it.\n"
    assert one.reasons[0].text == "of 2 parts a@1 rewrote 1, b@1 rewrote 1; each verified, and so does the whole"
    assert [reason.text for reason in one.reasons[1:]] == ["suits", "unfaithful (1 of 2 parts)"]
    assert len(one.spent) == 2


def test_a_part_that_stays_as_it_was_has_no_author() -> None:
    written = [_by(A, "We use three halls."), _by(B, "They cost 9 euros.")]

    one = whole(PARTS, ["We use three halls.", PARTS[1].body], written)
    none = whole(PARTS, [part.body for part in PARTS], written)

    assert one.entry == A and "1 stay as they were" in one.reasons[0].text
    assert none.entry == RULES and "2 stay as they were" in none.reasons[0].text


def test_an_unfaithful_part_is_told_with_the_whole_draft() -> None:
    written = [_by(A, "We use 4 halls."), _by(A, PARTS[1].body)]

    with pytest.raises(Unfaithful, match="number") as told:
        hold_faithful(A, PARTS, written)
    assert told.value.draft == "# H\nWe use 4 halls.\n\nThey cost 9 euros, and nobody was glad about it.\n"


def test_reasons_are_told_once_and_not_without_end() -> None:
    many = merged([[Reason("misfit", f"{n} words")] for n in range(100)])
    assert len(many) == MOST_REASONS + 1 and many[-1].text.startswith("76 more")
    assert merged([[Reason("floor", "x")]] * 3) == (Reason("floor", "x"),)


def test_what_all_calls_took_is_summed_and_only_who_charges_is_paid() -> None:
    spent = [(A, Completion("x", 1_000_000, 100_000)), (B, Completion("y", 5, 7)), (A, Completion("z", 0, 0))]
    assert usage_of(spent) == {"input_tokens": 1_000_005, "output_tokens": 100_007, "cost_usd": pytest.approx(3.0)}
    assert usage_of([]) == {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0}
