"""Where a small model holds: a profile of what it was trained on, and how far a text lies inside it. Pure.

The vocabulary travels as a Bloom filter of 12 bits a word with 4 probes (false positives about 0.3 %; Bloom 1970),
so that a profile of 10,000 words is 15 kB in an item, not a file.
"""

from __future__ import annotations

import base64
import hashlib
import re
from array import array
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

BITS_PER_WORD = 12
PROBES = 4
MIN_KNOWN_SHARE = 0.8
MAX_WORDS_IN_PROFILE = 20_000
MAX_PAIRS_COMPARED = 50_000
"""A snapshot is in the order of its ids, which are hashes: its beginning is a fair sample."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


@dataclass(frozen=True)
class Fit:
    max_words: int
    """Length in words that 99 of 100 sources in training do not exceed: one long one is no training on long ones."""
    known: str
    """The Bloom filter of the sources' words, base64; empty where no vocabulary was kept."""
    swaps: str = ""
    """The same of what training did to words: which were taken out, and which were put in place of which."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str | None]]) -> Fit:
        """Of sources and what training made of them, where that is known. Eight bytes a pair are kept of it."""
        counted = array("Q")
        vocabulary, swaps = set[str](), set[str]()
        for source, target in pairs:
            counted.append(len(source.split()))
            if len(vocabulary) < MAX_WORDS_IN_PROFILE:
                vocabulary.update(_words(source))
            if target is not None and len(swaps) < MAX_WORDS_IN_PROFILE and len(counted) <= MAX_PAIRS_COMPARED:
                swaps.update(_swap(*pair) for change in _changes(source, target) for pair in change.pairs)
        lengths = sorted(counted)
        longest = lengths[-(-(len(lengths) - 1) * 99 // 100)] if lengths else 0  # rounded up
        return cls(longest, _bloom(vocabulary), _bloom(swaps) if swaps else "")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Fit:
        return cls(int(raw.get("max_words", 0)), str(raw.get("known", "")), str(raw.get("swaps", "")))

    def misfit(self, text: str) -> str | None:
        """Why the text lies outside of what the model was trained on; None where it lies inside."""
        count = len(text.split())
        if self.max_words and count > self.max_words:
            return f"the text has {count} words and the longest it was trained on {self.max_words}"
        share = self.known_share(text)
        if share < MIN_KNOWN_SHARE:
            return f"it has seen {share:.0%} of the text's words in training and {MIN_KNOWN_SHARE:.0%} are asked for"
        return None

    def known_share(self, text: str) -> float:
        """Share of the text's words that were in training, in [0, 1]; 1 where nothing was kept to compare with."""
        words = _words(text)
        if not self.known or not words:
            return 1.0
        bits = base64.b64decode(self.known)
        return sum(_holds(bits, word) for word in words) / len(words)

    def strange(self, source: str, rewrite: str) -> list[tuple[str, str]]:
        """(before, after) of each change of words that training never showed; empty where nothing was kept.

        A small model that stumbles puts a fluent wrong word in; no rule about facts sees that, its training does.
        """
        if not self.swaps:
            return []
        bits, there = base64.b64decode(self.swaps), set(_words(source))
        found = []
        for change in _changes(source, rewrite):
            added = [word for word in change.after if word not in there]
            odd = any(not _holds(bits, _swap(word, "")) for word in change.before) or any(
                not any(_holds(bits, _swap(word, new)) for word in (*change.before, "")) for new in added
            )
            if odd:
                found.append((" ".join(change.before), " ".join(change.after)))
        return found


@dataclass(frozen=True)
class _Change:
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """Every word that went, and every word that came with each that went; ("", word) where none went."""
        gone = {(word, "") for word in self.before}
        return gone | {(word, new) for word in (self.before or ("",)) for new in self.after}


def _changes(source: str, rewrite: str) -> list[_Change]:
    one, other = _words(source), _words(rewrite)
    codes = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    return [_Change(tuple(one[a:b]), tuple(other[c:d])) for tag, a, b, c, d in codes if tag != "equal"]


def _swap(before: str, after: str) -> str:
    return f"{before}\t{after}"


def _bloom(words: Collection[str]) -> str:
    bits = bytearray(max(8, len(words) * BITS_PER_WORD // 8 + 1))
    for word in words:
        for probe in _probes(word, len(bits) * 8):
            bits[probe // 8] |= 1 << probe % 8
    return base64.b64encode(bits).decode()


def _holds(bits: bytes, word: str) -> bool:
    return all(bits[probe // 8] >> probe % 8 & 1 for probe in _probes(word, len(bits) * 8))


def _words(text: str) -> list[str]:
    return [word.casefold().replace("’", "'") for word in _WORD.findall(text)]


def _probes(word: str, size: int) -> list[int]:
    raw = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4 * PROBES).digest()
    return [int.from_bytes(raw[i : i + 4], "big") % size for i in range(0, 4 * PROBES, 4)]
