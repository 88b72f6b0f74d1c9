"""The rules at work on one block: one search for every phrase at once, edits, mending, again until nothing changes.
Pure.

Source of the search: Aho and Corasick 1975, by `ahocorasick_rs`; every phrase and every pattern's trigger is found
in one
pass, overlapping ones too, and the leftmost longest that holds wins.
"""

from __future__ import annotations

import functools
import re
import zlib
from dataclasses import dataclass

import ahocorasick_rs

from millrace.text import inflect
from millrace.text.blocks import MASK, Block, mask, sentence_spans
from millrace.text.edits import Edit, apply, settle
from millrace.text.ops import OPS, RHYTHM, Scene
from millrace.text.ruledata import VERBAL_BEFORE, Rule, lexicon, rules

PASSES = 12
"""At most; a text settles in two to five. What has not settled then stays as the last pass left it."""

_TEMPLATE = re.compile(r"\{(\d)(?::(\w+))?\}")
_LAST_WORD = re.compile(r"([A-Za-z]+(?:'[a-z]+)?)[ ]$")
_FIRST_WORD = re.compile(r"[ ,]*([A-Za-z]+(?:'[a-z]+)?)")

_BOUND = "-'_" + MASK
"""What goes on with a word as a letter does."""

Change = tuple[str, str, str]


@dataclass(frozen=True)
class Kit:
    """The rules of one strength and tone, ready to search."""

    search: ahocorasick_rs.AhoCorasick
    entries: tuple[tuple[tuple[Rule, tuple[str, ...]], ...], ...]
    ops: tuple[Rule, ...]
    rhythm: tuple[Rule, ...]
    tone: str


@functools.cache
def kit(strength: str, tone: str) -> Kit:
    return make_kit(tuple(r for r in rules() if r.applies(strength, tone)), tone)


def make_kit(chosen: tuple[Rule, ...], tone: str) -> Kit:
    table: dict[str, list[tuple[Rule, tuple[str, ...]]]] = {}
    for rule in chosen:
        for phrase, new in rule.phrases:
            table.setdefault(phrase.lower(), []).append((rule, new))
        for trigger in rule.triggers:
            table.setdefault(trigger.lower(), []).append((rule, ()))
    search = ahocorasick_rs.AhoCorasick(list(table) or ["\ue001"], store_patterns=False)
    acting = [r for r in chosen if r.op]
    return Kit(
        search,
        tuple(tuple(v) for v in table.values()),
        tuple(r for r in acting if r.op not in RHYTHM),
        tuple(r for r in acting if r.op in RHYTHM),
        tone,
    )


def rewrite_block(block: Block, kit: Kit, seed: int, dialect: str = "") -> tuple[str, list[Change]]:
    """The block's text after the rules, and each change in the order in which it was made."""
    text = block.text
    changes: list[Change] = []
    for _ in range(PASSES):
        masked = mask(text, block.lead)
        spans = sentence_spans(masked, block.lead)
        edits = _edits(Scene(text, masked, spans, block.item, kit.tone, dialect), block, kit, seed)
        if not edits:
            break
        changes += [(e.rule, text[e.start : e.end], e.new[:1].upper() + e.new[1:] if e.opens else e.new) for e in edits]
        text = apply(text, masked, [settle(e, text, masked) for e in edits])
    return text, changes


def _edits(scene: Scene, block: Block, kit: Kit, seed: int) -> list[Edit]:
    found = phrase_edits(scene, block, kit, seed)
    for rule in kit.ops:
        found += OPS[rule.op](scene, rule)
    if not found:
        for rule in kit.rhythm:
            found += OPS[rule.op](scene, rule)
    return _disjoint(found)


def _disjoint(edits: list[Edit]) -> list[Edit]:
    """Sorted, the first of two that overlap or touch; the other waits for the next pass and sees settled text."""
    kept: list[Edit] = []
    end = -1
    for edit in sorted(edits, key=lambda e: e.start):
        if edit.start > end:
            kept.append(edit)
            end = edit.end + 1
    return kept


def lowered(masked: str) -> str:
    """Lower case of the same length."""
    low = masked.lower()
    return low if len(low) == len(masked) else "".join(c.lower() if len(c.lower()) == 1 else c for c in masked)


def candidates(low: str, kit: Kit) -> list[tuple[int, int, int]]:
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


def phrase_edits(scene: Scene, block: Block, kit: Kit, seed: int) -> list[Edit]:
    text, masked, spans = scene.block, scene.masked, scene.spans
    low = lowered(masked)
    starts = {start: end for start, end in spans}
    seen: dict[str, int] = {}
    edits: list[Edit] = []
    at = 0
    for start, minus_end, n in candidates(low, kit):
        if start < at:
            continue
        for rule, new in kit.entries[n]:
            edit = _try(rule, new, start, -minus_end, text, masked, low, starts, seen, block, seed)
            if edit:
                edits.append(edit)
                at = edit.end
                break
    return edits


def _try(
    rule: Rule,
    new: tuple[str, ...],
    start: int,
    end: int,
    text: str,
    masked: str,
    low: str,
    starts: dict[int, int],
    seen: dict[str, int],
    block: Block,
    seed: int,
) -> Edit | None:
    opens = start in starts or (text[start].isupper() and _after_label(masked, start))
    if rule.at in ("start", "sentence") and not (opens if rule.at == "start" else start in starts):
        return None
    if rule.pattern:
        match = rule.pattern.match(masked, start)
        if not match or match.end() == start:
            return None
        end = match.end()
        made = fill(rule.replace, match, text)
    else:
        if not _plain_case(masked[start:end], opens):
            return None
        made = new[0] if len(new) == 1 else _choose(new, rule.id, low[max(0, start - 24) : start], seed)
        if rule.participles and _perfect(low, start):
            made = dict(rule.participles).get(low[start:end], made)
    if made is None or not _context(rule, low, start, end, low[start:end], opens):
        return None
    if rule.at == "sentence":
        end = _whole_sentence(masked, end, starts[start])
        if not end or _empties(block, masked, start, end):
            return None
    if rule.at == "again":
        key = low[start:end]
        seen[key] = seen.get(key, 0) + 1
        if seen[key] < 2:
            return None
    if text[start:end] == made:
        return None
    return Edit(start, end, made, rule.id, opens and (not made or text[start].isupper()))


_PERFECT = re.compile(
    r"\b(?:have|has|had|having|be|is|are|was|were|been|being|'ve|'s|'re|get|got)(?: (?:not|also|\w+ly))? $"
)


def _perfect(low: str, start: int) -> bool:
    """A participle stands here: have or be comes before."""
    return _PERFECT.search(low, max(0, start - 24), start) is not None


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


def _context(rule: Rule, low: str, start: int, end: int, phrase: str, opens: bool) -> bool:
    if rule.not_after or phrase in rule.guarded:
        before = _LAST_WORD.search(low, max(0, start - 20), start)
        word = before.group(1) if before else ""
        if word in rule.not_after:
            return False
        if phrase in rule.guarded and not opens and word not in VERBAL_BEFORE and not word.endswith("ly"):
            return False
    if rule.not_before or rule.before:
        after = _FIRST_WORD.match(low, end)
        following = after.group(1) if after else "."
        if following in rule.not_before or (following == "." and "." in rule.not_before):
            return False
        if rule.before and following not in rule.before:
            return False
    return True


def _whole_sentence(masked: str, end: int, sentence_end: int) -> int:
    """Where the sentence ends if only its mark is left, else 0."""
    rest = masked[end:sentence_end]
    return sentence_end if not rest.strip(" .!?*_") else 0


def _empties(block: Block, masked: str, start: int, end: int) -> bool:
    """A list item never loses all of its words; neither does a text."""
    rest = masked[block.lead : start] + masked[end:]
    return block.item and not rest.strip(" \t.*_" + MASK)


def fill(template: str, match: re.Match[str], text: str) -> str | None:
    """The template with the groups' own text; `{1:base}` and its like want a known verb, else None."""
    out: list[str] = []
    at = 0
    for hole in _TEMPLATE.finditer(template):
        group, form = int(hole.group(1)), hole.group(2)
        piece = text[slice(*match.span(group))] if match.span(group)[0] >= 0 else ""
        if form:
            changed = _form(piece, form)
            if changed is None:
                return None
            piece = changed
        out += [template[at : hole.start()], piece]
        at = hole.end()
    return "".join(out) + template[at:]


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
