"""What a rule does when words alone do not suffice: a paragraph and its sentences in, edits out.

Each operation is conservative: where the grammar is not plain, it leaves the sentence alone.
"""

from __future__ import annotations

from millrace.text.repeats import doubled_sentence, doubled_word, synonym_list
from millrace.text.rhythm import em_dash, join_short, split_long
from millrace.text.scene import Op
from millrace.text.spelling import spelling
from millrace.text.voice import passive

OPS: dict[str, Op] = {
    "em_dash": em_dash,
    "synonym_list": synonym_list,
    "passive": passive,
    "join_short": join_short,
    "split_long": split_long,
    "doubled_word": doubled_word,
    "doubled_sentence": doubled_sentence,
    "spelling": spelling,
}
RHYTHM = ("em_dash", "join_short", "split_long", "passive")
"""Operations on whole sentences: they wait until the words are settled."""
