"""The engine may get faster; what it answers stays."""

from __future__ import annotations

import json

from tests.millrace.text.recorded import FILE, answers, texts


def test_the_rewriter_answers_what_it_answered_before() -> None:
    known, now = json.loads(FILE.read_text("utf-8")), answers()

    assert known.keys() == now.keys()
    for manner, marks in now.items():
        changed = [text[:80] for text, old, new in zip(texts(), known[manner], marks, strict=True) if old != new]
        assert not changed, f"{manner}: if a rule changed on purpose, write tests/millrace/text/recorded.json anew"
