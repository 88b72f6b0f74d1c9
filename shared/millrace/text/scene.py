"""One block as the rules see it: its text, what is masked in it, its sentences. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from millrace.text.blocks import Block, mask, sentence_spans
from millrace.text.edits import Edit
from millrace.text.ruledata import Rule
from millrace.text.sentences import split, split_each


@dataclass(slots=True)
class Scene:
    """`low` is `masked` in lower case, of the same length; `spans` are the sentences; `item`: it is a list item; `at`:
    where it begins in the text of all that are searched together.
    """

    block: str
    masked: str
    low: str
    spans: list[tuple[int, int]]
    lead: int
    item: bool
    dialect: str = ""
    at: int = 0


Op = Callable[[Scene, Rule], list[Edit]]
Place = tuple[int, int, int]
"""Where something begins, minus where it ends, and which it is: what begins first and is longest sorts first."""
Signs = Callable[[str, str], Iterable[int]]
"""Places in a text in lower case, for a dialect."""
_BETWEEN = " \0 "
"""Between blocks that are searched together: no phrase holds it, so that no two words of two are one."""


def holding(scenes: list[Scene], places: Iterable[int]) -> list[int]:
    """Which of the scenes hold one of these places in the text of them together."""
    found: list[int] = []
    n, end = -1, -1
    for place in sorted(places):
        if place > end:
            while place > end:
                n += 1
                end = scenes[n].at + len(scenes[n].low)
            found.append(n)
    return found


def shared(scenes: list[Scene], places: list[Place]) -> list[list[Place]]:
    """What of these, found in the text of all scenes together, is in each; both ascending."""
    found: list[list[Place]] = [[] for _ in scenes]
    n, end = -1, -1
    for place in places:
        while place[0] >= end:
            n += 1
            end = scenes[n].at + len(scenes[n].low)
        found[n].append(place)
    return found


def look(text: str, block: Block, masked: str, low: str, dialect: str = "") -> Scene:
    """The scene of `text`, which is what `block` has become so far."""
    return Scene(text, masked, low, sentence_spans(split(masked), block.lead), block.lead, block.item, dialect)


def looks(texts: list[str], blocks: list[Block], dialect: str) -> tuple[list[Scene], str]:
    """The scene of each text, and all of them in lower case, to be searched at once: most hold nothing, and a search
    for each costs more.
    """
    masks = [mask(text, block.lead) for text, block in zip(texts, blocks, strict=True)]
    scenes: list[Scene] = []
    at = 0
    for text, block, masked, pieces in zip(texts, blocks, masks, split_each(masks), strict=True):
        low = lowered(masked)
        spans = sentence_spans(pieces, block.lead)
        scenes.append(Scene(text, masked, low, spans, block.lead, block.item, dialect, at))
        at += len(low) + len(_BETWEEN)
    return scenes, _BETWEEN.join([scene.low for scene in scenes])


def lowered(masked: str) -> str:
    """Lower case of the same length."""
    low = masked.lower()
    return low if len(low) == len(masked) else "".join(c.lower() if len(c.lower()) == 1 else c for c in masked)
