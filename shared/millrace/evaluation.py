"""What a rewrite is worth, and how sure that is. Pure: texts in, verdicts and flat figures out.

The same functions judge the 16-bit model and its GGUF. Rates are in [0, 1]; intervals are 95 %, paired, percentile
bootstrap (Efron 1979) from a seed that the caller names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from random import Random
from typing import Final

KEPT: Final = 0.9
"""Share of the target's content words that a rewrite must hold."""
RESAMPLES: Final = 2000

_TOKEN = re.compile(r"\w+(?:['’.,:/@-]\w+)*|[^\w\s]")
_FUNCTION_WORDS: Final = frozenset(
    "a an the and or but nor so yet if of to in on at by for from with as into than then that this these those it its "
    "is are was were be been being am do does did have has had will would shall should can could may might must not no "
    "i you he she we they me him her us them my your his our their there here which who whom what when where".split()
)


@dataclass(frozen=True)
class Judged:
    """One rewrite held against its source and its target."""

    kept: bool
    """No violation, and at least KEPT of the target's content words."""
    edited: bool
    """Every change from source to target was made (see `edited`)."""
    exact: bool


@dataclass(frozen=True)
class Change:
    """Words start..end of the source become `words`; an insertion has start == end."""

    start: int
    end: int
    words: tuple[str, ...]


def words(text: str) -> list[str]:
    """Words with their case, inner marks kept (don't, 3.5, 10:30), and each other mark alone."""
    return _TOKEN.findall(text)


def content_words(text: str) -> list[str]:
    """Lower-case words that carry content: no function words, no contractions of them, no punctuation."""
    found = (word.lower() for word in words(text.replace("’", "'")) if word[0].isalnum())
    return [word for word in found if word.partition("'")[0].removesuffix("n") not in _CONTRACTED]


_CONTRACTED: Final = _FUNCTION_WORDS | {"ca", "wo", "sha", "let"}


def content_share(target: str, output: str) -> float:
    """Share of the target's content words, counted with repetition, that the output holds. 1 where it has none."""
    wanted, found = Counter(content_words(target)), Counter(content_words(output))
    return (wanted & found).total() / wanted.total() if wanted else 1.0


def changes(source: str, target: str) -> frozenset[Change]:
    """The word-level changes that make `target` of `source`: difflib's opcodes, without its junk heuristic."""
    before, after = words(source), words(target)
    opcodes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return frozenset(Change(i1, i2, tuple(after[j1:j2])) for tag, i1, i2, j1, j2 in opcodes if tag != "equal")


def edited(source: str, target: str, output: str) -> bool:
    """Whether every change from source to target stands among those from source to output: same place, same words.

    Further changes elsewhere do no harm here (`kept` and `exact` see them). A pair that asks for no change is
    edited only by an output without one.
    """
    asked, made = changes(source, target), changes(source, output)
    return asked <= made if asked else not made


def judge(source: str, target: str, output: str, violations: int) -> Judged:
    """`violations`: how many the verifier names between source and output."""
    return Judged(
        kept=violations == 0 and content_share(target, output) >= KEPT,
        edited=edited(source, target, output),
        exact=output.strip() == target.strip(),
    )


def summarise(candidate: Sequence[Judged], base: Sequence[Judged], seed: int) -> dict[str, float]:
    """Rates of the candidate, the base's edit rate and the interval of the gain. Both: the same pairs in order."""
    if not candidate or len(candidate) != len(base):
        raise ValueError(f"{len(candidate)} verdicts of the candidate against {len(base)} of the base.")
    low, high = gain_interval([c.edited for c in candidate], [b.edited for b in base], seed)
    return {
        "examples": float(len(candidate)),
        "content_kept_rate": _rate([c.kept for c in candidate]),
        "edit_rate": _rate([c.edited for c in candidate]),
        "base_edit_rate": _rate([b.edited for b in base]),
        "edit_gain_low": low,
        "edit_gain_high": high,
        "exact_rate": _rate([c.exact for c in candidate]),
    }


def gain_interval(candidate: Sequence[bool], base: Sequence[bool], seed: int) -> tuple[float, float]:
    """95 % interval of mean(candidate - base), pairs resampled together."""
    gains = [int(c) - int(b) for c, b in zip(candidate, base, strict=True)]
    draw, n = Random(seed), len(gains)  # noqa: S311 - statistics, not secrets
    means = sorted(sum(draw.choices(gains, k=n)) / n for _ in range(RESAMPLES))
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def _rate(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)
