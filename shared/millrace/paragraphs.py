"""A long text in parts that are rewritten one by one, and put together again. Pure, linear.

A part is a paragraph, a run of short ones or a run of list items. Code, tables, headings, quotations and the white
space between belong to no part's body: nobody is asked to rewrite them, and they come out as they went in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .text.blocks import Block, blocks
from .text.faithfulness import Violation, against, verify
from .text.sentences import split as sentences
from .text.words import count_words, more_words

LONG_WORDS = 300
"""A text over this is rewritten in parts."""
FEW_WORDS = 25
"""A paragraph under this goes with its neighbour."""
MOST_WORDS = 200
"""Of one part; a longer paragraph is cut after a sentence."""
MOST_PARTS = 64
"""That are worth a call to a model each; of more, the longest are."""
MOST_TRIES = 40
"""At mending: each verifies the whole, which takes up to 25 ms."""
_PIECE = re.compile(r".+?(?:\n\s*\n|$)", re.DOTALL)
_CHARACTERS_PER_WORD = 12  # for scripts without spaces, and words that are addresses


@dataclass(frozen=True)
class Part:
    """`body` is to be rewritten and bears no white space at its ends; `lead` and `tail` stay as they are."""

    lead: str
    body: str
    tail: str = ""


def size(text: str) -> int:
    """Words, or what a text without spaces would have of them."""
    return max(count_words(text), len(text) // _CHARACTERS_PER_WORD)


def long(text: str) -> bool:
    """Whether it is rewritten in parts."""
    return more_words(text, LONG_WORDS) or len(text) // _CHARACTERS_PER_WORD > LONG_WORDS


def split(text: str) -> list[Part]:
    """`join(parts, bodies) == text` for every text. A text of nothing but code and the like has no part with a body."""
    parts: list[Part] = []
    kept = ""
    for group, lead in _groups(text):
        body = group.strip()
        start = len(group) - len(group.lstrip()) if body else len(group)
        kept += lead + group[:start]
        if body:
            parts.append(Part(kept, body))
            kept = group[start + len(body) :]
    if not parts:
        return [Part(text, "")]
    parts[-1] = Part(parts[-1].lead, parts[-1].body, kept)
    return parts


def join(parts: Sequence[Part], bodies: Sequence[str]) -> str:
    return "".join(part.lead + body + part.tail for part, body in zip(parts, bodies, strict=True))


def worthy(parts: Sequence[Part]) -> list[bool]:
    """Which parts a model is asked for: all, or the longest of a text that is cut into very many."""
    longest = sorted(range(len(parts)), key=lambda at: -size(parts[at].body))[:MOST_PARTS]
    return [at in longest for at in range(len(parts))]


def mend(
    text: str, parts: Sequence[Part], bodies: Sequence[str], tries: int = MOST_TRIES
) -> tuple[list[str], list[Violation]]:
    """Bodies with which the whole verifies, and what still breaks where none were found.

    Each body verifies against its own part; where the whole does not, those that are to blame become what they were,
    one at a time and no more than it takes.
    """
    mended = list(bodies)
    violations = against(text)
    broken = violations(join(parts, mended))
    for at in suspects(parts, bodies, broken)[:tries]:
        if not broken:
            break
        tried = [*mended[:at], parts[at].body, *mended[at + 1 :]]
        left = violations(join(parts, tried))
        if len(left) < len(broken):
            mended, broken = tried, left
    return mended, broken


def pieces(text: str) -> list[str]:
    """A finished text in its paragraphs, for who reads it as a stream."""
    return _PIECE.findall(text) or [text]


@dataclass
class Released:
    """What of a text has been given away, which cannot be taken back: it verifies at every moment."""

    source: str = ""
    text: str = ""
    bodies: list[str] = field(default_factory=list)

    def take(self, part: Part, body: str) -> tuple[str, list[Violation]]:
        """The next piece, and what `body` broke; where it broke something the part stays as it was."""
        self.source += part.lead + part.body + part.tail
        broken = verify(self.source, self.text + part.lead + body + part.tail) if body != part.body else []
        self.bodies.append(part.body if broken else body)
        piece = part.lead + self.bodies[-1] + part.tail
        self.text += piece
        return piece, broken


def suspects(parts: Sequence[Part], bodies: Sequence[str], broken: Sequence[Violation]) -> list[int]:
    """The parts that changed: those first that lost or gained words of a violation, then those that hold some."""
    words = [word for violation in broken for word in (violation.before, violation.after) if word]

    def place(at: int) -> tuple[bool, bool]:
        old, new = parts[at].body, bodies[at]
        held = [word for word in words if word in old or word in new]
        return not any(old.count(word) != new.count(word) for word in held), not held

    return sorted((at for at, part in enumerate(parts) if bodies[at] != part.body), key=place)


def _groups(text: str) -> Iterator[tuple[str, str]]:
    """(group, lead): the text of a part, and what stands before it and is kept; the last group may be empty."""
    lead = ""
    body: list[Block] = []
    gap = ""
    for block in blocks(text):
        if not block.text.strip():
            gap += block.text
        elif not block.prose:
            if body:
                yield _text(body), lead
                body, lead = [], ""
            lead, gap = lead + gap + block.text, ""
        else:
            for piece in _pieces(block):
                if body and _together(body, piece, bool(gap)):
                    body[-1] = Block(body[-1].text + gap, True, item=body[-1].item)
                    body.append(piece)
                else:
                    if body:
                        yield _text(body), lead
                        lead = ""
                    lead, body = lead + gap, [piece]
                gap = ""
    if body:
        yield _text(body), lead
        lead = ""
    yield "", lead + gap


def _text(body: Sequence[Block]) -> str:
    return "".join(block.text for block in body)


def _together(body: Sequence[Block], block: Block, apart: bool) -> bool:
    """Whether a block goes on with what is held: items of one list, lines without a blank between, and short ones."""
    held, more = size(_text(body)), size(block.text)
    if held + more > MOST_WORDS:
        return False
    return not apart or (body[-1].item and block.item) or held < FEW_WORDS or more < FEW_WORDS


def _pieces(block: Block) -> Iterator[Block]:
    """The block, or as few pieces of whole sentences as hold no more than MOST_WORDS each."""
    if size(block.text) <= MOST_WORDS:
        yield block
        return
    held, words = "", 0
    for sentence in sentences(block.text):
        more = size(sentence)
        if held and words + more > MOST_WORDS:
            yield Block(held, True, item=block.item)
            held, words = "", 0
        held, words = held + sentence, words + more
    yield Block(held, True, item=block.item)
