"""The word diff, held against a plain longest common subsequence."""

from __future__ import annotations

from random import Random

from tests.console.conftest import Watched

WORDS = ["a", "b", "c", "don't", "3.5", ".", ","]
RUN = """async pairs => {
  const { diff, tokens } = await import('/console/diff.js');
  return pairs.map(([a, b]) => [diff(a, b), tokens(a), tokens(b)]);
}"""


def common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, by the textbook's table."""
    row = [0] * (len(b) + 1)
    for one in a:
        before = row[:]
        for at, other in enumerate(b):
            row[at + 1] = before[at] + 1 if one == other else max(row[at], before[at + 1])
    return row[-1]


def drawn(alphabet: list[str], blank: str) -> list[tuple[str, str]]:
    draw = Random(7)
    texts = [blank.join(draw.choices(alphabet, k=draw.randrange(14))) for _ in range(400)]
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_the_parts_make_both_texts(console: Watched) -> None:
    page = console.open("humanize")
    pairs = drawn(WORDS, " ")

    for (before, after), (parts, _, _) in zip(pairs, page.evaluate(RUN, pairs), strict=True):
        assert "".join(part["text"] for part in parts if part["kind"] != "ins") == before
        assert "".join(part["text"] for part in parts if part["kind"] != "del") == after


def test_no_shorter_edit_exists(console: Watched) -> None:
    """Marks alone, each a token: between words a blank may be given up so that a change reads as one."""
    page = console.open("humanize")
    pairs = drawn(list(".,;!"), "")

    for parts, a, b in page.evaluate(RUN, pairs):
        assert sum(len(part["text"]) for part in parts if part["kind"] == "same") == common(a, b)


def test_a_whole_page_of_text_is_compared_at_once(console: Watched) -> None:
    page = console.open("humanize")
    before = " ".join(f"word{n}" for n in range(2400))
    after = " ".join("other" if n % 3 else f"word{n}" for n in range(2400))

    took_ms, same = page.evaluate(
        "async ([a, b]) => { const m = await import('/console/diff.js'); const t = performance.now();"
        " const parts = m.diff(a, b); return [performance.now() - t, parts.filter(p => p.kind === 'same').length]; }",
        [before, after],
    )

    assert same >= 700
    assert took_ms < 5000
