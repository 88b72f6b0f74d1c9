"""Word lists that several measures share, and a text cut into words.

The lists: what carries no content, what begins sentences, what is a common given name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

STOP = frozenset(
    """a about above after again against all also although always am among an and another any are as at away be because
    been before being below between both but by can could did do does doing done down during each either else enough
    especially etc even ever every few for from further get gets getting give given go goes going got had has have
    having he hence her here hers herself him himself his how however i if in indeed instead into is it its itself just
    keep less let lets like make makes making many may maybe me might mine more moreover most much must my myself near
    neither nor no not now of off often on once one only onto or other others otherwise our ours ourselves out over own
    perhaps please quite rather really regarding same shall she should simply since so some something soon still such
    take than that the their theirs them themselves then there therefore these they thing things this those though
    through thus to together too toward towards under unless until up upon us use used uses using very via was we well
    were what whatever when whenever where whereas wherever whether which while who whoever whom whose why will with
    within without would yet you your yours yourself yourselves""".split()
)
"""Function words: they carry no content and are never a name at the start of a sentence."""

GIVEN_NAMES = frozenset(
    """aaron abigail adam adrian ahmed aisha alan albert alex alexander alexandra alfred ali alice alicia alison amanda
    amelia amir amy ana andre andrea andrew angela anita anna anne annie anthony antonio arthur ashley barbara
    beatrice benjamin bernard beth betty bob bobby bradley brandon brenda brian bruce bryan caleb cameron carl carla
    carlos carmen carol caroline catherine cecilia charles charlie charlotte chen cheryl chloe chris christian christina
    christine christopher claire clara colin connor craig cynthia daisy dan daniel daniela danielle danny david
    deborah dennis derek diana diane diego dmitri donald donna dorothy douglas dylan edith edward elena eleanor eli
    elijah elizabeth ella ellen emily emma eric erica erik ethan eva evan evelyn fatima felix fernando fiona florence
    frances francesca francis francisco frank fred frederick gabriel gareth gary george gerald giovanni gloria
    gordon graham greg gregory hannah harold harry hassan heather hector helen henry hiroshi howard hugh hugo ian
    ibrahim
    ingrid irene isaac isabel isabella ivan jack jackson jacob jacqueline jake james jamie jan jane janet janice jason
    javier jean jeff jeffrey jennifer jeremy jerry jessica jesus jill jim jimmy joan joanna joe joel johan john johnny
    jonathan jordan jorge jose joseph joshua juan judith judy julia julian julie karen karl kate katherine kathleen
    kathryn
    katie keith kelly ken kenji kenneth kevin kim kimberly kumar kyle larry laura lauren lawrence leah lee leo leonard
    leslie liam lily linda lisa logan louis louise lucas lucia lucy luis luke madison manuel marco marcus margaret maria
    marie marina mario mark marta martha martin mary mateo matthew maya megan mei melissa mia michael michelle
    miguel mike mohammed molly monica nancy naomi natalie natasha nathan neil nicholas nicole nigel nina noah nora
    norman
    olga oliver olivia omar oscar owen pablo pamela patricia patrick paul paula pedro peter philip phillip phoebe
    priya rachel rafael raj ralph ramesh raymond rebecca ricardo richard rita robert roberto robin rodney roger ronald
    rosa rosie roy russell ruth ryan sally sam samantha samuel sandra sanjay santiago sara sarah scott sean sebastian
    sergei
    sharon shirley simon sofia sonia sophia sophie stanley stella stephanie stephen steve steven stuart susan suzanne
    sven sylvia takashi tanya tara ted teresa terry theodore theresa thomas tim timothy tina todd tom tony tracy tyler
    valerie vanessa vera veronica vincent virginia vladimir walter wei wendy william xavier yasmin yuki yusuf zachary
    zoe
    africa america argentina asia australia austria belgium berlin boston brazil britain california canada chicago chile
    china colombia denmark egypt england europe finland france germany greece india indonesia iran iraq ireland israel
    italy japan kenya korea london madrid mexico moscow netherlands nigeria norway pakistan paris peru poland portugal
    rome russia scotland seattle singapore spain stockholm sweden switzerland sydney texas tokyo toronto turkey ukraine
    vietnam wales washington zealand amazon apple google microsoft facebook netflix tesla toyota samsung ibm intel
    nvidia
    oracle sony nokia siemens""".split()
)
"""Common given names, countries, cities and companies: a capital at the start of a sentence is a "
"name when it is one of these."""

SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str, instead: str) -> str:
    """The text with `instead` for each half of a pair, which cannot be encoded; nearly always the text itself."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub(instead, text)
    return text


WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_APART = bytes(n if n < 128 and (chr(n).isalpha() or chr(n) == "'") else 32 for n in range(256))
"""ASCII letters and apostrophes, a space for the rest."""

_SUFFIXES = (
    "isations izations isation ization ational fulness ousness iveness ations ation ingly edly ments ment ness ities "
    "ity ions ion ings ing ies ied ers er est es ed ly s e y"
).split()


@functools.lru_cache(maxsize=8_192)
def stem(word: str) -> str:
    """A light stem, enough to see that "decided" and "decision", "utilization" and "utilize" may be one."""
    word = word.lower().replace("’", "'").removesuffix("'s").removesuffix("'")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: len(word) - len(suffix)].rstrip("e")
    return word


def word_list(text: str) -> list[str]:
    """What `WORD.findall` finds; bytes are cut in a third of the time, where all letters are ASCII."""
    beyond = beyond_ascii(text)
    if "’" in beyond or any(map(str.isalnum, beyond)):
        return WORD.findall(text)
    words = text.encode("ascii", "replace").translate(_APART).decode()
    if "'" in words and ("''" in words or " '" in f" {words}" or "' " in f"{words} "):
        return WORD.findall(text)
    return words.split()


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry content, in order."""
    return [stem(w) for w in word_list(text) if w.lower() not in STOP]


_ASCII = bytes(range(128))


def beyond_ascii(text: str) -> str:
    """What of a text is not ASCII, in order; far faster than to look at each character."""
    if text.isascii():
        return ""
    return text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")


_RAREST = {"```": "`", "~~~": "~", "{{RED:": "{", "://": "/", "](": "]", "\\cite": "\\", "![": "[", " -- ": "-"}


def holds(text: str, sign: str) -> bool:
    """`sign in text`, asked first of its rarest character, which is answered thirty times as fast."""
    return _RAREST.get(sign, sign) in text and sign in text


def places_of(marks: str, text: str) -> list[int]:
    """Where any of the marks stands, ascending."""
    found: list[int] = []
    for mark in marks:
        at = text.find(mark)
        while at >= 0:
            found.append(at)
            at = text.find(mark, at + 1)
    return sorted(found)


def find_at(starts: list[int], pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """`pattern.finditer(text)` for what begins at one of these places, which ascend."""
    at = 0
    for start in starts:
        if start >= at and (match := pattern.match(text, start)):
            yield match
            at = match.end()


def sub_at(starts: list[int], pattern: re.Pattern[str], make: Callable[[re.Match[str]], str], text: str) -> str:
    """`pattern.sub(make, text)` for what begins at one of these places, which ascend."""
    out: list[str] = []
    at = 0
    for match in find_at(starts, pattern, text):
        out += [text[at : match.start()], make(match)]
        at = match.end()
    return "".join(out) + text[at:] if out else text


_MARKS = "’‘“”—–…•\xa0€£°"


def unmarked(text: str) -> str:
    """A space for each typographic mark, which often is all that keeps a text from being ASCII; none is in a word."""
    if not text.isascii():
        for mark in _MARKS:
            text = text.replace(mark, " ")
    return text


_PARTS = re.compile(r"[^\W_]+")
_ALONE = bytes(n if n < 128 and chr(n).isalnum() else 32 for n in range(256)).lower()
"""ASCII letters and digits in lower case, a space for the rest."""
_STAND_INS = "\x01\x02\x03\x04\x05\x06\x07\x08"
"""Stand for the letters beyond ASCII while a text is cut into words, which is fast in ASCII only."""
_BETWEEN = bytes(
    n if chr(n).isascii() and (chr(n).isalnum() or chr(n) in _STAND_INS) else 32 for n in range(256)
).lower()
"""ASCII in lower case with a space for whatever is in no word; bytes are translated far faster than characters."""

_SPACED = bytes(ord(" ") if n < 128 and chr(n).isspace() else ord("x") for n in range(256))
"""A space for ASCII white space, else a letter."""


def words_of(text: str, beyond: str | None = None) -> frozenset[str]:
    """Every run of letters and digits, casefolded. `beyond`: what of the text is not ASCII, where that is known."""
    beyond = beyond_ascii(text) if beyond is None else beyond
    odd = {char: char.casefold() for char in set(beyond)} if beyond else {}
    letters = {char: low for char, low in odd.items() if any(map(str.isalnum, low))}
    if not letters:
        return frozenset(text.encode("ascii", "replace").translate(_ALONE).decode().split())
    plain = len(letters) <= len(_STAND_INS) and all(map(str.isalnum, letters.values()))
    if not plain or any(map(text.__contains__, _STAND_INS)):
        return _words_beyond_ascii(text)
    for char, stand_in in zip(letters, _STAND_INS, strict=False):
        text = text.replace(char, stand_in)
    text = text.encode("ascii", "replace").translate(_BETWEEN).decode()  # no letter is left that is not ASCII
    for low, stand_in in zip(letters.values(), _STAND_INS, strict=False):
        text = text.replace(stand_in, low)
    return frozenset(text.split())


def count_words(text: str, beyond: str | None = None) -> int:
    """How many pieces `text.split()` has."""
    if any(map(str.isspace, beyond_ascii(text) if beyond is None else beyond)):
        return len(text.split())
    return (b" " + text.encode("utf-8", "surrogatepass").translate(_SPACED)).count(b" x")


def more_words(text: str, than: int) -> bool:
    """Whether there are; the most that a short text can have need not be counted."""
    return len(text) > 2 * than and count_words(text) > than


def _words_beyond_ascii(text: str) -> frozenset[str]:
    pieces = set(unmarked(text).casefold().split())
    mixed = {piece for piece in pieces if not piece.isalnum()}
    return frozenset(pieces - mixed).union(_PARTS.findall(" ".join(mixed)))
