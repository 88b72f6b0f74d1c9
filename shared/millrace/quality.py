"""How good an example is, and why. Pure; C4.

score in [0, 1] is the weighted mean of five parts, each in [0, 1]:

fidelity      1 / (1 + violations) by the verifier: numbers, names, negation and the rest survive
gain          one half and half of how much less machine-like the target reads than its source
length        1 where the target has 0.5 to 2 words for each of the source, falling to 0 at 0.1 and 10
language      1 where both are in one language, else 0
duplication   1 for a text of its own, one half for a near duplicate of an earlier one

The gauge of machine-likeness is the rules' own (`text.scores`), with its error; the rest is arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .text.faithfulness import verify
from .text.language import detect
from .text.scores import score

WEIGHTS = {"fidelity": 0.4, "gain": 0.2, "length": 0.15, "language": 0.15, "duplication": 0.1}
_POOR = 0.6
_LEAST_RATIO, _MOST_RATIO = 0.5, 2.0
_NO_RATIO = math.log(5)
"""Beyond the good range by this factor and more a length counts nothing."""


@dataclass(frozen=True)
class Quality:
    score: float
    parts: dict[str, float]
    reasons: tuple[dict[str, str], ...]
    """Of the parts that are poor: code and text."""
    before: float
    """AI-likeness of the source, and `after` of the target."""
    after: float
    language: str

    @property
    def improvement(self) -> float:
        return round(self.before - self.after, 4)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"improvement": self.improvement}


def assess(source: str, target: str, near: str | None = None) -> Quality:
    """`near`: the earlier data point whose source is nearly the same."""
    violations = verify(source, target)
    before, after = score(source)["ai_likeness"], score(target)["ai_likeness"]
    languages = detect(source), detect(target)
    parts = {
        "fidelity": 1 / (1 + len(violations)),
        "gain": 0.5 + (before - after) / 2,
        "length": _length(source, target),
        "language": 1.0 if languages[0] == languages[1] else 0.0,
        "duplication": 0.5 if near else 1.0,
    }
    parts = {name: round(value, 4) for name, value in parts.items()}
    told = {
        "fidelity": f"{len(violations)} facts of the source changed: {_first(violations)}",
        "gain": f"the target reads no less machine-like: {before:.2f} before, {after:.2f} after",
        "length": f"{len(target.split())} words from {len(source.split())}",
        "language": f"the source is in {languages[0]}, the target in {languages[1]}",
        "duplication": f"nearly the same text as {near}",
    }
    reasons = tuple({"code": name, "text": told[name]} for name, value in parts.items() if value < _poor(name))
    whole = sum(WEIGHTS[name] * value for name, value in parts.items())
    return Quality(round(whole, 4), parts, reasons, before, after, languages[1])


def _poor(name: str) -> float:
    """A gain of nothing is half of its range, and worth no word unless it is a loss."""
    return 0.5 if name == "gain" else _POOR


def _length(source: str, target: str) -> float:
    before, after = len(source.split()), len(target.split())
    if not before or not after:
        return 0.0
    ratio = after / before
    off = max(math.log(_LEAST_RATIO / ratio), math.log(ratio / _MOST_RATIO), 0.0)
    return max(0.0, 1 - off / _NO_RATIO)


def _first(violations: list[Any]) -> str:
    shown = [f"{v.kind} {v.before or v.after}"[:60] for v in violations[:3]]
    return "; ".join(shown) + ("; ..." if len(violations) > 3 else "")
