"""Sentences of a text, lossless: the pieces joined are the text. Pure, linear, about 100 MB/s (sentencex)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sentencex import segment

_SURROGATE = re.compile("[\ud800-\udfff]")
_LARGEST = 20_000
"""Characters handed over at once: sentencex takes quadratic time on hundreds of thousands of stray quotation marks."""


def split(text: str, language: str = "en") -> list[str]:
    """Sentences with the white space that follows them; `"".join(split(text)) == text` for every string."""
    pieces: list[str] = []
    for part in _parts(text):
        at = 0
        for piece in segment(language, part if part.isascii() else _SURROGATE.sub("\ufffd", part)):
            pieces.append(part[at : at + len(piece)])
            at += len(piece)
        pieces.append(part[at:])
    return [piece for piece in pieces if piece]


def _parts(text: str) -> Iterator[str]:
    """The text in parts of bounded size, cut after a paragraph, a line, a sentence or a word, in this order."""
    at = 0
    while len(text) - at > _LARGEST:
        window = text[at : at + _LARGEST]
        ends = (window.rfind(mark) + len(mark) for mark in ("\n\n", "\n", ". ", " "))
        end = next((end for end in ends if end > _LARGEST // 4), _LARGEST)
        yield window[:end]
        at += end
    yield text[at:]
