"""The gate: may this candidate serve? Pure: figures in, a verdict with its reasons out.

Figures are those of `millrace.evaluation` on the held-out split, flat numbers by name. A figure that a threshold
needs and that is missing refuses the candidate: what was not measured was not met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .errors import InvalidInput

Subject = Literal["adapter", "gguf", "cnn"]


@dataclass(frozen=True)
class Threshold:
    """`metric` lies at or above `minimum`, and at or below `maximum`, where they are given."""

    metric: str
    says: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    """Strictly greater."""

    def met(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
        )

    def at(self, bound: float | None) -> Threshold:
        """The same threshold with its bound elsewhere; None leaves it where it is."""
        if bound is None:
            return self
        held = next(name for name in ("minimum", "maximum", "above") if getattr(self, name) is not None)
        moved: dict[str, Any] = {held: bound}
        return replace(self, **moved)

    @property
    def bound(self) -> str:
        parts = ((">=", self.minimum), ("<=", self.maximum), (">", self.above))
        return " and ".join(f"{sign} {value:g}" for sign, value in parts if value is not None)


_TASK = (
    Threshold("examples", "held-out pairs that were judged", minimum=4),
    Threshold("content_kept_rate", "answers that keep the content", minimum=0.8),
    Threshold("edit_rate", "answers that make the asked-for edit", minimum=0.5),
    Threshold("edit_gain_low", "lower end of the 95 % interval of the gain over the base", above=0.0),
)
THRESHOLDS: dict[Subject, tuple[Threshold, ...]] = {
    "adapter": (*_TASK, Threshold("loss_ratio", "held-out loss over the base's", maximum=0.7)),
    "gguf": (*_TASK, Threshold("parity_passed", "parity with the 16-bit model", minimum=1.0)),
    "cnn": (
        Threshold("test_examples", "held-out images that were judged", minimum=10),
        Threshold("majority_gain_low", "lower end of the 95 % interval over naming the commonest class", above=0.0),
        Threshold("worst_class_recall", "images of the worst class that were recognised", above=0.0),
    ),
}

GATES: dict[str, tuple[Subject, ...]] = {"pairs": ("adapter", "gguf"), "images": ("cnn",)}
"""What a training on such data is judged by."""
NOT_WORSE_BY = {"content_kept_rate": 0.05, "edit_rate": 0.05, "test_accuracy": 0.02}
"""How far a candidate may fall behind the incumbent on the same held-out split."""


@dataclass(frozen=True)
class Finding:
    metric: str
    value: float | None
    bound: str
    met: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    passed: bool
    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> list[dict[str, str]]:
        """Why it was refused: one reason for each bound that was missed."""
        return [{"code": f"gate.{f.metric}", "text": f.text} for f in self.findings if not f.met]

    def to_dict(self) -> dict[str, Any]:
        findings = [vars(finding) for finding in self.findings]
        return {"passed": self.passed, "findings": findings, "reasons": self.reasons}


def check_bounds(data: str, bounds: Mapping[str, float]) -> None:
    """InvalidInput for a bound of what no gate of a training on such data looks at, or that is no number."""
    known = sorted({threshold.metric for subject in GATES[data] for threshold in THRESHOLDS[subject]})
    if unknown := sorted(set(bounds) - set(known)):
        told = ", ".join(unknown)
        raise InvalidInput(f"The gate has no threshold {told} for {data}; it has {', '.join(known)}.")
    for metric, bound in bounds.items():
        if not math.isfinite(bound):
            raise InvalidInput(f"The threshold {metric} is a number, not {bound}.")


def judge(
    subject: Subject,
    figures: Mapping[str, float],
    incumbent: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
) -> Verdict:
    """`incumbent`: figures of the model that serves now, on the same split. `bounds`: others than ours, by metric."""
    wanted = [threshold.at((bounds or {}).get(threshold.metric)) for threshold in THRESHOLDS[subject]]
    findings = [_against(threshold, figures.get(threshold.metric)) for threshold in wanted]
    for metric, slack in NOT_WORSE_BY.items() if incumbent else ():
        if incumbent and metric in incumbent:
            floor = Threshold(metric, "not worse than the serving model", minimum=incumbent[metric] - slack)
            findings.append(_against(floor, figures.get(metric)))
    return Verdict(all(f.met for f in findings), tuple(findings))


def _against(threshold: Threshold, value: float | None) -> Finding:
    met = value is not None and threshold.met(value)
    shown = "was not measured" if value is None else f"is {value:.3g}"
    text = f"{threshold.metric} ({threshold.says}) {shown}; asked for: {threshold.bound}"
    return Finding(threshold.metric, value, threshold.bound, met, text)
