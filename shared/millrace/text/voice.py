"""Sentences whose actor comes last, turned round. Pure, linear; where the grammar is not plain, nothing is done."""

from __future__ import annotations

import functools
import re

from millrace.text import inflect
from millrace.text.dates import MONTHS, WEEKDAYS
from millrace.text.edits import Edit
from millrace.text.ruledata import Rule, lexicon
from millrace.text.scene import Scene

_DETERMINED = (
    r"(?:the|a|an|this|that|these|those|our|my|your|his|her|its|their|all|each|every|both|some|many|most|several)"
)
_DETERMINERS = frozenset("the a an our my your his her its their two three several many some".split())
_LINKS = frozenset(
    "as in on at for with to from who than when while and or but that which into over under near last "
    "yesterday after before during today".split()
)
_NO_LINK = rf"(?!(?:{'|'.join(sorted(_LINKS))})\b)"
_PASSIVE = re.compile(
    rf"(?P<subject>(?:{_DETERMINED})(?: [a-z][\w-]*){{1,3}}|it|they|he|she|we|I|this|these|those)"
    r" (?P<aux>was|were) (?:(?P<adverb>recently|first|originally|later|quickly|carefully) )?(?P<verb>\w{2,15}) by "
    r"(?P<agent>(?:the|a|an|our|my|your|his|her|its|their|two|three|several|many|some) [a-z][\w-]*"
    rf"(?: {_NO_LINK}[a-z][\w-]*){{0,2}}"
    rf"|[A-Z][\w.-]*(?: {_NO_LINK}[A-Z][\w.-]*){{0,3}}"
    r"|him|her|them|us|me|you|it)(?P<tail>(?: (?:in|on|at|last"
    r"|yesterday|after|before|during) [\w ,-]{1,40})?)(?P<end>[.!])$",
    re.IGNORECASE,
)
_TO_OBJECT = {"he": "him", "she": "her", "they": "them", "we": "us", "i": "me"}
_TO_SUBJECT = {"him": "he", "her": "she", "them": "they", "us": "we", "me": "I", "you": "you", "it": "it"}
_PLACES = frozenset(
    "lake street road river park square bridge gate avenue station beach bay mount house airport gardens hill sea "
    "ocean canal lane creek cove".split()
)
_AT_A_PLACE = frozenset("found seen left parked kept held placed put shot met fed built buried killed hit".split())
"""What can be done "by Lake Erie" without the lake doing it."""


_WHEN = re.compile(
    r" (?:yesterday|last |before |after |during |(?:in|on|at) (?:(?:early|late|mid)[ -])?(?:\d|noon\b|night\b|dawn\b"
    r"|the (?:morning|evening|afternoon|night|spring|summer|autumn|winter|end)\b"
    rf"|(?:{'|'.join(sorted({*MONTHS, *WEEKDAYS}))})\b))",
    re.IGNORECASE,
)
"""What may stay at the end when the actor moves to the front; "in a hat" may be his."""


@functools.cache
def _actors() -> frozenset[str]:
    return frozenset(lexicon()["actors"]["nouns"].split())


def passive(scene: Scene, rule: Rule) -> list[Edit]:
    """The actor first: "It was written by our team" -> "Our team wrote it"."""
    if " by " not in scene.masked:
        return []
    edits = []
    for start, end in scene.spans:
        by = scene.low.find(" by ", start, end) if end - start < 160 else -1
        if by < 0 or (scene.low.find(" wa", start, end) < 0 and scene.low.find(" were ", start, end) < 0):
            continue  # "wa": of "was" too where its last letter is an old one
        match = _PASSIVE.fullmatch(scene.masked, start, end)
        active = _active(match) if match else ""
        if active:
            edits.append(Edit(start, end, active, rule.id))
    return edits


def passive_within(scene: Scene, rule: Rule) -> list[Edit]:
    """The same in what follows the last "that": "he knew that it was made by us" -> "he knew that we made it"."""
    edits = []
    for start, end in scene.spans:
        that = scene.masked.rfind(" that ", start, end)
        match = _PASSIVE.fullmatch(scene.masked, that + 6, end) if that > 0 and end - that < 160 else None
        active = _active(match) if match else ""
        if match and active:
            name = match["agent"][0].isupper() or active.startswith("I ")
            edits.append(Edit(that + 6, end, active if name else active[0].lower() + active[1:], rule.id))
    return edits


def _acts(agent: str, verb: str) -> bool:
    """A person or a body of persons, by name or by a noun that can mean nothing else: not the fire, not the dozen."""
    words = agent.split()
    if agent.lower() in _TO_SUBJECT:
        return True
    if words[0][0].isupper() and words[0].lower() not in _DETERMINERS:
        when = {*MONTHS, *WEEKDAYS, *_PLACES}
        return verb not in _AT_A_PLACE and not any(word.lower() in when for word in words)
    plain = _LINKS.isdisjoint(words)
    return plain and (words[-1] in _actors() or words[-1].removesuffix("s") in _actors())


def _active(match: re.Match[str]) -> str:
    group = {key: value or "" for key, value in match.groupdict().items()}
    verb, agent, subject = group["verb"].lower(), group["agent"], group["subject"]
    past = inflect.PARTICIPLE_TO_PAST.get(verb) or (verb if verb in inflect.SAME_PAST or verb.endswith("ed") else "")
    words = subject.split()
    if not past or verb in ("born", "supposed", "located", "based") or not _acts(agent, verb):
        return ""
    if (agent[0].isupper() and agent.lower() in _TO_SUBJECT) or "and" in words[1:]:
        return ""
    if group["tail"] and not _WHEN.match(group["tail"]) and not _PLACE.match(group["tail"]):
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


_PLACE = re.compile(rf" (?:in|at|from) (?!(?:{'|'.join(sorted({*MONTHS, *WEEKDAYS}))})\b)[A-Z][\w-]*(?: [A-Z][\w-]*)*$")
