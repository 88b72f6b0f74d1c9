"""What the rewriter answered to a fixed set of texts: `python -m tests.millrace.text.recorded` writes it anew.

To be written only when a rule changes on purpose; whoever makes the engine faster leaves it as it is.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

from millrace.text.faithfulness import verify
from millrace.text.ruledata import STRENGTHS, TONES, rules
from millrace.text.rules import rewrite
from millrace.text.scores import score

from tests.millrace.text.samples import AI_TEXTS, HUMAN_TEXTS

FILE = Path(__file__).with_name("recorded.json")
_ODD = (
    "Über 3 servers — and “quoted” text, and fast, quick and speedy work or play and rest, and more and more.",
    "# Title\n\n- a, b, and c\n- clear and concise or plain and simple\n\n```\nutilize\n```\n\n> leverage\n\nI use it.",
    "It was written by our team. It is fast. It is cheap. We do not utilize it, and it's not only good but also fun!",
    "The the colour of our organization, organisation and color is very very robust, resilient, and robust.",
    "Wir nutzen das und die der nicht. Moreover, we leverage it.\r\n\r\nAt the end of the day — it works — really.",
    "\ud83d\ude00 moreover I utilize {{RED:moreover}} and `leverage` in https://a.b/c?d=e, not $5 or 5% or two dozen.",
)


def texts() -> list[str]:
    """Samples of both kinds, every rule's example, odd ones, and 40 shuffles of sentences of them all."""
    draw = random.Random(7)
    found = [*AI_TEXTS, *HUMAN_TEXTS, *_ODD]
    sentences = [s for text in found for s in text.replace("\n", " \n ").split(". ")]
    found += ["\n".join(rule.example[0] for rule in rules() if rule.family == name) for name in _families()]
    found += [". ".join(draw.choices(sentences, k=draw.randint(2, 9))) + "." for _ in range(40)]
    return found


def _families() -> list[str]:
    return sorted({rule.family for rule in rules()})


def answers() -> dict[str, list[str]]:
    """Hashes: by strength and tone of each rewrite, then of the scores and of what a text does not keep of another."""
    known = texts()
    found = {
        f"{strength} {tone}": [_mark(rewrite(text, strength, tone)) for text in known]
        for strength in STRENGTHS
        for tone in TONES
    }
    found["scores"] = [_mark(sorted(score(text).items())) for text in known]
    found["facts"] = [_mark(verify(one, other)) for one, other in zip(known, known[1:] + known[:1], strict=True)]
    return found


def _mark(told: object) -> str:
    return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()[:10]


if __name__ == "__main__":
    FILE.write_text(json.dumps(answers(), indent=0) + "\n", encoding="utf-8")
