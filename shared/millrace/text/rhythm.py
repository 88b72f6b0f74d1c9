"""How long sentences run and what holds their parts together: dashes, short pairs, long chains. Pure, linear."""

from __future__ import annotations

import itertools
import re

from millrace.text.blocks import MASK
from millrace.text.edits import Edit
from millrace.text.ruledata import Rule
from millrace.text.scene import Scene
from millrace.text.words import STOP, holds

PRONOUNS = "it|they|we|he|she|I|you|this|that|these|those|there"
FINITE = (
    r"(?:is|are|was|were|has|have|had|can|could|will|would|should|must|may|might|does|do|did|means|makes"
    r"|gives|lets|helps|"
    r"makes|takes|needs|wants|works|keeps|offers|provides|remains|becomes|allows|requires|shows|includes"
    r"|comes|goes|\w+['’]s|"
    r"isn't|aren't|wasn't|weren't|don't|doesn't|didn't|can't|won't)\b"
)

_BEFORE_DASH = r"[\w)\"”\ue000%.]"
_DASH = re.compile(rf"(?: (?<={_BEFORE_DASH} )(?:— ?|(?:–|--) )|—(?<={_BEFORE_DASH}—) ?)(?=[\w(\"“\ue000$*])")
"""Each branch begins with a character that `re` looks for; what stands before that is asked after it."""
_AFTER_COMMA = re.compile(
    r"(?:and|but|or|nor|so|yet|because|which|who|whose|not|while|though|although|including|especially"
    r"|particularly|even|with|"
    r"without|where|when|whether|as|if|to|from|for|in|on|at|by|rather|often|usually|sometimes|perhaps|all"
    r"|both|just|only|"
    r"whatever|than|such|like|a|an|no|\w+ing|\w+ed|\w+ly)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    rf"(?:(?:{PRONOUNS}|I)(?:['’](?:s|re|ve|ll|m)\b| (?:\w+ )?{FINITE})|(?:it|they|we|he|she|you|I) \w+"
    rf"|(?:the|this|these|our|their|its|your|my) (?:(?!that|which|who|of|in|to|for)[\w'-]+ ){{1,4}}{FINITE}|please "
    r"|(?:instead|however|otherwise|therefore|thus|moreover|then), )",
    re.IGNORECASE,
)
_MAY_BE_CLAUSE = re.compile(
    r"(?:the|this|these|our|their|its|your|my|his|her|some|many|most|no) [\w'-]+ \w+(?:s|ed)\b", re.IGNORECASE
)
"""What would be two sentences with a comma between them, or may be none: its dash stays."""
_COMMAND = re.compile(r"(?:don't|do not|stop|wait|look|remember|imagine)(?: \w+){0,3}$", re.IGNORECASE)
_POINTS_ON = re.compile(
    r"\b(?:thing|things|goal|reason|question|answer|problem|result|rule|word|choice|option|lesson|point)s?$"
)


def em_dash(scene: Scene, rule: Rule) -> list[Edit]:
    """A pair becomes commas or brackets, a single one the mark that the grammar asks for."""
    if "—" not in scene.masked and " – " not in scene.masked and not holds(scene.masked, " -- "):
        return []
    edits: list[Edit] = []
    for start, end in scene.spans:
        sentence = scene.masked[start:end]
        if "—" not in sentence and " – " not in sentence and not holds(sentence, " -- "):
            continue
        found = list(_DASH.finditer(scene.masked, start, end))
        if len(found) == 2:
            edits += _dash_pair(scene, rule, found[0], found[1])
        elif len(found) == 1:
            edits += _dash_single(scene, rule, found[0], start, end)
    return edits


def _dash_pair(scene: Scene, rule: Rule, one: re.Match[str], two: re.Match[str]) -> list[Edit]:
    aside = scene.masked[one.end() : two.start()]
    terms = "--" in one.group() and ":" in scene.masked[: one.start()]
    if terms or len(aside.split()) > 14 or re.search(r"[.;:()!?]", aside):
        return []
    left, right = (" (", ") ") if "," in aside else (", ", ", ")
    return [Edit(one.start(), one.end(), left, rule.id), Edit(two.start(), two.end(), right, rule.id)]


def _dash_single(scene: Scene, rule: Rule, dash: re.Match[str], start: int, end: int) -> list[Edit]:
    left, right = scene.masked[start : dash.start()], scene.masked[dash.end() : end]
    words = len(left.split())
    mark = _dash_mark(left, right, words)
    if mark == ", " and _MAY_BE_CLAUSE.match(right):
        return []
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
    return ": " if listed and words >= 3 and ":" not in left + right else ", "


_STARTS = frozenset({"i", "we", "you", "he", "she", "it", "they"})
_PRONOUNS = tuple(_STARTS)
_NO_JOIN = re.compile(
    r"[,;:()?!\"“”/]|\b(?:and|or|but|that|which|who|if|when|while|because|so|not|never|no|than|as|also|too)\b|n't",
    re.IGNORECASE,
)
_AUX = ("is", "are", "was", "were", "has", "have", "can", "could", "will", "would", "should", "must", "may", "might")
_BE_OR_HAVE = _AUX[:6]
_DETERMINERS = frozenset(
    "a an the my our your his her its their this these those some many two three four five".split()
)
_PREPOSITIONS = frozenset("in on at by from under over near behind with of for".split())
_PARTICIPLES = frozenset(
    "been born done gone made known left paid sold built held kept found sent seen written given taken shut cut".split()
)
_SHORT = {"'s": "is", "'re": "are", "'ve": "have", "'ll": "will"}
_SPREAD = re.compile(r"^(it|he|she|they|we|you|i)('s|'re|'ve|'ll)$", re.IGNORECASE)


def join_short(scene: Scene, rule: Rule) -> list[Edit]:
    """Two short plain sentences of one pronoun: "It is fast. It is cheap" -> "It is fast and cheap"."""
    return _joined(scene, rule, 60, 10)


def join_long(scene: Scene, rule: Rule) -> list[Edit]:
    """The same for longer ones: "We sell rope. We also ship it by sea" -> "We sell rope and ship it by sea"."""
    return _joined(scene, rule, 90, 14)


def _joined(scene: Scene, rule: Rule, size: int, words: int) -> list[Edit]:
    edits: list[Edit] = []
    used = -1
    low = scene.low
    for (s1, e1), (s2, e2) in itertools.pairwise(scene.spans):
        if e1 - s1 > size or e2 - s2 > size or not low.startswith(_PRONOUNS, s1) or not low.startswith(_PRONOUNS, s2):
            continue
        if s1 <= used or scene.masked[s1] != scene.masked[s2]:
            continue
        two = scene.masked[s2:e2]
        rest = _predicate(scene.masked[s1:e1], two.replace(" also ", " ", 1) if words > 10 else two, words)
        if rest:
            edits.append(Edit(e1 - 1, e2 - 1, f" and {rest}", rule.id))
            used = e2
    return edits


def _predicate(one: str, two: str, most: int) -> str:
    """What of the second sentence follows "and", "" when the two are no pair."""
    if MASK in one + two or not (one.endswith(".") and two.endswith(".")) or _NO_JOIN.search(one + two):
        return ""
    a, b = _spread(one[:-1].split()), _spread(two[:-1].split())
    if not (3 <= len(a) <= most and 3 <= len(b) <= most) or a[0] != b[0] or a[0] not in _STARTS:
        return ""
    if a[1] == b[1] and a[1] in _AUX:
        if a[1] in ("may", "might", "could") or a[:2] == ["you", "can"]:
            return ""  # two things that may be are not one
        like = a[1] not in _BE_OR_HAVE or (_kind(a[2:]) and _kind(a[2:]) == _kind(b[2:]))
        return " ".join(b[2:]) if like else ""
    return "" if a[1] in _AUX or b[1] in _AUX else " ".join(b[1:])


_SAME = re.compile(
    r"(?P<who>I|it|they|we|he|she|you)(?P<first>'(?:m|re|ve|s))? (?P<left>[^,;:()?!]{6,90})"
    r"(?P<cut>, and (?P<again>I|it|they|we|he|she|you)(?P<short>'(?:m|re|ve))?(?: also)?) [^,;:()?!]{6,}\.",
    re.IGNORECASE,
)
_BINDS = re.compile(
    r"\b(?:that|which|who|whom|what|if|when|while|because|so|as|than|unless|until|since|after|before|but|or|not|never"
    r"|and|can|could|will|would|should|must|may|might|do|does|did)\b|n't",
    re.IGNORECASE,
)


def same_subject(scene: Scene, rule: Rule) -> list[Edit]:
    """A pronoun that two halves share is said once: "It saves time, and it is dear" -> "It saves time and is dear"."""
    edits: list[Edit] = []
    if ", and " not in scene.masked:
        return edits
    for start, end in scene.spans:
        match = _SAME.fullmatch(scene.masked, start, end) if end - start < 240 else None
        if not match or match["who"].lower() != match["again"].lower() or _BINDS.search(match["left"]):
            continue
        if match["who"].lower() in ("i", "we", "you") or not _DETERMINERS & set(match["left"].lower().split()):
            # of another it or he the second half may speak of what was named in the first
            verb = {"'m": " am", "'re": " are", "'ve": " have"}.get((match["short"] or "").lower(), "")
            edits.append(Edit(match.start("cut"), match.end("cut"), f" and{verb}", rule.id))
    return edits


_SINGULAR = frozenset("is was has does".split())
"""None that goes with several as well: young people can."""
_PLURAL = frozenset("are were have".split())
_BE = frozenset("is was are were".split())
_ANOTHER = re.compile(
    r" (?:the|an?|his|her|its|their|our|my|your|some|many) | (?!(?:matters|is|was|has|does)\b)[a-z]+s\b"
)
"""A noun that a pronoun could stand for too."""
_NO_SUBJECT = frozenset(
    "some any all every each no many most few several two three four five six other another both either neither not "
    "only today here there now then often usually sometimes yesterday still even one "
    "nothing everything nobody everybody everyone".split()
)
"""What says of which ones or when; a pronoun would lose it."""


def said_again(scene: Scene, rule: Rule) -> list[Edit]:
    """A subject that begins two sentences in a row is a pronoun in the second; never where it could be a person."""
    edits: list[Edit] = []
    used = -1
    for (s1, e1), (s2, e2) in zip(scene.spans, scene.spans[1:], strict=False):
        if scene.masked[s1 : s1 + 3] != scene.masked[s2 : s2 + 3]:
            continue
        one, two = scene.masked[s1:e1].split(" ", 4)[:4], scene.masked[s2:e2].split(" ", 4)[:4]
        for n in (2, 3):
            if s1 > used and one[:n] == two[:n] and len(one) > n and len(two) > n:
                pronoun = _pronoun(two[:n], one[n], two[n])
                if pronoun and one[n] not in _BE and _ANOTHER.search(scene.masked, s1, e1):
                    break  # what the pronoun stands for would not be plain
                if pronoun:
                    edits.append(Edit(s2, s2 + len(" ".join(two[:n])), pronoun, rule.id, True))
                    used = s2
                    break
    return edits


def _pronoun(subject: list[str], one: str, two: str) -> str:
    """It or They for a subject of plain words before two verbs, "" where that is not certain."""
    first, head = subject[0].lower(), subject[-1]
    if first in STOP and first not in _DETERMINERS:
        return ""  # if it, when they
    if first in _NO_SUBJECT or not all(map(str.isalpha, subject)) or not all(map(str.islower, subject[1:])):
        return ""
    if head.endswith("s") and not head.endswith(("ss", "us", "is")):
        return "They" if two in _PLURAL and one.isalpha() else ""
    plain = first not in _DETERMINERS and first not in _STARTS and first not in _PREPOSITIONS
    return "It" if plain and two in _SINGULAR and one.isalpha() else ""


def _kind(words: list[str]) -> str:
    """What follows be or have: only like is joined to like, never "tall and my brother"."""
    first = words[0] if words else ""
    if first in _DETERMINERS:
        return "noun"
    if first in _PREPOSITIONS:
        return "place"
    if first.endswith(("ing", "ed")) or first in _PARTICIPLES:
        return first[-2:] if first.endswith("ed") else "ing" if first.endswith("ing") else "ed"
    plain = first.islower() and (len(words) <= 2 or words[1] in ("to", "for", "of", "with", "about"))
    return "adjective" if plain else ""


def _spread(words: list[str]) -> list[str]:
    """Pronoun and verb apart and in lower case: "It's late" -> it, is, late."""
    short = _SPREAD.match(words[0]) if words else None
    if short and (verb := _SHORT.get(short.group(2).lower())):
        return [short.group(1).lower(), verb, *words[1:]]
    return [words[0].lower(), *words[1:]] if words else []


LONG = 32
LONGER = 18
"""Words: above them an ordinary edit cuts, and a strong one."""
_SPLIT_AT = re.compile(
    rf"(?:(?P<semi>; )(?:and |but )?|, (?P<joint>and|but|although|though) )(?=(?:that {FINITE}"
    rf"|(?:they|we|he|she|I|it|this|these|there)(?:'(?:s|re|m|ve|ll))? (?:\w+ly )?(?!and\b|or\b)\w|"
    rf"(?:the|this|these|our|their|its|your|my) [a-z]\w*(?: [a-z]\w*)? {FINITE}))",
)
_CLAUSE_BEFORE = re.compile(rf", (?:the|a|an|{PRONOUNS}) (?:[\w'-]+ ){{0,3}}{FINITE}[^,]*$", re.IGNORECASE)
_OPEN_CLAUSE = re.compile(
    r"(?:if|when|while|because|although|though|since|as|after|before|whether|unless|once|until|where)\b", re.IGNORECASE
)
_HAS_VERB = re.compile(rf"\b(?:{PRONOUNS}) \w+|\b{FINITE}|\b\w+(?:ed|es)\b", re.IGNORECASE)


def split_long(scene: Scene, rule: Rule) -> list[Edit]:
    """A sentence of more than LONG words is cut where two main clauses meet, nearest to its middle."""
    return _split(scene, rule, LONG, 8)


def split_longer(scene: Scene, rule: Rule) -> list[Edit]:
    """The same from LONGER words on."""
    return _split(scene, rule, LONGER, 6)


def _split(scene: Scene, rule: Rule, longest: int, side: int) -> list[Edit]:
    edits: list[Edit] = []
    for start, end in scene.spans:
        if end - start < 4 * longest or scene.masked.count(" ", start, end) < longest:
            continue
        sentence = scene.masked[start:end]
        if not sentence.endswith(".") or _OPEN_CLAUSE.match(sentence):
            continue
        found = [m for m in _SPLIT_AT.finditer(sentence) if _both_stand(sentence, m, side) and not _says(sentence, m)]
        if found:
            best = min(found, key=lambda m: abs(m.start() - len(sentence) // 2))
            edits.append(_cut(scene, rule, start, best))
    return edits


def _says(sentence: str, match: re.Match[str]) -> bool:
    """The second half begins with the pronoun of the first: cut, they would be two sentences with one start."""
    first = re.split(r"\W", sentence, maxsplit=1)[0].lower()
    return first in _STARTS and re.match(rf"{first}\b", sentence[match.end() :], re.IGNORECASE) is not None


def _both_stand(sentence: str, match: re.Match[str], side: int) -> bool:
    left, right = sentence[: match.start()], sentence[match.end() :]
    if min(len(left.split()), len(right.split())) < side or not _HAS_VERB.search(left):
        return False
    last = left.rsplit(",", 1)
    if match.group("joint") and len(last) == 2 and len(last[1].split()) < 5:
        return False  # the end of a list
    if _CLAUSE_BEFORE.search(left) or ("though" in match.group() and "," in right):
        return False  # one of three clauses in a row; a clause put into another
    tail = left[-60:]
    return not re.search(
        r"\b(?:that|whether|if|when|because|which|who|believe|says?|said)\b[^,;]*$", tail
    ) and left.count("(") == left.count(")")


def _cut(scene: Scene, rule: Rule, start: int, match: re.Match[str]) -> Edit:
    at = start + match.end()
    but = match.group("joint") not in (None, "and") or "but" in match.group()
    following = scene.block[at]
    new = ". But " + following if but else ". " + following.upper()
    return Edit(start + match.start(), at + 1, new, rule.id)
