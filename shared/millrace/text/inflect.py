"""English forms: a verb's and a noun's, and which article a word takes. Pure.

Source: the spelling rules of any school grammar (Strunk & White's appendix, Fowler 1926); exceptions are listed here.
"""

from __future__ import annotations

import re

VOWELS = "aeiou"
_IRREGULAR = {
    row.split()[0]: (row.split()[1], row.split()[2], row.split()[3])
    for row in """
    be is was being, have has had having, do does did doing, make makes made making, take takes took taking,
    give gives gave giving, get gets got getting, find finds found finding, tell tells told telling,
    think thinks thought thinking, know knows knew knowing, let lets let letting, keep keeps kept keeping,
    begin begins began beginning, go goes went going, meet meets met meeting, lead leads led leading,
    build builds built building, hold holds held holding, bring brings brought bringing, buy buys bought buying,
    come comes came coming, reach reaches reached reaching, set sets set setting, cut cuts cut cutting,
    put puts put putting, run runs ran running, deal deals dealt dealing, teach teaches taught teaching,
    say says said saying, spend spends spent spending, send sends sent sending, write writes wrote writing,
    show shows showed showing, grow grows grew growing, draw draws drew drawing, leave leaves left leaving,
    pay pays paid paying, see sees saw seeing, stand stands stood standing, win wins won winning,
    lie lies lay lying, speed speeds sped speeding, seek seeks sought seeking, drive drives drove driving,
    speak speaks spoke speaking, choose chooses chose choosing, mean means meant meaning,
    understand understands understood understanding, undergo undergoes underwent undergoing,
    undertake undertakes undertook undertaking, arise arises arose arising, rise rises rose rising,
    forget forgets forgot forgetting, shed sheds shed shedding, sell sells sold selling, fall falls fell falling,
    feel feels felt feeling, become becomes became becoming, overcome overcomes overcame overcoming,
    break breaks broke breaking, fight fights fought fighting, sit sits sat sitting, wear wears wore wearing,
    shine shines shone shining, lay lays laid laying, lose loses lost losing, rely relies relied relying
    """.split(",")
}
"""base: (third person, past, -ing)."""
_DOUBLING = frozenset(
    """stop plan cut drop ship map fit admit commit permit prefer refer occur submit transfer control equip begin chat
    flag tap step slip trim log plug spot swap tag wrap""".split()
)
PARTICIPLE_TO_PAST = {
    pair.split()[0]: pair.split()[1]
    for pair in """
    written wrote, taken took, given gave, seen saw, done did, driven drove, chosen chose, shown showed, grown grew,
    drawn drew, known knew, spoken spoke, broken broke, eaten ate, run ran, begun began, undertaken undertook,
    overseen oversaw, overcome overcame, stolen stole, thrown threw, worn wore, sung sang, hidden hid, bitten bit,
    beaten beat, forgotten forgot, frozen froze, flown flew, shaken shook, woven wove, torn tore
    """.split(",")
}
SAME_PAST = frozenset(
    """bought brought built caught cut dealt fed fought found heard held hit hurt kept led left let lost made met
    paid put read said sent set shot sold sought spent struck taught thought told understood won""".split()
)
"""Verbs whose past is their participle."""

_AN = re.compile(
    r"(?:hour|honest|honou?r|heir)|[aeio]|u(?!ni(?![nm])|s[aeiu]|til|biq|ran|kr|rol|r[aeiou]|pon\b)", re.IGNORECASE
)
_A = re.compile(r"(?:uni(?![nm])|us[aeiu]|util|ubiq|eur|ewe|one\b|once\b|one-|u[kt]|u\.?s)", re.IGNORECASE)
_SPELLED = frozenset("AEFHILMNORSX")
_LETTERED = frozenset("MRI ROI MBA NGO MOU FBI HIV SUV RSI LLM".split())


PAST_TO_PARTICIPLE = {past: participle for participle, past in PARTICIPLE_TO_PAST.items()}


def forms(verb: str) -> tuple[str, str, str, str, str]:
    """base, third person, past, -ing, participle of a verb or of a phrase that begins with one."""
    head, _, tail = verb.partition(" ")
    tail = f" {tail}" if tail else ""
    third, past, ing = _IRREGULAR.get(head) or _regular(head)
    participle = PAST_TO_PARTICIPLE.get(past, past)
    return head + tail, third + tail, past + tail, ing + tail, participle + tail


def _regular(verb: str) -> tuple[str, str, str]:
    doubled = verb + verb[-1] if verb in _DOUBLING else verb
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing"
    if verb.endswith("e"):
        ing = verb + "ing" if verb.endswith(("ee", "oe", "ye")) else verb[:-1] + "ing"
        return verb + "s", verb + "d", ing
    third = verb + "es" if verb.endswith(("s", "x", "z", "ch", "sh", "o")) else verb + "s"
    return third, doubled + "ed", doubled + "ing"


def plural(noun: str) -> str:
    """The regular plural; the head is the last word."""
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


def article(word: str) -> str:
    """Which of "a" and "an" stands before this word."""
    if word in _LETTERED or re.match(r"(?:8|11\b|18\b|x-)", word, re.IGNORECASE):
        return "an"
    if word.isupper() and 1 < len(word) <= 5 and not any(c in "AEIOU" for c in word[1:]):
        return "an" if word[0] in _SPELLED else "a"
    if _A.match(word):
        return "a"
    return "an" if _AN.match(word) else "a"
