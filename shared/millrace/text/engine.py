"""The rules at work on one block: one search for every phrase at once, edits, mending, again until nothing changes.
Pure.

Source of the search: Aho and Corasick 1975, by `ahocorasick_rs`; every phrase and every pattern's trigger is found in
one pass, overlapping ones too, and the leftmost longest that holds wins.
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import ahocorasick_rs

from millrace.text import inflect
from millrace.text.blocks import MASK, Block, mask
from millrace.text.edits import Edit, apply, settle
from millrace.text.ops import OPS, RHYTHM, SIGNS, WIDER
from millrace.text.ruledata import VERBAL_BEFORE, Rule, lexicon, rules
from millrace.text.scene import Place, Scene, holding, look, looks, lowered, shared

PASSES = 12
"""At most; a text settles in two to five. What has not settled then stays as the last pass left it."""

_TEMPLATE = re.compile(r"\{(\d)(?::(\w+))?\}")
_LAST_WORD = re.compile(r"([A-Za-z]+(?:'[a-z]+)?)[ ]$")
_FIRST_WORD = re.compile(r"[ ,]*([A-Za-z]+(?:'[a-z]+)?)")
_PARTED = re.compile(r"[^a-z' -]")
_NEXT_WORDS = re.compile(r"(?: ?[a-z'-]+){1,5}")

_BOUND = "-'_" + MASK
"""What goes on with a word as a letter does."""

Change = tuple[str, str, str]
Made = tuple[str, list[Change]]


@dataclass(frozen=True)
class Kit:
    """The rules of one strength and tone, ready to search."""

    search: ahocorasick_rs.AhoCorasick
    entries: tuple[tuple[tuple[Rule, tuple[str, ...]], ...], ...]
    ops: tuple[Rule, ...]
    rhythm: tuple[Rule, ...]


@functools.cache
def kit(strength: str, tone: str) -> Kit:
    return make_kit(tuple(r for r in rules() if r.applies(strength, tone)))


def make_kit(chosen: tuple[Rule, ...]) -> Kit:
    table: dict[str, list[tuple[Rule, tuple[str, ...]]]] = {}
    for rule in chosen:
        for phrase, new in rule.phrases:
            table.setdefault(phrase.lower(), []).append((rule, new))
        for trigger in rule.triggers:
            table.setdefault(trigger.lower(), []).append((rule, ()))
    search = ahocorasick_rs.AhoCorasick(list(table) or ["\ue001"], store_patterns=False)
    ops = {r.op for r in chosen}
    acting = [r for r in chosen if r.op and WIDER.get(r.op) not in ops]
    return Kit(
        search,
        tuple(tuple(v) for v in table.values()),
        tuple(r for r in acting if r.op not in RHYTHM),
        tuple(r for r in acting if r.op in RHYTHM),
    )


def rewrite_block(block: Block, kit: Kit, seed: int, dialect: str = "") -> Made:
    """The block's text after the rules, and each change in the order in which it was made."""
    return rewrite_blocks([block], kit, seed, dialect)[0]


def rewrite_blocks(blocks: list[Block], kit: Kit, seed: int, dialect: str = "") -> list[Made]:
    """Each block by itself, though all go through a step before the next begins: a step stays in the cache."""
    made: list[Made] = [(block.text, []) for block in blocks]
    left = list(range(len(blocks)))
    for _ in range(PASSES):
        if not left:
            break
        scenes, low = looks([made[n][0] for n in left], [blocks[n] for n in left], dialect)
        found = _edits(scenes, low, kit, seed)
        for n, scene, edits in zip(left, scenes, found, strict=True):
            if edits:
                made[n] = (_edited(scene, edits), made[n][1] + _changes(scene, edits))
        left = [n for n, edits in zip(left, found, strict=True) if edits]
    return made


def _edits(scenes: list[Scene], text: str, kit: Kit, seed: int) -> list[list[Edit]]:
    """The edits of each scene; those of whole sentences only where the words are settled. `text`: of all together."""
    places = shared(scenes, candidates(text, kit))
    found = [_phrase_edits(*one, kit, seed) if one[1] else [] for one in zip(scenes, places, strict=True)]
    for rule in kit.ops:
        signs = SIGNS.get(rule.op)
        held = holding(scenes, signs(text, scenes[0].dialect)) if signs else range(len(scenes))
        _operate(rule, held, scenes, found)
    quiet = [n for n, edits in enumerate(found) if not edits]
    for rule in kit.rhythm:
        _operate(rule, quiet, scenes, found)
    return [_disjoint(edits) for edits in found]


def _operate(rule: Rule, held: Sequence[int], scenes: list[Scene], found: list[list[Edit]]) -> None:
    op = OPS[rule.op]
    for n in held:
        if made := op(scenes[n], rule):
            found[n] += made


def _edited(scene: Scene, edits: list[Edit]) -> str:
    return apply(scene.block, scene.masked, [edit if edit.new else settle(edit, scene.block) for edit in edits])


def _changes(scene: Scene, edits: list[Edit]) -> list[Change]:
    block = scene.block
    return [
        (edit.rule, block[edit.start : edit.end], edit.new[:1].upper() + edit.new[1:] if edit.opens else edit.new)
        for edit in edits
    ]


def _disjoint(edits: list[Edit]) -> list[Edit]:
    """Sorted, the first of two that overlap or touch; the other waits for the next pass and sees settled text."""
    if len(edits) < 2:
        return edits
    kept: list[Edit] = []
    end = -1
    for edit in sorted(edits, key=attrgetter("start")):
        if edit.start > end:
            kept.append(edit)
            end = edit.end + 1
    return kept


def candidates(low: str, kit: Kit) -> list[Place]:
    """(start, -end, entry) of every phrase that stands on word borders, leftmost longest first."""
    found = []
    size = len(low)
    for n, start, end in kit.search.find_matches_as_indexes(low, overlapping=True):
        if start:
            before = low[start - 1]
            if before != " " and (before.isalnum() or before in _BOUND) and low[start].isalnum():
                continue
        if end < size:
            after = low[end]
            if after != " " and (after.isalnum() or after in _BOUND) and low[end - 1].isalnum():
                continue
        found.append((start, -end, n))
    found.sort()
    return found


def phrase_edits(block: Block, kit: Kit, seed: int) -> list[Edit]:
    """Those of the block's phrases alone; it is cut into sentences only where one stands."""
    masked = mask(block.text, block.lead)
    low = lowered(masked)
    places = candidates(low, kit)
    return _phrase_edits(look(block.text, block, masked, low), places, kit, seed) if places else []


def _phrase_edits(scene: Scene, places: list[Place], kit: Kit, seed: int) -> list[Edit]:
    """Leftmost longest first; a contraction gives way to what overlaps it: "it is in need of" needs, not "it's in".

    `places` as they are in the text of all scenes together.
    """
    starts = dict(scene.spans)
    base = scene.at
    seen: dict[str, int] = {}
    edits: list[Edit] = []
    at = 0
    for place, minus_end, n in places:
        start = place - base
        if start < at:
            continue
        for rule, new in kit.entries[n]:
            edit = _try(scene, rule, new, start, -minus_end - base, starts, seen, seed)
            if edit:
                if edits and edits[-1].end > edit.start:
                    edits.pop()
                edits.append(edit)
                at = start + 1 if rule.family == "contractions" else edit.end
                break
    return edits


def _try(
    scene: Scene,
    rule: Rule,
    new: tuple[str, ...],
    start: int,
    end: int,
    starts: dict[int, int],
    seen: dict[str, int],
    seed: int,
) -> Edit | None:
    """The rule's edit of what stands at `start`. `starts`: sentence -> its end; `seen`: what "again" has met."""
    text, masked, low, at = scene.block, scene.masked, scene.low, rule.at
    match = None
    if rule.pattern is not None:
        match = rule.pattern.match(masked, start)
        if match is None or match.end() == start:
            return None
        end = match.end()
    first = start in starts
    capital = text[start].isupper()
    opens = first or (capital and _after_label(masked, start))
    if opens and not first and text[end + 1 : end + 2].isupper():
        return None  # "Plans: Delving Into Maps" is a title
    if at != "any" and ((at == "start" and not opens) or (at == "sentence" and not first)):
        return None
    if rule.guards and not _context(rule, low, start, end, opens):
        return None
    if match:
        filled = fill(rule.replace, match, text)
        if filled is None:
            return None
        made = filled
    else:
        found = masked[start:end]
        if not found.islower() and not _plain_case(found, opens):
            return None  # its capitals say that it is a name
        made = new[0] if len(new) == 1 else _choose(new, rule.id, low[max(0, start - 24) : start], seed)
        if rule.participles and _perfect(low, start):
            made = dict(rule.participles).get(low[start:end], made)
    if at == "sentence":
        end = _whole_sentence(masked, end, starts[start])
        if not end or _empties(scene, start, end) or masked[max(0, start - 8) : start].rstrip().endswith("?"):
            return None
    if at == "again":
        phrase = low[start:end]
        seen[phrase] = seen.get(phrase, 0) + 1
        if seen[phrase] < 2:
            return None
    if text[start:end] == made:
        return None
    return Edit(start, end, made, rule.id, opens and (capital or not made))


_PERFECT = re.compile(
    r"\b(?:have|has|had|having|be|is|are|was|were|been|being|'ve|'s|'re|get|got)(?: (?:not|also|\w+ly))? $"
)


_PERFECT_ENDS = tuple(
    f"{word} " for word in "have has had having be is are was were been being 've 's 're get got not also ly".split()
)
"""What every match ends with."""


def _perfect(low: str, start: int) -> bool:
    """A participle stands here: have or be comes before."""
    return low.endswith(_PERFECT_ENDS, 0, start) and _PERFECT.search(low, max(0, start - 24), start) is not None


_LABEL = re.compile(r"(?::[*_]{0,3}|[*_]{2,3})\s$")


def _after_label(masked: str, start: int) -> bool:
    """A capital after "**Note:** " begins a sentence too."""
    return _LABEL.search(masked, max(0, start - 5), start) is not None


def _choose(options: tuple[str, ...], rule_id: str, context: str, seed: int) -> str:
    return options[zlib.crc32(f"{seed}|{rule_id}|{context}".encode("utf-8", "replace")) % len(options)]


_ALONE = re.compile(r"\bI\b")


def _plain_case(found: str, opens: bool) -> bool:
    """In lower case, or with a capital because a sentence begins; anything else is a name or a title."""
    rest = found[1:]
    if not rest.islower():
        rest = _ALONE.sub("i", rest) if "I" in rest else rest
        if not rest.islower() and any(map(str.isalpha, rest)):
            return False
    return not found[0].isupper() or opens or (found[0] == "I" and not found[1:2].isalpha())


def _context(rule: Rule, low: str, start: int, end: int, opens: bool) -> bool:
    guarded = bool(rule.guarded) and low[start:end] in rule.guarded
    if guarded or rule.not_after or rule.after:
        word = _word_before(low, start)
        if (word or ",") in rule.not_after or (rule.after and (word or ",") not in rule.after):
            return False
        if guarded and not opens and word not in VERBAL_BEFORE and not word.endswith("ly"):
            return False
    if rule.not_before or rule.before:
        if low.startswith(",", end) and (rule.before or "," in rule.not_before):
            return False
        following = _word_after(low, end)
        if following in rule.not_before or (rule.before and following not in rule.before):
            return False
    if rule.near or rule.not_near:
        words = _NEXT_WORDS.match(low, end)
        found = words.group().split() if words else []
        if not rule.not_near.isdisjoint(found) or (rule.near and rule.near.isdisjoint(found)):
            return False
    return not rule.not_behind or rule.not_behind.isdisjoint(_words_before(low, start))


def _words_before(low: str, start: int) -> list[str]:
    """The four words before `start` that no mark parts from it."""
    near = low[max(0, start - 48) : start]
    words = near.rsplit(None, 4)[-4:]
    if near.isascii() and near.isprintable() and "".join(words).isalpha():
        return words
    return _PARTED.split(near)[-1].split()[-4:]


def _word_before(low: str, start: int) -> str:
    """The word and the one space before `start`, of at most 19 letters; "" where something else stands there."""
    if low[start - 1 : start] != " ":
        return ""
    first = start - 20 if start > 20 else 0
    space = low.rfind(" ", first, start - 1)
    word = low[space + 1 if space >= 0 else first : start - 1]
    if word.isascii() and word.isalpha():
        return word
    before = _LAST_WORD.search(low, first, start) if word[-1:].isalpha() else None
    return before.group(1) if before else ""


def _word_after(low: str, end: int) -> str:
    """The first word after `end`, "." where none follows."""
    if low.startswith(" ", end):
        space = low.find(" ", end + 1, end + 20)
        word = low[end + 1 : space]
        if space > 0 and word.isalpha() and word.isascii():
            return word
    after = _FIRST_WORD.match(low, end)
    return after.group(1) if after else "."


def _whole_sentence(masked: str, end: int, sentence_end: int) -> int:
    """Where the sentence ends if only its mark is left, else 0."""
    rest = masked[end:sentence_end]
    return sentence_end if not rest.strip(" .!?*_") else 0


def _empties(scene: Scene, start: int, end: int) -> bool:
    """A list item never loses all of its words; neither does a text."""
    rest = scene.masked[scene.lead : start] + scene.masked[end:]
    return scene.item and not rest.strip(" \t.*_" + MASK)


def fill(template: str, match: re.Match[str], text: str) -> str | None:
    """The template with the groups' own text; `{1:base}` and its like want a known verb, else None."""
    out: list[str] = []
    for plain, group, form in _parts(template):
        out.append(plain)
        if group is None:
            continue
        start, end = match.span(group)
        piece: str | None = text[start:end] if start >= 0 else ""
        if form:
            piece = _form(piece or "", form)
        if piece is None:
            return None
        out.append(piece)
    return "".join(out)


@functools.cache
def _parts(template: str) -> tuple[tuple[str, int | None, str], ...]:
    """Plain text and the hole after it: its group and form; no group at the end."""
    found: list[tuple[str, int | None, str]] = []
    at = 0
    for hole in _TEMPLATE.finditer(template):
        found.append((template[at : hole.start()], int(hole.group(1)), hole.group(2) or ""))
        at = hole.end()
    return (*found, (template[at:], None, ""))


def _form(word: str, form: str) -> str | None:
    if form == "lower":
        return word[:1].lower() + word[1:]
    base = word if form in ("third", "past", "ing") and word in _bases() else _from_ing().get(word.lower())
    if base is None:
        return None
    return dict(zip(("base", "third", "past", "ing"), inflect.forms(base), strict=False))[form]


@functools.cache
def _bases() -> frozenset[str]:
    return frozenset(lexicon()["verbs"]["base"].split())


@functools.cache
def _from_ing() -> dict[str, str]:
    return {inflect.forms(base)[3]: base for base in _bases()}
