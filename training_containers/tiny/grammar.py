"""Sentences made from word lists, and the small edits that millrace-tiny practises. Pure: a Random in, texts out.

An example is a cue, a source and a target. Without a cue the target is the source: asked plainly, the base copies.
With one it makes just the edits that the cue names, in whatever words the cue names them.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path
from random import Random

WORDS = Path(__file__).with_name("words.txt")


def lists(path: Path = WORDS) -> dict[str, list[str]]:
    """The word lists by name; '_' inside a word stands for a space."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    named = (line.split(": ", 1) for line in lines)
    return {name: [word.replace("_", " ") for word in words.split()] for name, words in named}


_L = lists()
_DETERMINERS = "the the a this that our their his her my your each every no another".split()
_PREPOSITIONS = "with for from near behind under without after before about by through".split()
_LINKS = (", and", ", but", " because", " so that", ";", ", which means", " while", " -", ":")
_VERBS = [verb.split("/") for verb in _L["verbs"]]
_CONTRACTIONS = [pair.split("/") for pair in _L["contractions"]]
_SWAPS = [pair.split("/") for pair in _L["swaps"]]
_SYLLABLES = [c + v for c in "b br c ch d f g gr h j k l m n p pl r s sh st t tr v w z".split() for v in "aeiou"]
_LOWER = _L["nouns"] + _L["adjectives"] + _L["adverbs"] + _L["common"] + [verb for forms in _VERBS for verb in forms]


@dataclass(frozen=True)
class Example:
    cue: str
    source: str
    target: str


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def coined(r: Random) -> str:
    """A word that no list holds."""
    if r.random() < 0.3:
        return r.choice(_LOWER) + r.choice(_L["parts"])
    return "".join(r.choices(_SYLLABLES, k=r.randint(1, 4))) + r.choice(["", "n", "r", "x", "ng", "st", ""])


def number(r: Random) -> str:
    kinds = (
        lambda: str(r.randint(2, 99)),
        lambda: str(r.randint(100, 9999)),
        lambda: f"{r.randint(1, 999)},{r.randint(0, 999):03d}",
        lambda: f"{r.randint(0, 99)}.{r.randint(0, 99)}",
        lambda: f"{r.choice('$€£')}{r.randint(1, 999)}.{r.randint(0, 99):02d}",
        lambda: f"{r.randint(1, 100)}%",
        lambda: f"{r.randint(0, 23)}:{r.randint(0, 59):02d}",
    )
    return r.choice(kinds)()


def date(r: Random) -> str:
    day, month, year = r.randint(1, 28), r.choice(_L["months"]), r.randint(1950, 2035)
    return r.choice([f"{day} {month} {year}", f"{month} {day}", f"{year}-{r.randint(1, 12):02d}-{day:02d}", str(year)])


def code(r: Random) -> str:
    letters = "".join(r.choices(string.ascii_letters + string.digits, k=r.randint(2, 8)))
    kinds = [
        letters,
        f"{letters.upper()}-{r.randint(1, 999)}",
        f"{coined(r)}@{coined(r)}.com",
        f"https://{coined(r)}.org/{coined(r)}",
        f"`{coined(r)}_{coined(r)}`",
        f"#{r.randint(1, 9999)}",
    ]
    return r.choice(kinds)


def person(r: Random) -> str:
    first, last = r.choice(_L["first"]), r.choice(_L["last"])
    if r.random() < 0.2:
        last = coined(r).capitalize()
    return r.choice([first, f"{first} {last}", f"{first} {last}", f"{r.choice(['Dr', 'Mr', 'Ms', 'Mrs'])} {last}"])


def noun(r: Random) -> str:
    bare = r.choice(_L["nouns"]) if r.random() < 0.85 else coined(r)
    return f"{r.choice(_L['adjectives'])} {bare}" if r.random() < 0.45 else bare


def thing(r: Random) -> str:
    draw = r.random()
    if draw < 0.62:
        return f"{r.choice(_DETERMINERS)} {noun(r)}"
    if draw < 0.8:
        amount = number(r)
        return f"{amount} {r.choice(_L['units']) if r.random() < 0.4 else r.choice(_L['nouns']) + 's'}"
    return person(r) if draw < 0.9 else f"the {r.choice(_L['nouns'])} {code(r)}"


def tail(r: Random) -> str:
    kinds = (
        lambda: f"in {r.choice(_L['places'])}",
        lambda: f"on {r.choice(_L['days'])}",
        lambda: f"on {date(r)}",
        lambda: f"at {number(r)}",
        lambda: f"{r.choice(_PREPOSITIONS)} {thing(r)}",
        lambda: r.choice(_L["adverbs"]),
        lambda: f"({r.choice(_LOWER)} {number(r)})",
        lambda: f'"{r.choice(_LOWER)} {r.choice(_LOWER)}"',
    )
    return r.choice(kinds)()


def clause(r: Random) -> str:
    """A statement without capital and full stop."""
    draw, verb = r.random(), r.choice(_VERBS)
    if draw < 0.25:
        long = r.choice(_CONTRACTIONS)[0]
        if long.split()[0] in ("I", "it", "they", "we", "you", "he", "she", "that", "there"):
            core = f"{long} {r.choice(_L['adverbs'])} {r.choice(_L['adjectives'])}"
        else:
            core = f"{thing(r)} {long} {verb[0]} {thing(r)}"
    elif draw < 0.4:
        core = f"{thing(r)} {r.choice(['is', 'was', 'are', 'were', 'seems', 'became'])} {r.choice(_L['adjectives'])}"
    elif draw < 0.5:
        core = " ".join(r.choices(_LOWER, k=r.randint(3, 9)))
    else:
        subject = thing(r)
        said = r.choice([verb[1], verb[2], verb[2], "will " + verb[0], "can " + verb[0], "may " + verb[0]])
        core = f"{subject} {said} {thing(r)}"
    return " ".join([core, *(tail(r) for _ in range(r.choice([0, 1, 1, 2])))])


def body(r: Random) -> str:
    """One or two clauses."""
    if r.random() < 0.25:
        return f"{clause(r)}{r.choice(_LINKS)} {clause(r)}"
    return clause(r)


def lead(r: Random) -> str:
    """What stands before the statement, with its comma where it has one."""
    draw = r.random()
    if draw < 0.45:
        return r.choice(_L["openers"]) + ","
    if draw < 0.7:
        return r.choice(_L["leadins"])
    words = " ".join(r.choices(_LOWER, k=r.randint(1, 5)))
    return capitalised(words) + r.choice([",", ",", " that", ":"])


def plain(r: Random) -> str:
    """One sentence to be copied."""
    text = body(r)
    text = f"{lead(r)} {text}" if r.random() < 0.4 else capitalised(text) if r.random() < 0.85 else text
    return text + r.choice([".", ".", ".", ".", "!", "?", ""])


_CUT = ["drop", "remove", "cut", "skip", "leave out", "delete", "trim", "omit", "lose", "no"]
_OPENING = ["the opener", "the opening", "the first phrase", "the lead-in", "the start", "what comes first",
            "the intro", "the filler", "the preamble", "opening words"]  # fmt: skip
_CONTRACT = ["contract", "use contractions", "short forms", "write it as spoken", "say don't, not do not",
             "join verbs", "informal", "casual", "relaxed tone"]  # fmt: skip
_EXPAND = ["expand", "no contractions", "long forms", "write it out", "formal", "spell out short forms"]
_SWAP = ["other words", "swap words", "plain words", "change the wording", "synonyms", "simpler words"]
_LOWERED = ["lower case first", "begin small", "small first letter", "no capital"]
_COPY = ["copy", "repeat", "say it again", "as it is", "change nothing", "echo", "the same", "keep it", "verbatim"]
_JOINS = ["; ", ", ", " and ", " + ", ". ", " / "]
_NAMES = "alpha beta gamma delta kilo lima mike nova oscar papa romeo sierra tango victor zulu".split()
_MODES = [f"{kind} {name}" for kind in ("mode", "style", "voice", "setting") for name in _NAMES]
_OPS = ("drop", "contract", "swap", "lower")


def _mode(mode: str) -> frozenset[str]:
    """The edits that a nonsense cue stands for: arbitrary, and always the same."""
    r = Random(mode)
    return frozenset(r.sample(_OPS[:3], k=r.randint(1, 3)))


_BY_OPS: dict[frozenset[str], list[str]] = {}
for _name in _MODES:
    _BY_OPS.setdefault(_mode(_name), []).append(_name)


def _cue(ops: frozenset[str], r: Random) -> str:
    fitting = _BY_OPS.get(ops, [])
    if fitting and r.random() < 0.3:
        return r.choice(fitting)
    said = {
        "drop": lambda: f"{r.choice(_CUT)} {r.choice(_OPENING)}",
        "contract": lambda: r.choice(_CONTRACT),
        "expand": lambda: r.choice(_EXPAND),
        "swap": lambda: r.choice(_SWAP),
        "lower": lambda: r.choice(_LOWERED),
    }
    phrases = [said[op]() for op in sorted(ops)]
    r.shuffle(phrases)
    return capitalised(r.choice(_JOINS).join(phrases)) + r.choice(["", ".", ":"])


def _slots(r: Random) -> tuple[str, str, str, str, str]:
    """A statement with a place for a contraction and one for a swap: (template, long, short, before, after)."""
    (long, short), (before, after) = r.choice(_CONTRACTIONS), r.choice(_SWAPS)
    verb = r.choice(_VERBS)[0]
    frames = [f"{thing(r)} <C> {verb} {thing(r)} <S> {tail(r)}", f"<C> {verb} <S> {thing(r)} {tail(r)}",
              f"{clause(r)} and <C> {r.choice(_LOWER)} <S>", f"the <S> {noun(r)} <C> {verb} {thing(r)} {tail(r)}",
              f"{thing(r)} {verb} the <S> {noun(r)}, and <C> {r.choice(_LOWER)} {tail(r)}",
              f"{thing(r)} <S> {thing(r)} {tail(r)}", f"{thing(r)} <C> {verb} {thing(r)} {tail(r)}"]  # fmt: skip
    return r.choice(frames), long, short, before, after


def edited(r: Random) -> Example:
    """A sentence that has room for every edit; the cue says which of them are made."""
    ops = frozenset(r.sample(_OPS, k=r.choice([1, 1, 2, 2, 3])))
    if "contract" in ops and r.random() < 0.3:
        ops = (ops - {"contract"}) | {"expand"}
    template, long, short, before, after = _slots(r)
    opening = lead(r) if r.random() < 0.85 else ""
    told, tell = (short, long) if "expand" in ops else (long, short)
    source = template.replace("<C>", told).replace("<S>", before)
    made = "contract" in ops or "expand" in ops
    target = template.replace("<C>", tell if made else told).replace("<S>", after if "swap" in ops else before)
    mark = r.choice([".", ".", ".", "!", "?", ""])
    kept = "" if "drop" in ops else opening
    return Example(_cue(ops, r), _sentence(opening, source) + mark, _start(_sentence(kept, target), ops) + mark)


def _sentence(opening: str, text: str) -> str:
    return f"{opening} {text}" if opening else capitalised(text)


def _start(text: str, ops: frozenset[str]) -> str:
    return text[:1].lower() + text[1:] if "lower" in ops else text


def named_edit(r: Random) -> Example:
    """An edit whose words stand in the cue: drop a word, put one for another, begin with something."""
    text = plain(r)
    words = text.split(" ")
    index = r.randrange(len(words))
    kind = r.choice(["word", "swap", "swap", "count", "begin", "recase"])
    if kind == "word":
        return Example(f'Drop "{words[index]}"', text, " ".join(w for w in words if w != words[index]) or text)
    if kind == "swap":
        new = r.choice(_LOWER) if r.random() < 0.8 else coined(r)
        cue = r.choice([f"{words[index]} -> {new}", f'Use "{new}" for "{words[index]}"', f"{new}, not {words[index]}"])
        return Example(cue, text, " ".join(new if w == words[index] else w for w in words))
    if kind == "count":
        count = min(r.randint(1, 4), len(words) - 1)
        return Example(f"{r.choice(_CUT)} the first {count}", text, capitalised(" ".join(words[count:])) or text)
    if kind == "begin":
        opening = lead(r)
        return Example(f"Begin with: {opening}", text, f"{opening} {text[:1].lower()}{text[1:]}")
    return Example(r.choice(["Capital first", "Title case"]), text.lower(), capitalised(text.lower()))


def example(r: Random) -> Example:
    """One example: two in five are to be copied, most of the others are to be edited as cued."""
    draw = r.random()
    if draw < 0.36:
        text = " ".join(plain(r) for _ in range(r.choice([1, 1, 1, 1, 1, 2, 3])))
        return Example("" if r.random() < 0.85 else r.choice(_COPY), text, text)
    if draw < 0.42:
        # The very sentences that a cue would edit: without a cue they are copied.
        text = edited(r).source
        return Example("", text, text)
    return edited(r) if draw < 0.86 else named_edit(r)
