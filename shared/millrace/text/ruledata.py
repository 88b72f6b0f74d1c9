"""The rules as data: `rules.d/*.toml`, one file a family, read once when first asked for.

A rule says what it looks for in one of these ways:
  phrase   {"in order to" = "to"}              words and what stands for them ("" = left out; a list = one by the seed)
  verb     ["utilize", "use"]                  all four forms; `ambiguous` = the base form only after to, can, we, ...
  noun     ["plethora", "wealth"]              singular and plural
  pattern  "not only (.+?),? but also "        a regular expression, tried where a literal of `trigger` stands
  op       "em_dash"                           a function of `millrace.text.ops`, where words alone do not suffice
and where: `at` = "any" | "start" (of a sentence) | "sentence" (the whole of one) | "again" (from the second time in a
paragraph). `strength` is the least at which it applies. `not_before`, `not_after`: words that forbid it; `before`,
`after`: it is wanted that one of them stands there ("." = the end, "," = a mark or the beginning). `near`, `not_near`:
the same among the next five words, `not_behind` among the four words before.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millrace.text import inflect

STRENGTHS = ("light", "medium", "strong")
TONES = ("plain", "warm", "formal", "academic")
FOLDER = Path(__file__).with_name("rules.d")
VERBAL_BEFORE = frozenset(
    "to can could will would should must may might shall we you they i and or not help helps let lets please then also "
    "cannot can't don't didn't doesn't won't never always easily that who which users teams people "
    "companies businesses "
    "organizations".split()
)
"""Words after which a base form that is a noun too is a verb."""
GUARDS = ("not_before", "not_after", "before", "after", "near", "not_near", "not_behind")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as it stands in its file; `phrases` maps what is found to its replacements."""

    id: str
    family: str
    strength: str
    tones: tuple[str, ...]
    example: tuple[str, str]
    source: str
    at: str = "any"
    phrases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    guarded: frozenset[str] = frozenset()
    participles: tuple[tuple[str, str], ...] = ()
    pattern: re.Pattern[str] | None = None
    replace: str = ""
    triggers: tuple[str, ...] = ()
    op: str = ""
    not_before: frozenset[str] = frozenset()
    not_after: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()
    not_near: frozenset[str] = frozenset()
    not_behind: frozenset[str] = frozenset()
    guards: bool = field(init=False)
    """Whether the words around a place decide too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "guards", any((self.guarded, *(getattr(self, name) for name in GUARDS))))

    def applies(self, strength: str, tone: str) -> bool:
        return STRENGTHS.index(self.strength) <= STRENGTHS.index(strength) and tone in self.tones


@dataclass(frozen=True)
class Family:
    """A file of rules: what it is about and where it comes from."""

    name: str
    title: str
    about: str
    source: str
    rules: tuple[Rule, ...]


@functools.cache
def families() -> tuple[Family, ...]:
    """Every family, in the order of the file names."""
    return tuple(_family(path) for path in sorted(FOLDER.glob("*.toml")))


@functools.cache
def lexicon() -> dict[str, Any]:
    """`lexicon.toml`'s tables: spellings, synonym classes, verbs."""
    with (FOLDER / "lexicon" / "lexicon.toml").open("rb") as file:
        return tomllib.load(file)


def rules() -> tuple[Rule, ...]:
    return tuple(rule for family in families() for rule in family.rules)


def _family(path: Path) -> Family:
    with path.open("rb") as file:
        data = tomllib.load(file)
    name = path.stem.split("-", 1)[-1]
    common: dict[str, Any] = {key: data[key] for key in ("strength", "tones", "source", "at") if key in data}
    made = tuple(_rule(f"{name}.{key}", name, {**common, **row}) for key, row in data["rules"].items())
    return Family(name, data["title"], data["about"].strip(), data["source"], made)


def _rule(rule_id: str, family: str, row: dict[str, Any]) -> Rule:
    phrases, guarded, participles = _phrases(row)
    pattern = row.get("pattern")
    return Rule(
        id=rule_id,
        family=family,
        strength=row.get("strength", "light"),
        tones=tuple(row.get("tones", TONES)),
        example=tuple(row["example"]),
        source=row["source"],
        at=row.get("at", "any"),
        phrases=phrases,
        guarded=guarded,
        participles=participles,
        pattern=re.compile(pattern, re.IGNORECASE) if pattern else None,
        replace=row.get("replace", ""),
        triggers=tuple(row.get("trigger", ())),
        op=row.get("op", ""),
        **{name: frozenset(row.get(name, "").split()) for name in GUARDS},
    )


_Phrases = tuple[tuple[str, tuple[str, ...]], ...]


def _phrases(row: dict[str, Any]) -> tuple[_Phrases, frozenset[str], tuple[tuple[str, str], ...]]:
    """What is found and its replacements; what is guarded; what becomes a participle after have or be."""
    found: dict[str, tuple[str, ...]] = {}
    guarded: set[str] = set()
    participles: dict[str, str] = {}
    for phrase, replacement in row.get("phrase", {}).items():
        found[phrase] = tuple(replacement) if isinstance(replacement, list) else (replacement,)
    if "verb" in row:
        olds, new = row["verb"][:-1], row["verb"][-1]
        for old in olds:
            for form, other in zip(inflect.forms(old), inflect.forms(new), strict=True):
                if found.setdefault(form, (other,)) != (other,):
                    participles[form] = other
            if row.get("ambiguous"):
                guarded.add(old)
    if "noun" in row:
        for old in row["noun"][:-1]:
            found[old] = (row["noun"][-1],)
            found[inflect.plural(old)] = (inflect.plural(row["noun"][-1]),)
    return tuple(found.items()), frozenset(guarded), tuple(participles.items())
