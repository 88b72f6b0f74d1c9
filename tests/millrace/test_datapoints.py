from __future__ import annotations

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from millrace.corpus import INLINE_BYTES
from millrace.datapoints import DataPoint, Origin, Turn, content_id, split_of
from millrace.tenants import Tenant
from millrace.typed import decode, encode

from tests.fakes import World, examples

ACME = Tenant("acme")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
TURNS = st.lists(st.builds(Turn, st.sampled_from(["system", "user", "assistant"]), TEXTS), max_size=3).map(tuple)
CONTENTS = st.tuples(TEXTS, TEXTS, st.none() | TEXTS, TURNS)


def _id(content: tuple[str, str, str | None, tuple[Turn, ...]]) -> str:
    source, target, rejected, context = content
    return content_id(source, target, rejected=rejected, context=context)


def _point(rejected: str | None = None, context: tuple[Turn, ...] = (), source: str = "a") -> DataPoint:
    id = content_id(source, "b", rejected=rejected, context=context)
    return DataPoint(id, Origin.DROP, source, "b", "1", "dr1#2", rejected=rejected, context=context)


@given(TEXTS, TEXTS)
def test_a_pair_without_more_has_the_id_that_it_always_had(source: str, target: str) -> None:
    digest = hashlib.sha256()
    for raw in (b"", source.encode(), target.encode()):
        digest.update(len(raw).to_bytes(8, "big") + raw)

    assert content_id(source, target) == "dp" + digest.hexdigest()[:26]


@examples(400)
@given(CONTENTS, CONTENTS)
def test_two_contents_have_one_id_only_where_they_are_the_same(
    one: tuple[str, str, str | None, tuple[Turn, ...]], other: tuple[str, str, str | None, tuple[Turn, ...]]
) -> None:
    assert (_id(one) == _id(other)) == (one == other)


def test_texts_do_not_shift_between_rejected_and_context() -> None:
    turn = Turn("user", "x")
    contents = [
        (None, ()),
        ("", ()),
        ("x", ()),
        (None, (turn,)),
        ("", (turn,)),
        ("x", (turn, turn)),
        (None, (turn, turn)),
    ]

    assert len({content_id("a", "b", rejected=r, context=c) for r, c in contents}) == len(contents)


@given(st.none() | TEXTS, TURNS)
def test_a_point_comes_back_from_the_table_as_it_was(rejected: str | None, context: tuple[Turn, ...]) -> None:
    point = _point(rejected, context)

    assert DataPoint.from_item(decode(encode(point.to_dict()))) == point


def test_a_plain_pair_stores_nothing_of_what_it_does_not_have() -> None:
    assert not {"rejected", "context"} & _point().to_dict().keys()


def test_a_long_preference_and_a_long_chat_lie_in_the_store_and_come_back_whole() -> None:
    world, long = World(), "long " * INLINE_BYTES
    points = [_point(long), _point(None, (Turn("system", long), Turn("user", "and"))), _point(None, (), long)]
    for point in points:
        world.corpus.add(ACME, point)

    assert [world.corpus.get(ACME, point.id) for point in points] == points
    assert all(len(str(item)) < INLINE_BYTES for item in world.dynamo.items.values())


def test_the_split_is_the_source_s_alone() -> None:
    assert split_of("a") == split_of(" A ")
    assert replace(_point("no"), target="c").source == _point().source
