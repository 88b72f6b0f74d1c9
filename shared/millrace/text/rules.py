"""A rewriter made of rules: always answers, offline, the same words for the same text, settings and seed. Pure; H9.

It never breaks what `faithfulness.verify` holds: a block whose rewrite would is tried with the light rules and else
kept.
Another language than English passes through; `Rewrite.language` says which it was taken for.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from millrace.errors import InvalidInput
from millrace.text.blocks import Block, blocks
from millrace.text.engine import Change, Made, kit, rewrite_block, rewrite_blocks
from millrace.text.faithfulness import verify
from millrace.text.language import detect
from millrace.text.ruledata import STRENGTHS, TONES
from millrace.text.spelling import own_dialect
from millrace.text.words import without_surrogates

_PLAINLY_ENGLISH = (" the ", " and ", " of ", " you ", " with ", " that ")
ENOUGH_WORDS = 8
"""A block of fewer words has the language of its text."""


@dataclass(frozen=True)
class Rewrite:
    """The text and what was changed, in order: (rule id, before, after)."""

    text: str
    changes: tuple[Change, ...] = ()
    language: str = "en"


def rewrite(text: str, strength: str = "medium", tone: str = "plain", seed: int = 0) -> Rewrite:
    """The text rewritten; a second time changes nothing more."""
    if strength not in STRENGTHS or tone not in TONES:
        raise InvalidInput(f"strength is one of {', '.join(STRENGTHS)}, tone one of {', '.join(TONES)}.")
    language = detect(text)
    pieces = list(blocks(text))
    dialect = own_dialect(without_surrogates(text, " "))
    done: list[Made] = [(piece.text, []) for piece in pieces]
    english = [n for n, piece in enumerate(pieces) if piece.prose and _english(piece.text, language)]
    made = rewrite_blocks([pieces[n] for n in english], kit(strength, tone), seed, dialect)
    for n, one in zip(english, made, strict=True):
        done[n] = one
    out = _assemble(pieces, done)
    if out.strip() and not _broken(pieces, done):
        return Rewrite(out, _changes(done), language)
    done = [_faithful(piece, made, tone, seed) for piece, made in zip(pieces, done, strict=True)]
    out = _assemble(pieces, done)
    if out.strip() and not verify(text, out):
        return Rewrite(out, _changes(done), language)
    return Rewrite(text, (), language)


def _broken(pieces: list[Block], done: list[Made]) -> bool:
    """Whether the blocks that changed, taken together, lost or gained a fact; the others add the same to both sides."""
    changed = [(piece.text, made[0]) for piece, made in zip(pieces, done, strict=True) if made[0] != piece.text]
    return bool(verify("\n\n".join(old for old, _ in changed), "\n\n".join(new for _, new in changed)))


def _english(text: str, language: str) -> bool:
    if language == "en":
        known = False
        for word in _PLAINLY_ENGLISH:
            if word in text:
                if known:
                    return True
                known = True
    enough = len(text) > 400 or len(text.split()) >= ENOUGH_WORDS
    return detect(text) == "en" if enough else language == "en"


def _faithful(block: Block, made: Made, tone: str, seed: int) -> Made:
    if made[0] == block.text or not verify(block.text, made[0]):
        return made
    light = rewrite_block(block, kit("light", tone), seed)
    return light if not verify(block.text, light[0]) else (block.text, [])


def _assemble(pieces: list[Block], done: list[Made]) -> str:
    """The blocks joined; a paragraph that was left out takes the blank line after it along."""
    out: list[str] = []
    left_out = False
    for piece, (text, _) in zip(pieces, done, strict=True):
        blank = not text.strip()
        if blank and (piece.text.strip() or left_out):
            left_out = True
            continue
        left_out = False
        out.append(text)
    if left_out and out:
        end = pieces[-1].text
        out[-1] = out[-1].rstrip("\n") + end[len(end.rstrip("\n")) :]
    return "".join(out)


def _changes(done: list[Made]) -> tuple[Change, ...]:
    return tuple(itertools.chain.from_iterable(changes for _, changes in done))
