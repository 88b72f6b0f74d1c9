"""What a rule does when words alone do not suffice: a paragraph and its sentences in, edits out. Pure, linear.

Each function is conservative: where the grammar is not plain, it leaves the sentence alone.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ahocorasick_rs

from millrace.text import inflect
from millrace.text.blocks import MASK
from millrace.text.edits import Edit
from millrace.text.quantities import MONTHS, WEEKDAYS
from millrace.text.ruledata import Rule, lexicon
from millrace.text.words import GIVEN_NAMES

PRONOUNS = "it|they|we|he|she|I|you|this|that|these|those|there"
FINITE = (
    r"(?:is|are|was|were|has|have|had|can|could|will|would|should|must|may|might|does|do|did|means|makes"
    r"|gives|lets|helps|"
    r"makes|takes|needs|wants|works|keeps|offers|provides|remains|becomes|allows|requires|shows|includes"
    r"|comes|goes|\w+['’]s|"
    r"isn't|aren't|wasn't|weren't|don't|doesn't|didn't|can't|won't)\b"
)


@dataclass(slots=True)
class Scene:
    """One block as an operation sees it; `spans` are its sentences."""

    block: str
    masked: str
    spans: list[tuple[int, int]]
    item: bool
    tone: str
    dialect: str = ""


Op = Callable[[Scene, Rule], list[Edit]]

_DASH = re.compile(r"(?<=[\w)\"”\ue000%.])(?: ?— ?| (?:–|--) )(?=[\w(\"“\ue000$*])")
_AFTER_COMMA = re.compile(
    r"(?:and|but|or|nor|so|yet|because|which|who|whose|not|while|though|although|including|especially"
    r"|particularly|even|with|"
    r"without|where|when|whether|as|if|to|from|for|in|on|at|by|rather|often|usually|sometimes|perhaps|all"
    r"|both|just|only|"
    r"whatever|than|such|like|a|an|no|\w+ing|\w+ed|\w+ly)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    rf"(?:(?:{PRONOUNS}|I)(?:['’](?:s|re|ve|ll|m)\b| (?:\w+ )?{FINITE})|(?:it|they|we|he|she|you|I) \w+)", re.IGNORECASE
)
_COMMAND = re.compile(r"(?:don't|do not|stop|wait|look|remember|imagine)(?: \w+){0,3}$", re.IGNORECASE)
_POINTS_ON = re.compile(
    r"\b(?:thing|things|goal|reason|question|answer|problem|result|rule|word|choice|option|lesson|point)s?$"
)


def em_dash(scene: Scene, rule: Rule) -> list[Edit]:
    """A pair becomes commas or brackets, a single one the mark that the grammar asks for."""
    if "—" not in scene.masked and " – " not in scene.masked and " -- " not in scene.masked:
        return []
    edits: list[Edit] = []
    for start, end in scene.spans:
        found = list(_DASH.finditer(scene.masked, start, end))
        if len(found) == 2:
            edits += _dash_pair(scene, rule, found[0], found[1])
        elif len(found) == 1:
            edits += _dash_single(scene, rule, found[0], start, end)
    return edits


def _dash_pair(scene: Scene, rule: Rule, one: re.Match[str], two: re.Match[str]) -> list[Edit]:
    aside = scene.masked[one.end() : two.start()]
    if len(aside.split()) > 14 or re.search(r"[.;:()!?]", aside):
        return []
    left, right = (" (", ") ") if "," in aside else (", ", ", ")
    return [Edit(one.start(), one.end(), left, rule.id), Edit(two.start(), two.end(), right, rule.id)]


def _dash_single(scene: Scene, rule: Rule, dash: re.Match[str], start: int, end: int) -> list[Edit]:
    left, right = scene.masked[start : dash.start()], scene.masked[dash.end() : end]
    words = len(left.split())
    mark = _dash_mark(left, right, words)
    if mark != ". ":
        return [Edit(dash.start(), dash.end(), mark, rule.id)]
    return [Edit(dash.start(), dash.end() + 1, ". " + scene.block[dash.end()].upper(), rule.id)]


def _dash_mark(left: str, right: str, words: int) -> str:
    if _CLAUSE.match(right) and len(right.split()) >= 3:
        if words >= 4 and not re.match(
            r"(?:if|when|while|as|because|although|though|since|after|before)\b", left, re.IGNORECASE
        ):
            return ". "
        return ": " if ":" not in left + right else ", "
    if _COMMAND.match(left):
        return ". "
    if _POINTS_ON.search(left) and ":" not in left + right:
        return ": "
    if _AFTER_COMMA.match(right):
        return ", "
    listed = right.count(",") >= 2 or re.search(r", (?:and|or) ", right)
    return ": " if listed and words >= 4 and ":" not in left + right else ", "


_LIST = re.compile(
    r"(?<![\w-])([a-z]+(?:-[a-z]+)*)(?:, ([a-z]+(?:-[a-z]+)*))?,? (and|or) ([a-z]+(?:-[a-z]+)*)(?![\w-])"
)


_JOINT = re.compile(r" (?:and|or)(?= [a-z])")


def _lists(masked: str) -> Iterator[re.Match[str]]:
    """`_LIST.finditer(masked)`, tried only where a list can stand: two words before an "and" or "or" to one after."""
    at = 0
    for joint in _JOINT.finditer(masked):
        if joint.start() < at:
            continue
        one = masked.rfind(" ", at, joint.start())
        first = masked.rfind(" ", at, one) if one > at else at
        end = masked.find(" ", joint.end() + 1)
        near = _LIST.search(masked, max(at, first), len(masked) if end < 0 else end)
        match = _LIST.match(masked, near.start()) if near else None
        if match is not None:
            yield match
            at = match.end()


@functools.cache
def _classes() -> dict[str, int]:
    return {word: n for n, words in enumerate(lexicon()["synonyms"]["classes"]) for word in words.split()}


def synonym_list(scene: Scene, rule: Rule) -> list[Edit]:
    """Two or three words of one meaning: the list keeps what differs."""
    if " and " not in scene.masked:
        return []
    known = _classes()
    edits: list[Edit] = []
    for match in _lists(scene.masked):
        one, two, joint, three = match.groups()
        if joint != "and" or scene.masked[max(0, match.start() - 2) : match.start()] == ", ":
            continue
        kept = _without_synonyms([w for w in (one, two, three) if w], known)
        if kept:
            edits.append(Edit(match.start(), match.end(), " and ".join(kept), rule.id))
    return edits


def _without_synonyms(words: list[str], known: dict[str, int]) -> list[str]:
    """What is left, [] when nothing is to be left out."""
    kept: list[str] = []
    seen: set[int] = set()
    for word in words:
        group = known.get(word)
        if group is not None and group in seen:
            continue
        if group is not None:
            seen.add(group)
        kept.append(word)
    return kept if len(kept) < len(words) else []


_DETERMINED = (
    r"(?:the|a|an|this|that|these|those|our|my|your|his|her|its|their|all|each|every|both|some|many|most|several)"
)
_PASSIVE = re.compile(
    rf"(?P<subject>(?:{_DETERMINED})(?: [a-z][\w-]*){{1,3}}|it|they|he|she|we|I|this|these|those)"
    r" (?P<aux>was|were) (?:(?P<adverb>recently|first|originally|later|quickly|carefully) )?(?P<verb>\w{2,15}) by "
    r"(?P<agent>(?:the|a|an|our|my|your|his|her|its|their|two|three|several|many|some) [a-z][\w-]*(?: [a-z][\w-]*){0,2}"
    r"|[A-Z][\w.-]*(?: [A-Z][\w.-]*){0,3}|him|her|them|us|me|you|it)(?P<tail>(?: (?:in|on|at|last"
    r"|yesterday|after|before|during) [\w ,-]{1,40})?)(?P<end>[.!])$",
    re.IGNORECASE,
)
_TO_OBJECT = {"he": "him", "she": "her", "they": "them", "we": "us", "i": "me"}
_TO_SUBJECT = {"him": "he", "her": "she", "them": "they", "us": "we", "me": "I", "you": "you", "it": "it"}
_NOT_ACTORS = frozenset(
    "christmas easter thanksgiving ramadan noon midnight tomorrow today end time way means year month "
    "day week hour beginning start middle night morning evening age side "
    "river lake sea fact case light hand mistake accident default law chance rest".split()
)


def passive(scene: Scene, rule: Rule) -> list[Edit]:
    """The actor first: "It was written by our team" -> "Our team wrote it"."""
    if " by " not in scene.masked:
        return []
    edits = []
    for start, end in scene.spans:
        match = _PASSIVE.fullmatch(scene.masked, start, end) if end - start < 160 else None
        active = _active(match) if match else ""
        if active:
            edits.append(Edit(start, end, active, rule.id))
    return edits


def _no_actor(agent: str) -> bool:
    """By Friday, by March, by the end, by accident: when and how, not who."""
    return any(
        word.lower() in WEEKDAYS or word.lower() in MONTHS or word.lower() in _NOT_ACTORS for word in agent.split()
    )


def _active(match: re.Match[str]) -> str:
    group = {key: value or "" for key, value in match.groupdict().items()}
    if apart := _NAMED_IN.match(group["agent"]):  # Anna Berg in Paris: she signed it there
        group["agent"], group["tail"] = apart.group(1), apart.group(2) + group["tail"]
    verb, agent, subject = group["verb"].lower(), group["agent"], group["subject"]
    past = inflect.PARTICIPLE_TO_PAST.get(verb) or (verb if verb in inflect.SAME_PAST or verb.endswith("ed") else "")
    words = subject.split()
    if not past or verb in ("born", "supposed", "located", "based") or _no_actor(agent):
        return ""
    if (agent[0].isupper() and agent.lower() in _TO_SUBJECT) or re.search(r"(?:ing|ly)$", agent) or "and" in words[1:]:
        return ""
    if any(
        w.endswith(("ed", "ing")) or w in ("who", "that", "which", "of", "in", "to", "is", "are") for w in words[1:]
    ):
        return ""
    actor = _TO_SUBJECT.get(agent.lower(), agent)
    first = words[0].lower()
    patient = _TO_OBJECT.get(first, first) if len(words) == 1 else " ".join([first, *words[1:]])
    adverb = group["adverb"] + " " if group["adverb"] else ""
    if agent.lower().startswith(("a ", "an ")) and _PLACE.match(
        group["tail"]
    ):  # a lab in Rotterdam, wherever it tested
        actor, group["tail"] = actor + group["tail"], ""
    return f"{actor[0].upper()}{actor[1:]} {adverb}{past} {patient}{group['tail']}{group['end']}"


_NAMED_IN = re.compile(r"([A-Z][\w.-]*(?: [A-Z][\w.-]*)*)( (?:in|at|on) .+)$")
_PLACE = re.compile(rf" (?:in|at|from) (?!(?:{'|'.join(sorted({*MONTHS, *WEEKDAYS}))})\b)[A-Z][\w-]*(?: [A-Z][\w-]*)*$")


_STARTS = frozenset({"i", "we", "you", "he", "she", "it", "they"})
_NO_JOIN = re.compile(
    r"[,;:()?!\"“”/]|\b(?:and|or|but|that|which|who|if|when|while|because|so|not|never|no|than|as|also|too)\b|n't",
    re.IGNORECASE,
)
_AUX = ("is", "are", "was", "were", "has", "have", "can", "could", "will", "would", "should", "must", "may", "might")
_SHORT = {"'s": "is", "'re": "are", "'ve": "have", "'ll": "will"}
_SPREAD = re.compile(r"^(it|he|she|they|we|you|i)('s|'re|'ve|'ll)$", re.IGNORECASE)


def join_short(scene: Scene, rule: Rule) -> list[Edit]:
    """Two short plain sentences of one pronoun: "It is fast. It is cheap" -> "It is fast and cheap"."""
    edits: list[Edit] = []
    used = -1
    for (s1, e1), (s2, e2) in zip(scene.spans, scene.spans[1:], strict=False):
        if s1 <= used or e1 - s1 > 60 or e2 - s2 > 60:
            continue
        rest = _predicate(scene.masked[s1:e1], scene.masked[s2:e2])
        if rest:
            edits.append(Edit(e1 - 1, e2 - 1, f" and {rest}", rule.id))
            used = e2
    return edits


def _predicate(one: str, two: str) -> str:
    """What of the second sentence follows "and", "" when the two are no pair."""
    if MASK in one + two or not (one.endswith(".") and two.endswith(".")) or _NO_JOIN.search(one + two):
        return ""
    a, b = _spread(one[:-1].split()), _spread(two[:-1].split())
    if not (3 <= len(a) <= 10 and 3 <= len(b) <= 10) or a[0] != b[0] or a[0] not in _STARTS:
        return ""
    if a[1] == b[1] and a[1] in _AUX:
        return " ".join(b[2:])
    return "" if a[1] in _AUX or b[1] in _AUX else " ".join(b[1:])


def _spread(words: list[str]) -> list[str]:
    """Pronoun and verb apart and in lower case: "It's late" -> it, is, late."""
    short = _SPREAD.match(words[0]) if words else None
    if short:
        return [short.group(1).lower(), _SHORT[short.group(2).lower()], *words[1:]]
    return [words[0].lower(), *words[1:]] if words else []


LONG = 32
_SPLIT_AT = re.compile(
    rf"(?:(?P<semi>; )(?:and |but )?|, (?P<joint>and|but) )(?=(?:(?:they|we|he|she|I|it|this|that|these"
    rf"|there) (?:\w+ly )?(?!and\b|or\b)\w|"
    rf"(?:the|this|these|our|their|its|your|my) [a-z]\w*(?: [a-z]\w*)? {FINITE}))",
)
_OPEN_CLAUSE = re.compile(
    r"(?:if|when|while|because|although|though|since|as|after|before|whether|unless|once|until|where)\b", re.IGNORECASE
)
_HAS_VERB = re.compile(rf"\b(?:{PRONOUNS}) \w+|\b{FINITE}|\b\w+(?:ed|es)\b", re.IGNORECASE)


def split_long(scene: Scene, rule: Rule) -> list[Edit]:
    """A sentence of more than LONG words is cut where two main clauses meet, nearest to its middle."""
    edits: list[Edit] = []
    for start, end in scene.spans:
        sentence = scene.masked[start:end]
        if (
            end - start < 150
            or len(sentence.split()) <= LONG
            or _OPEN_CLAUSE.match(sentence)
            or not sentence.endswith(".")
        ):
            continue
        found = [m for m in _SPLIT_AT.finditer(sentence) if _both_stand(sentence, m)]
        if found:
            best = min(found, key=lambda m: abs(m.start() - len(sentence) // 2))
            edits.append(_cut(scene, rule, start, best))
    return edits


def _both_stand(sentence: str, match: re.Match[str]) -> bool:
    left, right = sentence[: match.start()], sentence[match.end() :]
    if min(len(left.split()), len(right.split())) < 8 or not _HAS_VERB.search(left):
        return False
    last = left.rsplit(",", 1)
    if match.group("joint") and len(last) == 2 and len(last[1].split()) < 5:
        return False  # the end of a list
    tail = left[-60:]
    return not re.search(
        r"\b(?:that|whether|if|when|because|which|who|believe|says?|said)\b[^,;]*$", tail
    ) and left.count("(") == left.count(")")


def _cut(scene: Scene, rule: Rule, start: int, match: re.Match[str]) -> Edit:
    at = start + match.end()
    but = match.group("joint") == "but" or "but" in match.group()
    following = scene.block[at]
    new = ". But " + following if but else ". " + following.upper()
    return Edit(start + match.start(), at + 1, new, rule.id)


_REPEATED = re.compile(r"(?<![\w-])([a-z]{2,}) \1(?![\w-])", re.IGNORECASE)
_FAIR_DOUBLES = frozenset("had that is very really so no bye ha blah many long far knock in out on there who".split())


def doubled_word(scene: Scene, rule: Rule) -> list[Edit]:
    """A word that follows itself goes; "had had" and "that that" may be right."""
    words = scene.masked.lower().split(" ")
    if not any(map(operator.eq, words, words[1:])):
        return []
    return [
        Edit(m.start(), m.end(), scene.block[m.start(1) : m.end(1)], rule.id)
        for m in _REPEATED.finditer(scene.masked)
        if m.group(1).lower() not in _FAIR_DOUBLES and m.group(1).islower() and m.group(1) not in GIVEN_NAMES
    ]


def doubled_sentence(scene: Scene, rule: Rule) -> list[Edit]:
    """A sentence that follows itself is left out."""
    edits = []
    for (s1, e1), (s2, e2) in zip(scene.spans, scene.spans[1:], strict=False):
        if e1 - s1 > 24 and scene.block[e1 - 1] in ".!?" and scene.block[s1:e1] == scene.block[s2:e2]:
            edits.append(Edit(e1, e2, "", rule.id))
    return edits


@functools.cache
def _spellings(dialect: str) -> tuple[ahocorasick_rs.AhoCorasick, tuple[tuple[str, str], ...]]:
    """Search for what `dialect` does not write, and what it writes instead."""
    british, american = zip(*lexicon()["spelling"]["british_american"], strict=True)
    pairs = tuple(zip(british, american, strict=True) if dialect == "american" else zip(american, british, strict=True))
    return ahocorasick_rs.AhoCorasick([old for old, _ in pairs], store_patterns=False), pairs


def _spelled(masked: str, dialect: str) -> list[tuple[int, int, str]]:
    search, pairs = _spellings(dialect)
    return [
        (start, end, pairs[n][1])
        for n, start, end in search.find_matches_as_indexes(masked, overlapping=True)
        if not (start and masked[start - 1].isalnum()) and not masked[end : end + 1].isalnum()
    ]


def mixed_dialect(text: str) -> str:
    """Which spelling a mixed text uses more, "" for a text that does not mix; American when even."""
    british, american = len(_spelled(text, "american")), len(_spelled(text, "british"))
    if not british or not american:
        return ""
    return "british" if british > american else "american"


def spelling(scene: Scene, rule: Rule) -> list[Edit]:
    """The rarer spelling of a mixed text becomes the other."""
    if not scene.dialect:
        return []
    return [Edit(start, end, new, rule.id) for start, end, new in _spelled(scene.masked, scene.dialect)]


OPS: dict[str, Op] = {
    "em_dash": em_dash,
    "synonym_list": synonym_list,
    "passive": passive,
    "join_short": join_short,
    "split_long": split_long,
    "doubled_word": doubled_word,
    "doubled_sentence": doubled_sentence,
    "spelling": spelling,
}
RHYTHM = ("em_dash", "join_short", "split_long", "passive")
"""Operations on whole sentences: they wait until the words are settled."""
