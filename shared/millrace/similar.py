"""Near duplicates: a text's MinHash signature, its bands, and how alike two texts are. Pure; `rensa`.

Texts are compared by their sets of three words in a row, without case and punctuation, so that a template filled in
with other facts is another text. Likeness is Jaccard's, in [0, 1], estimated from PERMUTATIONS hashes with a standard
deviation of at most 0.07. Two texts that are ALIKE share at least one of the BANDS with probability
1 - (1 - s^ROWS)^BANDS: 96 % at s = 0.7, 99.8 % at 0.8. `tests/millrace/test_similar.py` measures both.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence

ALIKE = 0.7
"""From here on two texts are near duplicates."""
BANDS, ROWS = 12, 4
PERMUTATIONS = BANDS * ROWS
_SEED = 20_261_120
_WORD = re.compile(r"[^\W_]+")
_SHINGLE = 3


def shingles(text: str) -> list[str]:
    """Every three words in a row; of a shorter text all its words as one."""
    words = _WORD.findall(text.casefold())
    if len(words) <= _SHINGLE:
        return [" ".join(words)]
    return [" ".join(words[at : at + _SHINGLE]) for at in range(len(words) - _SHINGLE + 1)]


def signature(text: str) -> array[int]:
    """PERMUTATIONS hashes of 32 bits."""
    from rensa import RMinHash  # loaded by who compares texts, not by whoever could

    sketch = RMinHash(num_perm=PERMUTATIONS, seed=_SEED)
    sketch.update(shingles(text))
    return array("I", sketch.digest())


def bands(signed: Sequence[int]) -> list[str]:
    """One name for each band; texts that share a name are candidates."""
    return [f"{number:x}{hash_of(signed[number * ROWS : (number + 1) * ROWS]):016x}" for number in range(BANDS)]


def hash_of(part: Sequence[int]) -> int:
    """64 bits of a band's hashes, the same in every process."""
    value = 0
    for hashed in part:
        value = ((value ^ hashed) * 0x9E3779B97F4A7C15 + 0x7F4A7C15) & 0xFFFFFFFFFFFFFFFF
    return value


def likeness(one: Sequence[int], other: Sequence[int]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


class Clusters:
    """Which texts are near duplicates of each other, directly or over others: 8 bytes a text and band, and a parent.

    Candidates come from sorting one band at a time, so that no table of all bands is ever held.
    """

    def __init__(self) -> None:
        self._signatures = array("I")
        self._parent: list[int] = []

    def add(self, text: str) -> int:
        """The text's number, from zero."""
        self._signatures.extend(signature(text))
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def join(self) -> list[int]:
        """After the last text: for each the number of its cluster's first."""
        for band in range(BANDS):
            hashes = array("Q", (hash_of(self._of(n)[band * ROWS : (band + 1) * ROWS]) for n in self._all()))
            order = sorted(self._all(), key=hashes.__getitem__)
            leader = -1
            for number in order:
                if leader < 0 or hashes[leader] != hashes[number]:
                    leader = number
                elif self._root(leader) != self._root(number):
                    self._meet(leader, number)
        return [self._root(number) for number in self._all()]

    def _meet(self, one: int, other: int) -> None:
        if likeness(self._of(one), self._of(other)) >= ALIKE:
            first, second = sorted((self._root(one), self._root(other)))
            self._parent[second] = first

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def _of(self, number: int) -> array[int]:
        return self._signatures[number * PERMUTATIONS : (number + 1) * PERMUTATIONS]

    def _all(self) -> Iterable[int]:
        return range(len(self._parent))
