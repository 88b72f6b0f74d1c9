"""One block as the rules see it: its text, what is masked in it, its sentences. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
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
Place = tuple[int, int, int]
"""Where something begins, minus where it ends, and which it is: what begins first and is longest sorts first."""
Signs = Callable[[str, str], Iterable[int]]
"""Places in a text in lower case, for a dialect."""
_BETWEEN = " \n "
"""Between blocks that are searched together: none of them holds a line end, so that no two words of two are one."""


def together(scenes: list[Scene]) -> str:
    """All scenes in lower case, to be searched at once: most hold nothing, and a search for each costs more."""
    return _BETWEEN.join([scene.low for scene in scenes])


def holding(scenes: list[Scene], places: Iterable[int]) -> list[int]:
    """Which of the scenes hold one of these places in the text of them together."""
    found: list[int] = []
    n, end = -1, -1
    for place in sorted(places):
        if place > end:
            while place > end:
                n += 1
                end += len(scenes[n].low) + (len(_BETWEEN) if n else 1)
            found.append(n)
    return found


def shared(scenes: list[Scene], places: list[Place]) -> list[list[Place]]:
    """What of these, found in the text of all scenes together, is in each, as its own text counts; both ascending."""
    found: list[list[Place]] = []
    at = start = 0
    for scene in scenes:
        end = start + len(scene.low)
        stop = bisect_left(places, (end,), at)
        found.append([(first - start, minus_last + start, n) for first, minus_last, n in places[at:stop]])
        at, start = stop, end + len(_BETWEEN)
    return found


def look(text: str, block: Block, masked: str, low: str, dialect: str = "") -> Scene:
    """The scene of `text`, which is what `block` has become so far."""
    return Scene(text, masked, low, sentence_spans(masked, block.lead), block.lead, block.item, dialect)


def looks(texts: list[str], blocks: list[Block], dialect: str) -> list[Scene]:
    """The scene of each text, one step after the other for all of them."""
    masked = [mask(text, block.lead) for text, block in zip(texts, blocks, strict=True)]
    spans = [sentence_spans(one, block.lead) for one, block in zip(masked, blocks, strict=True)]
    low = map(lowered, masked)
    return [
        Scene(text, one, lower, held, block.lead, block.item, dialect)
        for text, one, lower, held, block in zip(texts, masked, low, spans, blocks, strict=True)
    ]


def lowered(masked: str) -> str:
    """Lower case of the same length."""
    low = masked.lower()
    return low if len(low) == len(masked) else "".join(c.lower() if len(c.lower()) == 1 else c for c in masked)
