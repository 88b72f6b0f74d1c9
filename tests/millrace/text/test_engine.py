"""Blocks that are searched together become what each becomes by itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from millrace.text.blocks import Block, blocks
from millrace.text.engine import kit, rewrite_block, rewrite_blocks
from millrace.text.ruledata import rules

from tests.millrace.text.samples import AI_TEXTS

_PIECES = [
    *(rule.example[0] for rule in rules()),
    *(
        "the the",
        "the",
        "  ",
        "(so so)",
        "colour",
        "color",
        "-colour",
        "Organisation",
        "moreover",
        "😀",
        "İ",
        "—",
        "-",
        "’",
    ),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3).map(" ".join), max_size=6))
def test_no_block_hears_of_its_neighbours(texts: list[str]) -> None:
    held = [Block(text, True) for text in texts] + [block for block in blocks(AI_TEXTS[0]) if block.prose]

    for dialect in ("", "british", "american"):
        alone = [rewrite_block(block, kit("strong", "plain"), 3, dialect) for block in held]
        assert rewrite_blocks(held, kit("strong", "plain"), 3, dialect) == alone

    assert rewrite_blocks([], kit("strong", "plain"), 3) == []
