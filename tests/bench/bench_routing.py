"""Routing: the learning router against fixed policies and an oracle, on generated traffic that changes under it.

`python -m tests.bench.bench_routing [result.json]` prints tables and writes the figures. Simulated, no call is made:
three days of requests, busier by day than by night; texts by their complexity and tokens; the catalogue's own
standing models with qualities that differ from their priors; a daily budget of a tenth of what the best model would
cost. Day 2 begins with a price cut (the dearest and best model costs a tenth); in its middle the model that the oracle
uses most regresses silently by 0.3; on day 3 a new, good and cheap model enters with an ordinary prior.

regret     mean reward that the oracle gets more; it knows every expectation, and a price for each segment of time
overshoot  the largest share by which a day's spend is over its budget
used       share of the budgets that was spent
noticed    requests until the change shows: half the regressed model's traffic is gone (and its alarm), the cheaper
           or new model has half of what the oracle gives it; over windows of 40 requests, so 40 is the least
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from millrace.bandit import Arm, Observation, Purse, State, features_of, rank, reward_of, update
from millrace.catalogue import RULES, Entry
from millrace.complexity import PARTS, WEIGHTS, Complexity, quality_floor, quality_of
from millrace.contract import Tier
from millrace.seeds import entries
from millrace.usage import expected_calls

DAYS = 3
A_DAY = 1_500
SEEDS = (1, 2, 3, 4, 5)
WINDOW = 40
NEWCOMER = Entry("newcomer", "custom", input_usd=0.2, output_usd=0.8, rank=3)
LEAST_PRICE = 2.0
"""Reward a dollar must bring at least."""
REGRESSION = 0.3
Policy = Callable[["World", "Request", "Purse"], str]
Offer = tuple[float, float, str]
"""Reward, cost and who."""
Learn = Callable[["Request", str, float, float, "Purse"], None]


@dataclass(frozen=True)
class Request:
    number: int
    at: float
    """Unix seconds; day 0 begins at 0."""
    complexity: Complexity
    input_tokens: int
    output_tokens: int
    luck: float
    """Standard normal."""
    broken: float
    """Uniform."""
    draw: float


@dataclass
class World:
    """What is so, and only partly known to a policy."""

    seed: int
    requests: list[Request]
    models: dict[str, Entry]
    ability: dict[str, float]
    slope: dict[str, float]
    latency_s: dict[str, float]
    regressed: str = ""
    cut: str = ""
    budget: float = 0.0

    @property
    def moments(self) -> tuple[int, int, int]:
        """Numbers of the requests at which the price falls, a model regresses and another enters."""
        return A_DAY, A_DAY * 3 // 2, A_DAY * 2

    def standing(self, request: Request) -> list[str]:
        new = request.number >= self.moments[2]
        return [id for id in self.models if id != NEWCOMER.id or new]

    def forecast_usd(self, id: str, request: Request) -> float:
        """By the catalogue, which knows of the price cut."""
        factor = 0.1 if id == self.cut and request.number >= self.moments[0] else 1.0
        return factor * self.models[id].cost_usd(request.input_tokens, int(request.input_tokens * 1.1))

    def cost_usd(self, id: str, request: Request) -> float:
        factor = 0.1 if id == self.cut and request.number >= self.moments[0] else 1.0
        return factor * self.models[id].cost_usd(request.input_tokens, request.output_tokens)

    def quality(self, id: str, request: Request) -> float:
        """Expected."""
        worse = REGRESSION if id == self.regressed and request.number >= self.moments[1] else 0.0
        hard = request.complexity.score - 0.3
        return min(0.99, max(0.02, self.ability[id] - self.slope[id] * hard - worse))

    def reward(self, id: str, request: Request) -> float:
        return reward_of(self.quality(id, request), self.latency_s[id], 25.0)

    def observed(self, id: str, request: Request) -> float:
        """One rewrite in three of what quality lacks does not verify at all; the others differ by 0.12."""
        quality = self.quality(id, request)
        unverified = (1.0 - quality) / 3.0
        good = quality / (1.0 - unverified) + 0.12 * request.luck
        return reward_of(0.0 if request.broken < unverified else good, self.latency_s[id], 25.0)


@dataclass
class Run:
    chosen: list[str] = field(default_factory=list)
    reward: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=lambda: [0.0] * DAYS)


def world(seed: int) -> World:
    draw = random.Random(seed)
    rows = [entry for entry in entries() if entry.shutdown is None and Tier.ENTERPRISE in entry.tiers]
    models = {entry.id: entry for entry in (*rows, NEWCOMER, RULES)}
    ability = {id: min(0.97, max(0.3, quality_of(e) + draw.gauss(0, 0.06))) for id, e in models.items()}
    best = max(rows, key=lambda e: (quality_of(e), e.output_usd))
    ability |= {best.id: 0.96, NEWCOMER.id: 0.95, RULES.id: 0.45}
    slope = {id: max(0.0, 1.2 * (1.0 - a) + draw.gauss(0, 0.1)) for id, a in ability.items()}
    latency = {id: 1.0 + 1.5 * e.rank * draw.uniform(0.6, 1.4) if e.rank else 0.05 for id, e in models.items()}
    made = World(seed, _traffic(draw), models, ability, slope, latency)
    made.cut = best.id
    made.budget = sum(made.cost_usd(best.id, r) for r in made.requests[:A_DAY]) / 10.0
    used = oracle(made).chosen[made.moments[0] : made.moments[1]]
    made.regressed = max(sorted(set(used)), key=used.count)
    return made


def _traffic(draw: random.Random) -> list[Request]:
    """A fixed number each day, thickest in the afternoon."""
    found: list[Request] = []
    for day in range(DAYS):
        times = sorted(_daytime(draw) for _ in range(A_DAY))
        found += [_request(draw, day * A_DAY + n, day * 86_400 + at) for n, at in enumerate(times)]
    return found


def _daytime(draw: random.Random) -> float:
    while True:
        at = draw.uniform(0, 86_399)
        if draw.random() < 0.55 - 0.45 * math.cos(2 * math.pi * (at / 86_400 - 0.1)):
            return at


def _request(draw: random.Random, number: int, at: float) -> Request:
    parts = {name: draw.betavariate(2, 4 if name != "markup" else 12) for name in PARTS}
    tokens = int(min(6_000, max(60, draw.lognormvariate(6.0, 0.8))))
    score = sum(WEIGHTS[name] * parts[name] for name in PARTS)
    written = max(20, int(tokens * draw.lognormvariate(0.1, 0.25)))
    return Request(
        number, at, Complexity(score, parts), tokens + 400, written, draw.gauss(0, 1), draw.random(), draw.random()
    )


# --- policies --------------------------------------------------------------------------------------------------------
def cheapest(world: World, request: Request, purse: Purse) -> str:
    return min((id for id in world.standing(request) if id != RULES.id), key=lambda id: world.forecast_usd(id, request))


def best(world: World, request: Request, purse: Purse) -> str:
    """The best by its prior while there is money, then the rules."""
    return max(world.standing(request), key=lambda id: (quality_of(world.models[id]), world.models[id].output_usd))


def by_complexity(world: World, request: Request, purse: Purse) -> str:
    """The cheapest that reaches what the text is owed, by the priors."""
    floor = quality_floor(request.complexity, Tier.ENTERPRISE)
    good = [id for id in world.standing(request) if quality_of(world.models[id]) >= floor]
    return min(good, key=lambda id: world.forecast_usd(id, request))


def play(world: World, policy: Policy, learn: Learn | None = None, guarded: bool = True) -> Run:
    """Stopped by the budget as reservations do it: a call that may go beyond it is answered by the rules."""
    run = Run()
    calls, typical = 0, float(A_DAY) / 2
    for request in world.requests:
        day = int(request.at // 86_400)
        if request.number % A_DAY == 0 and request.number:
            calls, typical = 0, float(A_DAY)
        left = max(0.0, world.budget - run.spent[day])
        allowance = left / expected_calls(calls, request.at, typical)
        purse = Purse(left if guarded else 1e9, allowance, near=left < 0.2 * world.budget)
        id = policy(world, request, purse)
        if guarded and 2 * world.forecast_usd(id, request) > left:
            id = RULES.id
        cost = world.cost_usd(id, request)
        if learn:
            learn(request, id, world.observed(id, request), cost, purse)
        run.chosen.append(id)
        run.reward.append(world.reward(id, request))
        run.spent[day] += cost
        calls += 1
    return run


@dataclass
class Learner:
    floors: bool = False
    state: State = field(default_factory=State)
    alarms: list[tuple[int, str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    arms: dict[str, Arm] = field(default_factory=dict)

    def choose(self, world: World, request: Request, purse: Purse) -> str:
        self.arms = {id: Arm(id, PRIORS[id], world.forecast_usd(id, request)) for id in world.standing(request)}
        floor = quality_floor(request.complexity, Tier.ENTERPRISE) if self.floors else 0.0
        features = features_of(request.complexity)
        began = time.perf_counter()
        ranked = rank(self.state, list(self.arms.values()), features, purse, request.draw, floor, LEAST_PRICE)
        self.seconds.append(time.perf_counter() - began)
        return ranked[0].arm_id

    def learn(self, request: Request, id: str, reward: float, cost: float, purse: Purse) -> None:
        arm, features = self.arms[id], features_of(request.complexity)
        before = self.state.arms.get(id)
        allowance = purse.allowance_usd
        self.state = update(
            self.state, Observation(id, arm.quality, features, reward, request.at + 1, arm.cost_usd, cost, allowance)
        )
        after = self.state.arms[id]
        if after.changed and (before is None or after.changed_at != before.changed_at):
            self.alarms.append((request.number, id, after.changed))


PRIORS = {entry.id: quality_of(entry) for entry in (*entries(), NEWCOMER)} | {RULES.id: 0.45}


def oracle(world: World) -> Run:
    """Knows every expectation and cost; for each segment between changes a price of money that spends its share."""
    run = Run()
    edges = sorted({*world.moments, *(A_DAY * day for day in range(DAYS + 1))})
    for start, end in pairwise(edges):
        part = world.requests[start:end]
        offers = [[(world.reward(i, r), world.cost_usd(i, r), i) for i in world.standing(r)] for r in part]
        for request, (reward, cost, id) in zip(part, _priced(offers, world.budget * len(part) / A_DAY), strict=True):
            run.chosen.append(id)
            run.reward.append(reward)
            run.spent[int(request.at // 86_400)] += cost
    return run


def _priced(offers: list[list[Offer]], share: float) -> list[Offer]:
    """The best offers at the lowest price of money at which they cost no more than the share."""
    low, high = 0.0, 1e5
    for _ in range(40):
        price = (low + high) / 2
        spend = sum(max(offer, key=lambda o: o[0] - price * o[1])[1] for offer in offers)
        low, high = (price, high) if spend > share else (low, price)
    return [max(offer, key=lambda o: o[0] - high * o[1]) for offer in offers]


# --- figures ---------------------------------------------------------------------------------------------------------
def figures(world: World, run: Run, ideal: Run) -> dict[str, float]:
    regret = [a - b for a, b in zip(ideal.reward, run.reward, strict=True)]
    return {
        "reward": statistics.fmean(run.reward),
        "regret": statistics.fmean(regret),
        "regret_last_half_day": statistics.fmean(regret[-A_DAY // 2 :]),
        "overshoot": max(spent / world.budget for spent in run.spent) - 1.0,
        "used": sum(run.spent) / (world.budget * DAYS),
    }


def noticed(world: World, run: Run, ideal: Run, alarms: Sequence[tuple[int, str, str]]) -> dict[str, float | None]:
    """Requests from each change until it shows; None where it never does or there is nothing to see."""
    cut, regression, entry = world.moments
    before = _share(run, world.regressed, cut, regression)
    worse = [n - regression for n, id, how in alarms if n >= regression and (id, how) == (world.regressed, "worse")]
    gone = _until(run, world.regressed, regression, lambda share: share <= before / 2)
    return {
        "regression": gone if before > 0.1 else None,
        "alarm": float(worse[0]) if worse else None,
        "price_cut": _adopted(run, ideal, world.cut, cut, regression),
        "newcomer": _adopted(run, ideal, NEWCOMER.id, entry, len(run.chosen)),
    }


def _adopted(run: Run, ideal: Run, id: str, start: int, end: int) -> float | None:
    wanted = _share(ideal, id, start, end)
    return _until(run, id, start, lambda share: share >= wanted / 2) if wanted > 0.1 else None


def _share(run: Run, id: str, start: int, end: int) -> float:
    return run.chosen[start:end].count(id) / max(1, end - start)


def _until(run: Run, id: str, start: int, reached: Callable[[float], bool]) -> float | None:
    """Counted to the end of the first window in which it shows."""
    for at in range(start, len(run.chosen) - WINDOW):
        if reached(_share(run, id, at, at + WINDOW)):
            return float(at - start + WINDOW)
    return None


def simulate(seed: int) -> dict[str, Any]:
    made = world(seed)
    ideal = oracle(made)
    learner, floored, alone = Learner(), Learner(floors=True), Learner()
    runs = {
        "oracle": ideal,
        "learning": play(made, learner.choose, learner.learn),
        "learning, pacer alone": play(made, alone.choose, alone.learn, guarded=False),
        "learning with floors": play(made, floored.choose, floored.learn),
        "cheapest that fits": play(made, by_complexity),
        "always cheapest": play(made, cheapest),
        "always best": play(made, best),
    }
    return {
        "seed": seed,
        "policies": {name: figures(made, run, ideal) for name, run in runs.items()},
        "noticed": noticed(made, runs["learning"], ideal, learner.alarms),
        "false_alarms": sum((id, how) != (made.regressed, "worse") for _, id, how in learner.alarms),
        "rank_us": statistics.median(learner.seconds) * 1e6,
        "state_bytes": len(json.dumps(learner.state.to_dict())),
    }


def run(seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Every seed's figures, and over the seeds the mean and the worst."""
    rounds = [simulate(seed) for seed in seeds]
    names = list(rounds[0]["policies"])
    summary = {
        name: {
            figure: statistics.fmean(r["policies"][name][figure] for r in rounds)
            if figure != "overshoot"
            else max(r["policies"][name][figure] for r in rounds)
            for figure in rounds[0]["policies"][name]
        }
        for name in names
    }
    return {"days": DAYS, "requests_a_day": A_DAY, "rounds": rounds, "summary": summary}


def table(result: dict[str, Any]) -> str:
    rows = ["| policy | reward | regret | regret at the end | overshoot (worst) | used |", "|---|---|---|---|---|---|"]
    for name, f in result["summary"].items():
        rows.append(
            f"| {name} | {f['reward']:.4f} | {f['regret']:.4f} | {f['regret_last_half_day']:.4f} "
            f"| {f['overshoot']:+.2%} | {f['used']:.1%} |"
        )
    rows += ["", "| requests until noticed | " + " | ".join(f"seed {r['seed']}" for r in result["rounds"]) + " |"]
    rows.append("|---" * (len(result["rounds"]) + 1) + "|")
    for what in result["rounds"][0]["noticed"]:
        rows.append(f"| {what} | " + " | ".join(_said(r["noticed"][what]) for r in result["rounds"]) + " |")
    rows.append("| false alarms | " + " | ".join(str(r["false_alarms"]) for r in result["rounds"]) + " |")
    last = result["rounds"][-1]
    rows += ["", f"Ranking takes {last['rank_us']:.0f} us; the state is {last['state_bytes']:,} bytes as JSON."]
    return "\n".join(rows)


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    measured = run()
    print(table(measured))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(measured, indent=1), encoding="utf-8")
