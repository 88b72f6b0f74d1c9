"""Which language a text is in, well enough to leave other languages alone. Pure, linear in the first 4,000 characters.

Function words decide among Latin scripts, the script decides among the others. No model: py3langid needs numpy, which a
zip function cannot carry, and the rules only ask "English or not". Known error: under six words it says "en" unless
another script or another language's function words are there; close relatives (no/da, hr/sr) are one guess.
"""

from __future__ import annotations

import re
from collections import Counter

from millrace.text.words import unmarked

SAMPLE = 4_000
_FUNCTION_WORDS = """
en: the of and to in is that for it with as was on are be this at by have from or an not they you we which but has
    will can their more if our i my your he she his her been were do does what when there about would
de: der die das und ist nicht ein eine zu den mit von für auf im dem des sich auch es wir sie ich wird sind wie bei
    oder aus nach dass einen einer zum zur werden haben kann
fr: le la les des et est une un dans que pour qui sur pas avec ce il au par plus nous vous sont du cette aux ne se
    ou elle mais être leur notre ont
es: el la los las de y que en un una es por con para se del no su al lo como más pero sus este está son también muy
    nuestra ser hay o
it: il lo la gli le di e che è un una per con non si del della dei sono come più ma anche nel alla questo dal delle
    ha essere nostro
pt: o a os as de e que em um uma é para com não por se do da dos das no na mais como mas ao seu sua são ser também
    nossa está
nl: de het een en van in is dat op te zijn met voor niet aan er om ook als bij maar door naar uit wordt deze hij zij
    wij dit worden heeft onze
sv: och att det som en är på för av med den till inte har de ett om var vi men jag kan från så när ska vid eller
da: og at det som en er på for af med den til ikke har de et om var vi men jeg kan fra så når skal ved eller
pl: i w na z się nie do to jest że o jak po co ale dla przez są od za czy tym oraz być który także
cs: a v se na je že s z do o i to jako pro za by ale po jsou od který nebo být jeho také jsme
tr: ve bir bu için ile de da çok olarak daha olan gibi ne var kadar ancak değil veya her en sonra
fi: ja on ei se että oli ovat mutta kun tai hän joka myös ole niin kuin sekä jos vain tämä
hu: a az és hogy nem is egy ez meg csak van volt de ha már vagy mint még azt lesz
ro: și de la în a nu cu pe că este un o din pentru care mai sau dar sunt ca fi au prin
id: yang dan di dengan untuk dari ini itu pada tidak adalah dalam akan juga ke oleh atau dapat sebagai telah
vi: và của là có cho không được trong một các với những này để người đã khi từ
"""
_SETS = {
    row.split(":")[0]: frozenset(row.split(":")[1].split())
    for row in re.sub(r"\n    ", " ", _FUNCTION_WORDS).strip().splitlines()
}
_CODES = {
    word: tuple(code for code, known in _SETS.items() if word in known) for known in _SETS.values() for word in known
}
_OTHERS = frozenset(word for code, known in _SETS.items() if code != "en" for word in known)
_SCRIPTS = (
    ("ru", "\u0400-\u04ff"), ("el", "\u0370-\u03ff"), ("he", "\u0590-\u05ff"), ("ar", "\u0600-\u06ff\u0750-\u077f"),
    ("hi", "\u0900-\u097f"), ("bn", "\u0980-\u09ff"), ("ta", "\u0b80-\u0bff"), ("th", "\u0e00-\u0e7f"),
    ("ja", "\u3040-\u30ff"), ("ko", "\uac00-\ud7af\u1100-\u11ff"), ("zh", "\u4e00-\u9fff"), ("ka", "\u10a0-\u10ff"),
    ("hy", "\u0530-\u058f"),
)  # fmt: skip
_FOREIGN = re.compile(
    "[\u0370-\u058f\u0590-\u06ff\u0750-\u077f\u0900-\u0dff\u0e00-\u0e7f\u10a0-\u11ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]"
)
_WORD = re.compile(r"[^\W\d_]+")
_LETTERS = bytes(n if chr(n).isascii() and chr(n).isalpha() else 32 for n in range(256)).lower()
"""ASCII letters in lower case, a space for the rest."""


def detect(text: str) -> str:
    """ISO 639-1 code; "en" when nothing speaks against it."""
    sample = unmarked(text[:SAMPLE])
    if sample.isascii():
        words = sample.encode().translate(_LETTERS).decode().split()
        return "en" if _plainly_english(words) else _by_function_words(Counter(words))
    found = _WORD.findall(sample.lower())
    other = _script(sample, sum(map(len, found))) if found else "en"
    return other or _by_function_words(Counter(found))


def _script(sample: str, letters: int) -> str:
    if len(_FOREIGN.findall(sample)) * 2 <= letters:
        return ""
    counts = {code: len(re.findall(f"[{ranges}]", sample)) for code, ranges in _SCRIPTS}
    if counts["ja"] and counts["zh"]:
        return "ja"
    return max(counts, key=lambda code: counts[code])


def _plainly_english(words: list[str]) -> bool:
    """Whether no language can win, even if it had all words that any but English has."""
    others = sum(map(_OTHERS.__contains__, words))
    if others < 2:
        return True
    known = _SETS["en"].__contains__
    half = len(words) // 2
    english = sum(map(known, words[:half]))  # which is enough for nearly every English text
    return others <= 1.2 * english or others <= 1.2 * (english + sum(map(known, words[half:])))


def _by_function_words(words: Counter[str]) -> str:
    hits: dict[str, int] = {}
    for word in words.keys() & _CODES.keys():
        for code in _CODES[word]:
            hits[code] = hits.get(code, 0) + words[word]
    most = max(hits.values(), default=0)
    if most < 2 or most <= 1.2 * hits.get("en", 0):
        return "en"
    return next(code for code in _SETS if hits.get(code) == most)
