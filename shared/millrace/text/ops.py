"""What a rule does when words alone do not suffice: a paragraph and its sentences in, edits out.

Each operation is conservative: where the grammar is not plain, it leaves the sentence alone.
"""

from __future__ import annotations

from millrace.text.repeats import doubled_sentence, doubled_word, repeating, synonym_list, twice
from millrace.text.rhythm import em_dash, join_long, join_short, said_again, same_subject, split_long, split_longer
from millrace.text.scene import Op, Signs
from millrace.text.spelling import spelled, spelling
from millrace.text.voice import passive, passive_within

OPS: dict[str, Op] = {
    "em_dash": em_dash,
    "synonym_list": synonym_list,
    "passive": passive,
    "passive_within": passive_within,
    "join_short": join_short,
    "join_long": join_long,
    "same_subject": same_subject,
    "said_again": said_again,
    "split_long": split_long,
    "split_longer": split_longer,
    "doubled_word": doubled_word,
    "doubled_sentence": doubled_sentence,
    "spelling": spelling,
}
RHYTHM = frozenset(OPS) - {"synonym_list", "doubled_word", "doubled_sentence", "spelling"}
"""Operations on whole sentences: they wait until the words are settled."""
SIGNS: dict[str, Signs] = {"doubled_word": twice, "spelling": spelled, "synonym_list": repeating}
"""Where in the text of several blocks an operation may find something: it looks at no block without such a place."""
WIDER = {"join_short": "join_long", "split_long": "split_longer"}
"""What does all that another does, and more: the other then rests."""
