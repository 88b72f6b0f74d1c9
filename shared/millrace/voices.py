"""Voice cards: how somebody writes, measured on samples of their own. AWS: DynamoDB, through the table.

A profile is counts over closed lists of words and marks, so nothing of a sample's words can travel into a prompt; the
samples themselves are not kept. Rates are shares in [0, 1] or counts per 100 words. English is what is measured: for
another language the length of sentences and the marks still hold. Known error: under 300 words a rate is a hint.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from .clock import fresh_id, stamp
from .datapoints import MAX_TEXT, check_unicode
from .errors import InvalidInput, NotFound, TooLarge
from .providers import Ask
from .table import Table, Write
from .tenants import Kind, Tenant
from .text.ruledata import lexicon
from .text.rules import rewrite
from .text.sentences import split

ENOUGH_SAMPLES, ENOUGH_WORDS = 3, 150
LEAST_WORDS = 30
"""Of all samples together, however many they are."""
MAX_SAMPLES, MAX_VOICES = 20, 100
CONNECTIVES = (
    "and so", "as it happens", "also", "anyway", "because", "besides", "but", "by the way", "for example",
    "for instance", "hence", "however", "in fact", "in short", "indeed", "instead", "meanwhile", "moreover",
    "nonetheless", "now", "of course", "on the other hand", "otherwise", "plus", "so", "still", "that said", "then",
    "therefore", "though", "thus", "well", "which means", "while", "yet",
)  # fmt: skip
PERSONS: Mapping[str, frozenset[str]] = {
    "I": frozenset("i me my mine myself i'm i've i'd i'll".split()),
    "we": frozenset("we us our ours ourselves we're we've we'd we'll".split()),
    "you": frozenset("you your yours yourself you're you've you'd you'll".split()),
}
MARKS = {
    "comma": ",", "exclamation": "!", "question": "?", "semicolon": ";", "colon": ":", "dash": "—–", "parenthesis": "(",
    "ellipsis": "…",
}  # fmt: skip
OFTEN: Mapping[str, float] = {
    "comma": 7.0, "exclamation": 0.8, "question": 1.2, "semicolon": 0.5, "colon": 1.0, "dash": 0.6, "parenthesis": 0.8,
    "ellipsis": 0.4,
}  # fmt: skip
"""Per 100 words from which a mark is a habit: about twice what edited English prose has of it."""
HEAVY_EDITS = 4.0
"""Changes of the medium rules per 100 words of somebody's own text, from which those rules would fight the voice."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_CONTRACTED = re.compile(r"\w(?:n't|'(?:re|ve|ll|m|d))\b|\b(?:it|that|he|she|there|what|who|let|here)'s\b")
_CONTRACTIBLE = re.compile(
    r"\b(?:(?:do|does|did|is|are|was|were|have|has|had|would|could|should|will) not|cannot|i am|(?:i|we|you|they) have"
    r"|(?:we|you|they) are|(?:it|that|he|she|there) is|(?:i|we|you|they|he|she|it) (?:will|would)|let us)\b"
)


@dataclass(frozen=True)
class Profile:
    words: int
    sentences: int
    sentence_words: float
    """Mean length of a sentence."""
    sentence_spread: float
    """Standard deviation of that length."""
    contractions: float
    """Share of the places that allow one which have one."""
    formality: float
    """0 chatty, 1 formal: no contractions, long words, no I and you, no exclamations; equal parts."""
    person: str
    """I, we, you, or none."""
    spelling: str
    """british, american, or none that tells."""
    connectives: tuple[str, ...] = ()
    """The favourites, of CONNECTIVES."""
    punctuation: Mapping[str, float] = field(default_factory=dict)
    """Mark -> how many per 100 words."""
    edits: float = 0.0
    """Changes that the medium rules of its tone would make per 100 words."""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Profile:
        known = {name: raw[name] for name in cls.__dataclass_fields__ if name in raw}
        return cls(**{**known, "connectives": tuple(raw.get("connectives", ()))})

    @property
    def tone(self) -> str:
        """Of the rules that write most like this: warm contracts, formal does not, plain leaves it open."""
        if self.formality >= 0.7:
            return "formal"
        return "warm" if self.contractions >= 0.5 and self.formality < 0.4 else "plain"

    @property
    def strength(self) -> str:
        return "light" if self.edits >= HEAVY_EDITS else "medium"

    @property
    def lines(self) -> str:
        """What a language model is told of it."""
        spread = "all about the same length" if self.sentence_spread < 0.35 * self.sentence_words else "of mixed length"
        told = [f"Sentences of about {self.sentence_words:.0f} words, {spread}."]
        told.append(_contracting(self.contractions))
        if self.person != "none":
            told.append(f"Speaks as or to '{self.person}' where the text already does.")
        if self.connectives:
            told.append(f"Likes to link with: {', '.join(self.connectives)}.")
        habits = [f"{mark} marks" for mark, rate in self.punctuation.items() if rate >= OFTEN[mark]]
        never = [f"{mark} marks" for mark in ("exclamation", "semicolon", "dash") if not self.punctuation.get(mark)]
        if habits:
            told.append(f"Uses many {', '.join(habits)}.")
        if never:
            told.append(f"Uses no {', '.join(never)}.")
        if self.spelling != "none":
            told.append(f"Spelling: {self.spelling}.")
        return " ".join(told)


@dataclass(frozen=True)
class Voice:
    id: str
    name: str
    profile: Profile
    created_at: str

    def shown(self) -> dict[str, Any]:
        own = {"tone": self.profile.tone, "strength": self.profile.strength, "lines": self.profile.lines}
        return asdict(self) | own

    def follow(self, text: str, strength: str | None, tone: str | None) -> Ask:
        """What a caller states stands; what they leave open the voice decides."""
        return Ask(text, strength or self.profile.strength, tone or self.profile.tone, voice=self.profile.lines)


@dataclass(frozen=True)
class Voices:
    table: Table

    def make(self, tenant: Tenant, name: str, samples: Sequence[str]) -> Voice:
        """InvalidInput for samples that show too little."""
        check_unicode("name", name)
        if not name.strip():
            raise InvalidInput("The name is empty; say whose voice it is.")
        voice = Voice(fresh_id("vc"), name.strip(), profile(checked(samples)), stamp())
        if len(self.page(tenant, MAX_VOICES, None)[0]) >= MAX_VOICES:
            raise TooLarge(f"There are {MAX_VOICES} voices already; delete one first.")
        self.table.put(
            asdict(voice)
            | {
                "pk": tenant.pk(Kind.VOICE, voice.id),
                "sk": "body",
                "list_pk": tenant.pk(Kind.VOICE),
                "list_sk": f"{voice.created_at}#{voice.id}",
            }
        )
        return voice

    def get(self, tenant: Tenant, id: str) -> Voice:
        item = self.table.get(tenant.pk(Kind.VOICE, id), "body")
        if item is None:
            raise NotFound(f"There is no voice {id[:80]!r}.")
        return _read(item)

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[Voice], str | None]:
        items, following = self.table.page(tenant.pk(Kind.VOICE), limit, cursor)
        return [_read(item) for item in items], following

    def delete(self, tenant: Tenant, id: str) -> None:
        """NotFound where there was none."""
        self.get(tenant, id)
        self.table.transact([Write("delete", tenant.pk(Kind.VOICE, id), "body")], op=fresh_id("voice-"))


def ask(voice: Voice | None, text: str, strength: str | None = None, tone: str | None = None) -> Ask:
    """What is asked of whoever rewrites, with a voice or without one."""
    return voice.follow(text, strength, tone) if voice else Ask(text, strength or "medium", tone or "plain")


def checked(samples: Sequence[str]) -> Sequence[str]:
    """Samples that show enough: 3 of them or 150 words, and 30 words in any case."""
    samples = [sample for sample in samples if sample.strip()]
    for sample in samples:
        check_unicode("sample", sample)
    if len(samples) > MAX_SAMPLES:
        raise TooLarge(f"There are {len(samples)} samples; at most {MAX_SAMPLES} are taken.")
    if (size := sum(map(len, samples))) > MAX_TEXT:
        raise TooLarge(f"The samples have {size:,} characters together; at most {MAX_TEXT:,} are taken.")
    words = sum(len(_WORD.findall(sample)) for sample in samples)
    if words < LEAST_WORDS or (len(samples) < ENOUGH_SAMPLES and words < ENOUGH_WORDS):
        raise InvalidInput(
            f"The samples show too little: {len(samples)} of {words} words together. Send {ENOUGH_SAMPLES} texts or "
            f"{ENOUGH_WORDS} words of your own, and {LEAST_WORDS} words in any case."
        )
    return samples


def profile(samples: Sequence[str]) -> Profile:
    text = "\n\n".join(samples)
    flat = text.replace("’", "'").casefold()
    words = _WORD.findall(flat)
    lengths = [n for sample in samples for piece in split(sample) if (n := len(_WORD.findall(piece)))]
    count = max(1, len(words))
    contractions = _contractions(flat)
    persons = {who: sum(word in forms for word in words) / count for who, forms in PERSONS.items()}
    found = Profile(
        words=len(words),
        sentences=len(lengths),
        sentence_words=round(statistics.fmean(lengths), 1) if lengths else 0.0,
        sentence_spread=round(statistics.pstdev(lengths), 1) if lengths else 0.0,
        contractions=round(contractions, 2),
        formality=0.0,
        person=max(persons, key=lambda who: persons[who]) if max(persons.values()) >= 0.01 else "none",
        spelling=_spelling(words),
        connectives=_favourites(flat, len(lengths)),
        punctuation={mark: round(100 * _marks(text, signs) / count, 2) for mark, signs in MARKS.items()},
    )
    found = replace(found, formality=_formality(found, words, persons["I"] + persons["you"]))
    changes = sum(len(rewrite(sample, "medium", found.tone).changes) for sample in samples)
    return replace(found, edits=round(100 * changes / count, 2))


def _contractions(flat: str) -> float:
    """Half where no place allows one: it is not known."""
    short, long = len(_CONTRACTED.findall(flat)), len(_CONTRACTIBLE.findall(flat))
    return short / (short + long) if short + long else 0.5


def _formality(found: Profile, words: Sequence[str], personal: float) -> float:
    long_words = sum(len(word) > 7 for word in words) / max(1, len(words))
    parts = (
        1 - found.contractions,
        min(1.0, long_words / 0.3),  # edited reports have about 30 % of them, letters 10 %
        1 - min(1.0, personal / 0.06),
        1 - min(1.0, found.punctuation["exclamation"] / OFTEN["exclamation"]),
    )
    return round(sum(parts) / len(parts), 2)


def _favourites(flat: str, sentences: int) -> tuple[str, ...]:
    """At the start of a sentence or of a clause, twice at least and in one sentence of twenty."""
    opened = Counter(match[1] for match in _opener().finditer(flat))
    least = max(2, sentences / 20)
    return tuple(word for word, count in opened.most_common(5) if count >= least)


@cache
def _opener() -> re.Pattern[str]:
    words = "|".join(sorted(map(re.escape, CONNECTIVES), key=len, reverse=True))
    return re.compile(rf"(?:^|[.!?;:,—–\n(]\s*)({words})\b", re.MULTILINE)


def _marks(text: str, signs: str) -> int:
    marks = text.replace("...", "…").replace(" -- ", " — ")
    return sum(marks.count(sign) for sign in signs)


def _spelling(words: Sequence[str]) -> str:
    british, american = _variants()
    told = sum(word in british for word in words) - sum(word in american for word in words)
    return "none" if told == 0 else "british" if told > 0 else "american"


@cache
def _variants() -> tuple[frozenset[str], frozenset[str]]:
    british, american = zip(*lexicon()["spelling"]["british_american"], strict=True)
    return frozenset(british), frozenset(american)


def _contracting(rate: float) -> str:
    if rate >= 0.6:
        return "Contracts almost always (don't, it's)."
    return "Never contracts (do not, it is)." if rate < 0.1 else "Contracts now and then."


def _read(item: Mapping[str, Any]) -> Voice:
    return Voice(item["id"], item["name"], Profile.from_dict(item["profile"]), item["created_at"])
