"""Where a small model holds: a profile of what it was trained on, and how far a text lies inside it. Pure.

The vocabulary travels as a Bloom filter of 12 bits a word with 4 probes (false positives about 0.3 %; Bloom 1970),
so that a profile of 10,000 words is 15 kB in an item, not a file.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BITS_PER_WORD = 12
PROBES = 4
MIN_KNOWN_SHARE = 0.8
MAX_WORDS_IN_PROFILE = 20_000
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


@dataclass(frozen=True)
class Fit:
    max_words: int
    """Length in words that 99 of 100 sources in training do not exceed: one long one is no training on long ones."""
    known: str
    """The Bloom filter, base64; empty where no vocabulary was kept."""

    @classmethod
    def of(cls, sources: Iterable[str]) -> Fit:
        lengths: list[int] = []
        vocabulary = set[str]()
        for source in sources:
            lengths.append(len(source.split()))
            if len(vocabulary) < MAX_WORDS_IN_PROFILE:
                vocabulary.update(_words(source))
        bits = bytearray(max(8, len(vocabulary) * BITS_PER_WORD // 8 + 1))
        for word in vocabulary:
            for probe in _probes(word, len(bits) * 8):
                bits[probe // 8] |= 1 << probe % 8
        lengths.sort()
        longest = lengths[-(-(len(lengths) - 1) * 99 // 100)] if lengths else 0  # rounded up
        return cls(longest, base64.b64encode(bits).decode())

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Fit:
        return cls(int(raw.get("max_words", 0)), str(raw.get("known", "")))

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
        seen = sum(all(bits[p // 8] >> p % 8 & 1 for p in _probes(word, len(bits) * 8)) for word in words)
        return seen / len(words)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _probes(word: str, size: int) -> list[int]:
    raw = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=4 * PROBES).digest()
    return [int.from_bytes(raw[i : i + 4], "big") % size for i in range(0, 4 * PROBES, 4)]
