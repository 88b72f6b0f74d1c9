from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace import paragraphs
from millrace.paragraphs import FEW_WORDS, MOST_PARTS, MOST_WORDS, Part, join, mend, size, split, worthy
from millrace.text.faithfulness import verify

from tests.fakes import examples

PROSE = "We moved the three offices to Berlin, and nobody complained about the new rooms or the longer way there. " * 3
DOCUMENT = f"""# Report

{PROSE}

```python
def moved(rooms):

    return rooms + 3
```

{PROSE}

| room | people |
|------|--------|
| 1    | 3      |

- The first item says a thing.
- The second item says another.

> Somebody said this.

{PROSE}
"""
SCRIPTS = ["---", "\t", "Zwei Wörter", "مرحبا بالعالم", "🎉🎉", "<div>", "$$", "\r", "\x0b", "“Quoted", "end.”"]
LINES = st.lists(
    st.sampled_from(
        [
            "",
            " ",
            *SCRIPTS,
            "# Head",
            "- item one",
            "1. item",
            "```",
            "~~~",
            "| a | b |",
            "> said",
            "    code()",
            "Short.",
            PROSE,
        ]
    ),
    max_size=30,
)


def bodies(text: str) -> list[str]:
    return [part.body for part in split(text)]


@examples(300)
@given(LINES, st.sampled_from(["\n", "\n\n", "\r\n", " \n \n"]))
def test_the_parts_joined_are_the_text(lines: list[str], end: str) -> None:
    text = end.join(lines)
    parts = split(text)
    assert join(parts, [part.body for part in parts]) == text
    assert all(part.body == part.body.strip() for part in parts)


@examples(200)
@given(st.text(max_size=400))
def test_any_characters_at_all_are_kept(text: str) -> None:
    parts = split(text)
    assert join(parts, [part.body for part in parts]) == text


def test_nobody_is_asked_to_rewrite_code_tables_headings_and_quotations() -> None:
    asked = "\n".join(bodies(DOCUMENT))

    for kept in ("# Report", "def moved", "return rooms", "| 1 ", "> Somebody", "```"):
        assert kept not in asked
    assert asked.count("We moved") == 9 and "second item" in asked


def test_a_paragraph_is_a_part_of_its_own_and_a_list_is_one() -> None:
    found = bodies(DOCUMENT)
    assert [body for body in found if body.startswith("We")] == [PROSE.strip()] * 3
    assert [body for body in found if body.startswith("-")] == [
        "- The first item says a thing.\n- The second item says another."
    ]


def test_short_paragraphs_go_together_so_that_hundreds_of_lines_are_few_calls() -> None:
    found = bodies("\n\n".join(f"Line {n} is short." for n in range(400)))
    assert len(found) <= 400 * 4 / (MOST_WORDS - FEW_WORDS) + 1
    assert all(FEW_WORDS <= size(body) <= MOST_WORDS for body in found)


def test_a_paragraph_longer_than_anybody_writes_is_cut_after_a_sentence() -> None:
    found = bodies(PROSE.strip() + " " + PROSE * 20)
    assert len(found) > 3
    assert all(size(body) <= MOST_WORDS and body.endswith(".") for body in found)


@pytest.mark.parametrize("text", ["```\nx = 1\n```", "# Only a heading\n", "| a |\n|---|\n| 1 |\n", "", " \n\n "])
def test_a_text_of_nothing_to_rewrite_has_no_body(text: str) -> None:
    assert split(text) == [Part(text, "")]


def test_a_text_without_spaces_has_a_size_too() -> None:
    assert size("文" * 1200) == 100 and size("two words") == 2


def test_what_breaks_the_whole_alone_becomes_what_it_was() -> None:
    """Two parts swap a figure between them: the first verifies only with a figure that the second lost."""
    parts = [Part("", "We hired 12 people."), Part("\n\n", "We use 3 halls."), Part("\n\n", "We paid 900 euros.")]
    text = join(parts, [part.body for part in parts])

    mended, broken = mend(text, parts, ["We took on 12 people.", "We use four halls.", "We spent 900 euros."])

    assert mended == ["We took on 12 people.", "We use 3 halls.", "We spent 900 euros."]
    assert not broken and not verify(text, join(parts, mended))


def test_what_cannot_be_mended_is_told() -> None:
    parts = [Part("", "We use 3 halls.")]
    _, broken = mend("We use 9 halls.", parts, ["We use 3 halls."])
    assert {violation.kind for violation in broken} == {"number"}
    assert paragraphs.MOST_WORDS < paragraphs.LONG_WORDS


def test_of_very_many_parts_the_longest_are_worth_a_call() -> None:
    parts = [Part("", "word " * n) for n in range(1, 200)]
    assert worthy(parts) == [n > 199 - MOST_PARTS for n in range(1, 200)]
    assert all(worthy(parts[:MOST_PARTS]))


def test_mending_looks_first_where_the_words_of_a_violation_stand() -> None:
    """Of 300 changed parts the one to blame is found within the tries."""
    parts = [Part("\n\n", f"We utilize hall {n}.") for n in range(300)]
    bodies = [f"We use hall {n if n != 299 else 777}." for n in range(300)]
    text = join(parts, [part.body for part in parts])

    mended, broken = mend(text, parts, bodies)

    assert not broken and mended == [*bodies[:299], parts[299].body]
