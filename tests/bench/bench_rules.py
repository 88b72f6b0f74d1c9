"""Rules: matching 1,000 phrases and rewriting, MB/s of one core, against peers and a floor in the same run.

`python -m tests.bench.bench_rules [samples.json]` prints a table and writes the raw samples. Arms are shuffled in every
round; time is the process's CPU time; the matchers must agree on every place before any of them is timed. A run whose
floor moved by more than 20 % says so and is void. Included: lower-casing, search, borders. Not included: imports,
building the search, reading files. Peers that are not installed are named as absent.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from millrace.text.engine import candidates, make_kit
from millrace.text.ruledata import Rule, rules
from millrace.text.rules import rewrite
from millrace.text.scene import lowered

from tests.millrace.text.samples import AI_TEXTS, HUMAN_TEXTS

ROUNDS = 7
PHRASES = 1_000
SIZE = 200_000
SLOW_SIZE = 20_000
"""Characters for the arms that would take minutes with SIZE; MB/s is per character either way."""
Place = tuple[int, int]
Arm = tuple[Callable[[], object], int]


def phrases() -> list[str]:
    """1,000 phrases of the rules, none inside another, so that every matcher must find the same places."""
    known = sorted({p for rule in rules() for p, _ in rule.phrases if re.fullmatch(r"[a-z]+(?: [a-z]+)+", p)}, key=len)
    kept: list[str] = []
    for phrase in known:
        if not any(f" {short} " in f" {phrase} " for short in kept):
            kept.append(phrase)
    filler = [f"{a} quxly {b}" for a in ("zorb", "plim", "drava", "knoll") for b in map(_word, range(400))]
    return (kept + filler)[:PHRASES]


def _word(n: int) -> str:
    return "v" + "".join("aeioubdgklmnrst"[(n * 7 + i * (n % 11 + 1)) % 15] for i in range(5)) + chr(97 + n % 26)


def text_of(chosen: list[str], size: int, seed: int = 1) -> str:
    """Filler words with a phrase among every thirty or so; no two phrases touch."""
    draw = random.Random(seed)
    words: list[str] = []
    length = 0
    while length < size:
        piece = draw.choice(chosen) if draw.random() < 0.03 else "w" + _word(draw.randrange(10_000))
        words += [piece, "xx"]
        length += len(piece) + 4
    return " ".join(words)[:size].rsplit(" ", 1)[0]


def matchers(chosen: list[str]) -> dict[str, Callable[[str], list[Place]]]:
    """Every way of finding all phrases of `chosen` on word borders, in lower case."""
    kit = make_kit((_rule(chosen),))
    patterns = [re.compile(rf"\b{phrase}\b") for phrase in chosen]
    union = re.compile(r"\b(?:" + "|".join(sorted(chosen, key=len, reverse=True)) + r")\b")
    found: dict[str, Callable[[str], list[Place]]] = {
        "millrace": lambda text: [(start, -end) for start, end, _ in candidates(lowered(text), kit)],
        "loop of re": lambda text: sorted(m.span() for p in patterns for m in p.finditer(text.lower())),
        "one regex": lambda text: [m.span() for m in union.finditer(text.lower())],
    }
    for name, make in (("pyahocorasick", _pyahocorasick), ("flashtext", _flashtext)):
        try:
            found[name] = make(chosen)
        except ImportError:
            print(f"absent: {name}")
    return found


def _rule(chosen: list[str]) -> Rule:
    pairs = tuple((phrase, ("",)) for phrase in chosen)
    return Rule("bench.all", "bench", "light", ("plain",), ("", ""), "this file", phrases=pairs)


def _pyahocorasick(chosen: list[str]) -> Callable[[str], list[Place]]:
    automaton: Any = import_module("ahocorasick").Automaton()
    for phrase in chosen:
        automaton.add_word(phrase, len(phrase))
    automaton.make_automaton()

    def find(text: str) -> list[Place]:
        low = f" {text.lower()} "
        return [
            (last - size, last)
            for last, size in automaton.iter(low)
            if not low[last - size].isalnum() and not low[last + 1].isalnum()
        ]

    return find


def _flashtext(chosen: list[str]) -> Callable[[str], list[Place]]:
    processor: Any = import_module("flashtext").KeywordProcessor()
    processor.add_keywords_from_list(chosen)
    return lambda text: [(start, end) for _, start, end in processor.extract_keywords(text, span_info=True)]


def arms() -> dict[str, Arm]:
    """Name -> what to run and how many characters it handles; results are compared first."""
    chosen = phrases()
    fast, slow = text_of(chosen, SIZE), text_of(chosen, SLOW_SIZE)
    found = matchers(chosen)
    places = {name: find(slow) for name, find in found.items()}
    wrong = [name for name, result in places.items() if result != places["loop of re"]]
    if wrong or not places["loop of re"]:
        raise SystemExit(f"These do not find what the loop of re finds: {wrong}")
    machine, human = "\n\n".join(AI_TEXTS), "\n\n".join(HUMAN_TEXTS)
    request = machine[:2_000]
    made: dict[str, Arm] = {"floor: str.lower": (lambda: [fast.lower() for _ in range(200)], len(fast) * 200)}
    for name, find in found.items():
        text = slow if name in ("loop of re", "one regex") else fast
        made[f"match: {name}"] = ((lambda find=find, text=text: find(text)), len(text))  # type: ignore[misc]
    made["rewrite: machine-like"] = (lambda: rewrite(machine), len(machine))
    made["rewrite: by people"] = (lambda: rewrite(human), len(human))
    made["rewrite: 2 KB request"] = (lambda: rewrite(request), len(request))
    return made


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Raw CPU seconds by arm, the characters of each, and whether the floor held still."""
    todo = arms()
    samples: dict[str, list[float]] = {name: [] for name in todo}
    draw = random.Random(0)
    for name in todo:
        todo[name][0]()
    for _ in range(rounds):
        for name in draw.sample(sorted(todo), len(todo)):
            start = time.process_time()
            todo[name][0]()
            samples[name].append(time.process_time() - start)
    floor = samples["floor: str.lower"]
    return {
        "seconds": samples,
        "characters": {name: size for name, (_, size) in todo.items()},
        "phrases": PHRASES,
        "void": max(floor) > 1.2 * min(floor),
    }


def table(result: dict[str, Any]) -> str:
    """MB/s at the median and at the worst of the rounds (p99 of so few), and milliseconds."""
    rows = ["| arm | p50 MB/s | p99 MB/s | p50 ms |", "|---|---|---|---|"]
    for name, seconds in result["seconds"].items():
        size = result["characters"][name] / 1e6
        p50, p99 = statistics.median(seconds), max(seconds)
        rows.append(f"| {name} | {size / p50:.2f} | {size / p99:.2f} | {p50 * 1e3:.2f} |")
    note = "void: the floor moved by more than 20 %" if result["void"] else "the floor moved by less than 20 %"
    return "\n".join([*rows, "", f"{result['phrases']} phrases, CPU time of one core; {note}."])


if __name__ == "__main__":
    measured = run()
    print(table(measured))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(measured), encoding="utf-8")
