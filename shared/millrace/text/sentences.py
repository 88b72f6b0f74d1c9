"""Sentences of a text, lossless: the pieces joined are the text. Pure, linear, about 100 MB/s (sentencex)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from sentencex import segment

from millrace.text.words import beyond_ascii, without_surrogates

_LARGEST = 9_000
"""Bytes handed over at once: above 10 KB sentencex 1.0.32 loses line ends and is quadratic in stray quotation marks."""
_PARAGRAPH = "\n\n"
_INITIAL = re.compile(r"((?<![^\s./])[A-Z][\s./]*)[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000](?=\.)")
"""A single letter, a space beyond ASCII and a full stop, at which sentencex 1.0.32 panics: it counts the space as one
byte. A plain space stands for it there."""


def split(text: str, language: str = "en") -> list[str]:
    """Sentences with the white space that follows them; `"".join(split(text)) == text` for every string."""
    if len(text) <= _LARGEST // 4:
        return _whole(text, language)
    return [piece for part in _parts(text) for piece in _whole(part, language)]


def split_each(texts: list[str]) -> list[list[str]]:
    """`split` of each; none of them holds a line end. Several go at once, as paragraphs, which do not mind another."""
    found: list[list[str]] = []
    held: list[str] = []
    size = 0
    for text in texts:
        size += len(text) + len(_PARAGRAPH)
        if held and size > _LARGEST // 4:
            found += _paragraphs(held)
            held, size = [], len(text)
        held.append(text)
    return found + _paragraphs(held)


def _paragraphs(texts: list[str]) -> list[list[str]]:
    if len(texts) < 2:
        return [split(text) for text in texts]
    found: list[list[str]] = [[]]
    for piece in _whole(_PARAGRAPH.join(texts), "en"):
        if piece == _PARAGRAPH:
            found.append([])
        else:
            found[-1].append(piece)
    return found if len(found) == len(texts) else [split(text) for text in texts]


def _whole(text: str, language: str) -> list[str]:
    """The sentences of a text of bounded size; one where the segmenter did not give back all that it got."""
    safe = text if text.isascii() or not any(map(str.isspace, beyond_ascii(text))) else _INITIAL.sub(r"\1 ", text)
    try:
        pieces = segment(language, safe)
    except UnicodeEncodeError:
        pieces = segment(language, without_surrogates(safe, "\ufffd"))
    pieces = pieces if all(pieces) else list(filter(None, pieces))
    if "".join(pieces) == text:
        return pieces
    ends = list(itertools.accumulate(map(len, pieces), initial=0))
    return [text[start:end] for start, end in itertools.pairwise(ends)] if ends[-1] == len(text) else [text]


def _parts(text: str) -> Iterator[str]:
    """The text in parts of bounded size, cut after a paragraph, a line, a sentence or a word, in this order."""
    at = 0
    largest = _LARGEST if text.isascii() else _LARGEST // 4
    while len(text) - at > largest:
        window = text[at : at + largest]
        ends = (window.rfind(mark) + len(mark) for mark in ("\n\n", "\n", ". ", " "))
        end = next((end for end in ends if end > largest // 4), largest)
        yield window[:end]
        at += end
    yield text[at:]
