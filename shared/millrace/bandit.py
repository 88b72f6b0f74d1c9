"""Learning who answers best for the money: a discounted linear bandit with a dollar pacer. Pure, H15.

Each model (arm) has a belief: a Gaussian over the coefficients that give the reward of an answer from cheap features
of its text. A reward is quality in [0, 1] less LATENCY_WEIGHT of the deadline that it took. Ranking takes one uniform
draw and is optimistic by the same random amount for every arm; forgetting lets the covariance grow back to the
prior's, so what is old or was never tried is tried again; a two-sided CUSUM of the residuals notices what changes at
once (a silent regression) and forgets it faster. A new arm begins with its prior: measured quality or catalogue rank.

Money: the pacer holds one number, the price of spending an allowance (what is left over what is still expected),
raised when spending runs ahead and lowered when behind. An arm's score is its reward less price x cost / allowance.

Sources: Kim and Tewari 2019 (arXiv 1912.05695), randomised optimism for discounted linear bandits; Russac et al. 2019,
discounting; Balseiro and Gur 2019, pacing by a dual price; Page 1954, CUSUM; arXiv 2604.00136 joins the parts for LLMs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import mul
from statistics import NormalDist
from typing import Any, NamedTuple, Self

from .complexity import PARTS, WEIGHTS, Complexity

FEATURES = ("one", *PARTS)
CENTRES = (0.0, 0.35, 0.2, 0.2, 0.2, 0.1)
"""Of the parts in ordinary texts, so that the first coefficient is the reward of an ordinary text."""
LATENCY_WEIGHT = 0.2
INTERCEPT_SD = 0.12
"""How far a prior quality may be off."""
SLOPE_SD = 0.15
HALF_LIFE = 2_000.0
"""Requests after which half of what was known of an arm that is not tried is forgotten."""
REQUESTS_A_DAY = 200.0
"""Time forgets like so many requests a day, so that a quiet tenant's beliefs grow old as well."""
NOISE = 0.04
"""Variance of a reward round its expectation before it is measured."""
NOISE_RANGE = (0.004, 0.25)
CUSUM_SLACK, CUSUM_ALARM, CUSUM_STEP = 0.5, 10.0, 2.5
"""Standard deviations. No single answer counts more than STEP: a rewrite now and then does not verify."""
PRICE_STEP = 0.004
PRICE_CAP = 3.0
DEAREST = 50.0
"""A call moves the price as if it cost at most so many allowances. At 5 a pacer short of money let every fifth call
through at any cost."""
MOST_ARMS = 32
_HALF = NormalDist().inv_cdf


class Arm(NamedTuple):
    """A model that may answer this text."""

    id: str
    quality: float
    """Prior, in [0, 1]."""
    cost_usd: float = 0.0
    """Forecast for this text."""


@dataclass(frozen=True)
class Purse:
    """What may be spent. `allowance_usd` is what is left over the requests that are still expected."""

    left_usd: float
    allowance_usd: float
    near: bool = False
    """Little is left: quality floors give way."""


class Ranked(NamedTuple):
    arm_id: str
    score: float
    parts: Mapping[str, float]
    """quality, sd, optimism, cost_usd, price (reward per dollar), charge, fits (1 where its prior or what
    is hoped of it reaches the floor)."""
    explored: bool = False
    """First, and only because little is known of it."""

    def sentence(self) -> str:
        told = self.parts
        price = f" at {told['price']:.3g} a dollar" if told["charge"] else ""
        text = (
            f"{self.arm_id}: expected quality {told['quality']:.2f} (give or take {told['sd']:.2f}), "
            f"cost ${told['cost_usd']:.6f}{price}, score {self.score:.3f}"
        )
        if not told["fits"]:
            text += ", below the quality that this text is owed"
        return text + (", explored because little is known of it" if self.explored else "")


@dataclass(frozen=True)
class Observation:
    """What one answer taught. Kept with the decision, so that later feedback finds its features."""

    arm_id: str
    prior: float
    features: tuple[float, ...]
    reward: float
    at: float
    """Unix seconds."""
    forecast_usd: float = 0.0
    cost_usd: float | None = None
    """None: nothing was spent for this (feedback on an earlier answer)."""
    allowance_usd: float | None = None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        known = {name: raw[name] for name in cls.__dataclass_fields__ if name in raw}
        return cls(**{**known, "features": tuple(raw["features"])})

    def rated(self, quality: float, at: float) -> Self:
        """The same answer as somebody judged it later, in [0, 1]: a second look, which costs nothing."""
        return replace(self, reward=min(1.0, max(0.0, quality)), at=at, cost_usd=None, allowance_usd=None)


@dataclass(frozen=True)
class Belief:
    """Of one arm. `cov` is the lower triangle of the covariance, row by row."""

    mean: tuple[float, ...]
    cov: tuple[float, ...]
    noise: float = NOISE
    count: int = 0
    clock: float = 0.0
    cost_ratio: float = 1.0
    """Real cost over forecast."""
    down: float = 0.0
    up: float = 0.0
    """CUSUMs."""
    changed: str = ""
    changed_at: float = 0.0
    """The last change that was noticed: worse or better, and when."""

    @classmethod
    def prior(cls, quality: float, clock: float) -> Self:
        """A good model is good on every text; a weak one is weakest on hard texts."""
        slopes = (-(1.0 - quality) * WEIGHTS[name] for name in PARTS)
        return cls((quality, *slopes), _PRIOR, clock=clock)


@dataclass(frozen=True)
class State:
    """All that one tenant's router has learned; a few KB as an item."""

    arms: Mapping[str, Belief] = field(default_factory=dict)
    price: float = 0.0
    """Reward that spending one allowance must bring."""
    clock: float = 0.0
    """Requests learned from, and time in its share."""
    at: float = 0.0
    version: int = 0

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """What cannot be read is not known: a belief of other features begins again from its prior."""
        arms = {
            id: _belief(row) for id, row in raw.get("arms", {}).items() if len(row.get("mean", ())) == len(FEATURES)
        }
        return cls(arms, **{name: raw.get(name, 0) for name in ("price", "clock", "at", "version")})

    def to_dict(self) -> dict[str, Any]:
        arms = {id: _row(belief) for id, belief in self.arms.items()}
        return {"arms": arms, "price": _short(self.price), "clock": _short(self.clock, 12), "at": self.at} | {
            "version": self.version
        }


def features_of(complexity: Complexity) -> tuple[float, ...]:
    """In the order of FEATURES."""
    values = (1.0, *(complexity.parts[name] for name in PARTS))
    return tuple(value - centre for value, centre in zip(values, CENTRES, strict=True))


def reward_of(quality: float, latency_s: float, deadline_s: float) -> float:
    """In [-LATENCY_WEIGHT, 1]. Quality is 0 for a rewrite that did not verify."""
    return min(1.0, max(0.0, quality)) - LATENCY_WEIGHT * min(1.0, max(0.0, latency_s / deadline_s))


def rank(
    state: State,
    arms: Sequence[Arm],
    features: Sequence[float],
    purse: Purse | None,
    draw: float,
    floor: float = 0.0,
    least_price: float = 0.0,
) -> list[Ranked]:
    """Every arm, best first. Arms below the quality floor or beyond the purse stand behind the others.

    `draw` in [0, 1): 0 takes what is known for granted. `least_price` is reward per dollar, and holds without a purse.
    """
    optimism = _HALF(0.5 + min(max(draw, 0.0), 0.999) / 2)
    price = _per_dollar(state, purse, least_price)
    floor = 0.0 if purse is not None and purse.near else floor
    squares = _squares(features)
    judged = [_judged(state, arm, features, squares, optimism, price, floor) for arm in arms]

    def key(row: Ranked) -> tuple[bool, bool, float, str]:
        affordable = purse is None or row.parts["cost_usd"] <= max(0.0, purse.left_usd)
        return (not affordable, not row.parts["fits"], -row.score, row.arm_id)

    ordered = sorted(judged, key=key)
    return _told(ordered, key) if ordered else []


def update(state: State, seen: Observation) -> State:
    """The state after one answer or one piece of feedback."""
    passed = max(0.0, seen.at - state.at) / 86_400 * REQUESTS_A_DAY if state.at else 0.0
    clock = state.clock + passed + (seen.cost_usd is not None)
    belief = state.arms.get(seen.arm_id) or Belief.prior(seen.prior, clock)
    arms = dict(state.arms) | {seen.arm_id: _learned(belief, seen, clock)}
    if len(arms) > MOST_ARMS:
        del arms[min(arms, key=lambda id: (arms[id].clock, id))]
    return replace(state, arms=arms, price=_paced(state.price, seen), clock=clock, at=max(state.at, seen.at))


def told(state: State) -> list[dict[str, Any]]:
    """What is believed of each arm, for people; quality is that of an ordinary text. The most tried first."""
    rows = [
        {
            "model_id": id,
            "quality": round(belief.mean[0], 4),
            "sd": round(math.sqrt(_aged(belief, state.clock)[0]), 4),
            "answers": belief.count,
            "cost_ratio": round(belief.cost_ratio, 4),
            "changed": belief.changed or None,
            "changed_at": belief.changed_at or None,
        }
        for id, belief in state.arms.items()
    ]
    return sorted(rows, key=lambda row: (-row["answers"], row["model_id"]))


def _judged(
    state: State,
    arm: Arm,
    x: Sequence[float],
    squares: Sequence[float],
    optimism: float,
    price: float,
    floor: float,
) -> Ranked:
    belief = state.arms.get(arm.id) or _unseen(arm.quality)
    quality = _dot(belief.mean, x)
    kept = _kept(belief, state.clock)
    sd = math.sqrt(max(0.0, kept * _dot(belief.cov, squares) + (1.0 - kept) * _dot(_PRIOR, squares)))
    cost = arm.cost_usd * belief.cost_ratio
    parts = {
        "quality": quality,
        "sd": sd,
        "optimism": optimism * sd,
        "cost_usd": cost,
        "price": price,
        "charge": price * cost,
        "fits": float(max(arm.quality, quality + optimism * sd) >= floor),
    }
    return Ranked(arm.id, quality + optimism * sd - price * cost, parts)


@lru_cache(maxsize=1_024)
def _unseen(quality: float) -> Belief:
    """What is believed of a model that nobody has asked; it does not grow old."""
    return Belief.prior(quality, 0.0)


def _told(ordered: list[Ranked], key: Any) -> list[Ranked]:
    """The first one says whether it stands there only by optimism."""
    plain = min(ordered, key=lambda row: (*key(row)[:2], row.parts["optimism"] - row.score, row.arm_id))
    first = ordered[0]
    return [first._replace(explored=plain.arm_id != first.arm_id), *ordered[1:]]


def _per_dollar(state: State, purse: Purse | None, least_price: float) -> float:
    if purse is None:
        return least_price
    return max(least_price, state.price / max(purse.allowance_usd, 1e-9))


def _paced(price: float, seen: Observation) -> float:
    if seen.cost_usd is None or seen.allowance_usd is None:
        return price
    spent = min(DEAREST, seen.cost_usd / max(seen.allowance_usd, 1e-9))
    return min(PRICE_CAP, max(0.0, price + PRICE_STEP * (spent - 1.0)))


def _learned(belief: Belief, seen: Observation, clock: float) -> Belief:
    """One Kalman step on the aged covariance."""
    cov = _aged(belief, clock)
    gain = _times(cov, seen.features)
    residual = seen.reward - _dot(belief.mean, seen.features)
    variance = _dot(gain, seen.features) + belief.noise
    mean = tuple(m + g * residual / variance for m, g in zip(belief.mean, gain, strict=True))
    cov = tuple(c - gain[i] * gain[j] / variance for c, (i, j) in zip(cov, _PLACES, strict=True))
    count = belief.count + 1
    noise = belief.noise + (residual**2 - belief.noise) / min(count + 10, 60)
    noise = min(NOISE_RANGE[1], max(NOISE_RANGE[0], noise))
    surprise = residual / math.sqrt(variance)
    down, up = _sums(belief, surprise)
    changed, changed_at = belief.changed, belief.changed_at
    if max(down, up) >= CUSUM_ALARM:
        changed, changed_at = "worse" if down > up else "better", seen.at
        cov, down, up = _PRIOR, 0.0, 0.0
    return Belief(mean, cov, noise, count, clock, _ratio(belief, seen), down, up, changed, changed_at)


def _sums(belief: Belief, surprise: float) -> tuple[float, float]:
    """The CUSUMs moved by one standardised residual: downwards and upwards."""
    surprise = min(CUSUM_STEP, max(-CUSUM_STEP, surprise))
    return max(0.0, belief.down - surprise - CUSUM_SLACK), max(0.0, belief.up + surprise - CUSUM_SLACK)


def _ratio(belief: Belief, seen: Observation) -> float:
    if not seen.cost_usd or not seen.forecast_usd:
        return belief.cost_ratio
    now = min(10.0, max(0.1, seen.cost_usd / seen.forecast_usd))
    return belief.cost_ratio + 0.1 * (now - belief.cost_ratio)


# --- symmetric matrices as their lower triangle --------------------------------------------------------------------
_SIZE = len(FEATURES)
_PLACES = tuple((i, j) for i in range(_SIZE) for j in range(i + 1))
_PRIOR = tuple((INTERCEPT_SD**2 if i == 0 else SLOPE_SD**2) if i == j else 0.0 for i, j in _PLACES)


def _kept(belief: Belief, clock: float) -> float:
    """The share of what was known that is not yet forgotten."""
    return float(0.5 ** (max(0.0, clock - belief.clock) / HALF_LIFE))


def _aged(belief: Belief, clock: float) -> tuple[float, ...]:
    """The covariance on its way back to the prior's."""
    kept = _kept(belief, clock)
    return tuple(kept * c + (1.0 - kept) * p for c, p in zip(belief.cov, _PRIOR, strict=True))


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return float(sum(map(mul, one, other)))


def _squares(x: Sequence[float]) -> list[float]:
    """What a covariance is weighted with to give the variance at x."""
    return [x[i] * x[j] * (1.0 if i == j else 2.0) for i, j in _PLACES]


def _times(cov: Sequence[float], x: Sequence[float]) -> list[float]:
    out = [0.0] * _SIZE
    for c, (i, j) in zip(cov, _PLACES, strict=True):
        out[i] += c * x[j]
        if i != j:
            out[j] += c * x[i]
    return out


def _belief(row: Mapping[str, Any]) -> Belief:
    known = {name: row[name] for name in Belief.__dataclass_fields__ if name in row}
    return Belief(**{**known, "mean": tuple(row["mean"]), "cov": tuple(row["cov"])})


_FRESH = Belief((), ())
_DIGITS = {"cov": 4, "clock": 12, "changed_at": 12}


def _row(belief: Belief) -> dict[str, Any]:
    """Only what differs from a fresh belief."""
    plain = {name: getattr(belief, name) for name in Belief.__dataclass_fields__}
    told = {name: value for name, value in plain.items() if value != getattr(_FRESH, name)}
    return {name: _short(value, _DIGITS.get(name, 6)) for name, value in told.items()}


def _short(value: Any, digits: int = 6) -> Any:
    if isinstance(value, tuple):
        return [_short(v, digits) for v in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
