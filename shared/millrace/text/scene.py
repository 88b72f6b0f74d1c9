"""One block as the rules see it: its text, what is masked in it, its sentences. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from millrace.text.blocks import Block, mask, sentence_spans
from millrace.text.edits import Edit
from millrace.text.ruledata import Rule


@dataclass(slots=True)
class Scene:
    """`low` is `masked` in lower case, of the same length; `spans` are the sentences; `item`: it is a list item."""

    block: str
    masked: str
    low: str
    spans: list[tuple[int, int]]
    lead: int
    item: bool
    dialect: str = ""


Op = Callable[[Scene, Rule], list[Edit]]


def look(text: str, block: Block, dialect: str = "") -> Scene:
    """The scene of `text`, which is what `block` has become so far."""
    masked = mask(text, block.lead)
    spans = sentence_spans(masked, block.lead)
    low = lowered(masked)
    return Scene(text, masked, low, spans, block.lead, block.item, dialect)


def lowered(masked: str) -> str:
    """Lower case of the same length."""
    low = masked.lower()
    return low if len(low) == len(masked) else "".join(c.lower() if len(c.lower()) == 1 else c for c in masked)
