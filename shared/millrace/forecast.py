"""What a training will cost, before it is begun, and the limit that keeps it below a cap. Pure.

One container after the other: expected seconds are start and work (see effort), at most their time limits; times the
price of the machine that each runs on. A later attempt is begun only while the cap still has room for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from . import effort, instances
from .errors import Forbidden
from .strategies import Strategy

STARTUP_S = 240.0
"""Getting a machine, the image and the data, where a strategy says nothing else."""
LOCAL_STARTUP_S = 5.0


@dataclass(frozen=True)
class Part:
    """One container's share."""

    strategy: str
    instance_type: str
    usd_per_h: float
    expected_s: float
    limit_s: float


@dataclass(frozen=True)
class Forecast:
    parts: Sequence[Part]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Forecast:
        """As `to_dict` told it."""
        return cls([Part(**part) for part in told["parts"]])

    @property
    def expected_s(self) -> float:
        return sum(part.expected_s for part in self.parts)

    @property
    def expected_usd(self) -> float:
        return sum(part.expected_s * part.usd_per_h for part in self.parts) / 3600

    def at_most_usd(self, limit_s: float = float("inf")) -> float:
        return sum(min(part.limit_s, limit_s) * part.usd_per_h for part in self.parts) / 3600

    @property
    def usd_per_h(self) -> float:
        """Of its dearest machine: what an attempt's time is counted at."""
        return max((part.usd_per_h for part in self.parts), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        return {
            "expected_s": round(self.expected_s),
            "expected_usd": round(self.expected_usd, 4),
            "at_most_usd": round(self.at_most_usd(), 4),
            "usd_per_h": self.usd_per_h,
            "parts": [asdict(part) for part in self.parts],
        }


def forecast(
    wanted: Iterable[tuple[Strategy, str | None]],
    rows: int,
    override: str = "",
    max_runtime_s: int | None = None,
    given: Mapping[str, Any] | None = None,
) -> Forecast:
    """Of each strategy or step with the machine chosen for it. `override`: the one machine that this stage has.

    `rows`: of the training split. `given`: the job's hyperparameters.
    """
    return Forecast(
        [_part(strategy, override or chosen, rows, max_runtime_s, given or {}) for strategy, chosen in wanted]
    )


def _part(
    strategy: Strategy, chosen: str | None, rows: int, max_runtime_s: int | None, given: Mapping[str, Any]
) -> Part:
    needs = strategy.resources
    kind = chosen or str(needs["instance_type"])
    instance = instances.check(strategy.name, needs, kind)
    told: Mapping[str, float] = needs.get("forecast", {})
    startup_s = LOCAL_STARTUP_S if kind == instances.LOCAL else told.get("startup_s", STARTUP_S)
    limit_s = float(min(int(needs["max_runtime_s"]), max_runtime_s or int(needs["max_runtime_s"])))
    expected_s = min(limit_s, startup_s + effort.seconds(strategy, given, rows, instance))
    return Part(strategy.name, kind, instance.usd_per_h, expected_s, limit_s)


def within(told: Forecast, cap_usd: float) -> int | None:
    """Longest that each container may run so that all of them stay below the cap; None: their own limits do.

    Forbidden, with the figures, where the expected cost alone is over it.
    """
    if told.expected_usd > cap_usd:
        raise Forbidden(
            f"This training is expected to cost {told.expected_usd:.2f} USD, and its cap is {cap_usd:.2f} USD. Raise "
            "max_cost_usd, choose a smaller machine, or train on less."
        )
    if told.at_most_usd() <= cap_usd:
        return None
    low, high = 0, int(max(part.limit_s for part in told.parts))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if told.at_most_usd(middle) <= cap_usd else (low, middle - 1)
    return max(1, low)


def spent_usd(runs: Iterable[Mapping[str, Any]], usd_per_h: float, now: datetime) -> float:
    """What the attempts have cost so far, by our clock and the dearest machine."""
    seconds = 0.0
    for run in runs:
        if run.get("started_at"):
            ended = datetime.fromisoformat(run["ended_at"]) if run.get("ended_at") else now
            seconds += max(0.0, (ended - datetime.fromisoformat(run["started_at"])).total_seconds())
    return seconds * usd_per_h / 3600
