"""Every rung needs less than the one before, and the ladder ends."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from millrace.ladder import MOST_ACCUMULATED, SHORTEST, ladder, ran_out

SETTINGS = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 512),
        "accumulation": st.integers(1, 64),
        "gradient_checkpointing": st.booleans(),
        "max_length": st.integers(16, 131072),
        "rank": st.integers(1, 256),
    }
)


def rungs(settings: dict[str, Any]) -> list[dict[str, Any]]:
    found = [settings]
    while (lower := ladder(found[-1])) is not None:
        found.append(lower)
    return found


def needed(settings: dict[str, Any]) -> tuple[int, bool, int]:
    return settings["batch_size"], not settings["gradient_checkpointing"], settings["max_length"]


@given(SETTINGS)
def test_each_rung_asks_for_less_and_the_last_one_for_the_least(settings: dict[str, Any]) -> None:
    found = rungs(settings)

    wants = [needed(one) for one in found]
    assert all(later < earlier for earlier, later in pairwise(wants))
    assert wants[-1] == (1, False, min(settings["max_length"], SHORTEST)) and len(found) <= 24
    assert {one["rank"] for one in found} == {settings["rank"]}


@given(SETTINGS)
def test_no_step_ever_sees_fewer_rows(settings: dict[str, Any]) -> None:
    """But where no strategy accumulates more."""
    found = rungs(settings)
    rows = [one["batch_size"] * one["accumulation"] for one in found]

    assert all(row >= rows[0] or one["accumulation"] == MOST_ACCUMULATED for row, one in zip(rows, found, strict=True))


def test_the_order_is_batches_then_checkpoints_then_lengths() -> None:
    start = {"batch_size": 4, "accumulation": 1, "gradient_checkpointing": False, "max_length": 512}

    assert [needed(one) for one in rungs(start)] == [
        (4, True, 512), (2, True, 512), (1, True, 512), (1, False, 512), (1, False, 256), (1, False, 128)
    ]  # fmt: skip


def test_a_strategy_without_these_settings_has_no_ladder() -> None:
    assert ladder({"rank": 8}) is None


def test_only_the_sentence_of_a_lack_of_memory_climbs_down() -> None:
    assert ran_out("OutOfMemory: 16 rows of 512 tokens need more than this machine has.")
    assert not ran_out("The rows are too few.") and not ran_out(None)


def test_a_strategy_that_compares_rows_keeps_as_many_as_it_needs() -> None:
    """KTO takes no batch of one: what is cut then is memory of another kind."""
    given: dict[str, Any] = {"batch_size": 3, "accumulation": 4096, "gradient_checkpointing": False, "max_length": 512}

    first = ladder(given, least_batch=2)
    assert first is not None and (first["batch_size"], first["accumulation"]) == (2, 4096)
    second = ladder(first, least_batch=2)
    assert second is not None and second["batch_size"] == 2 and second["gradient_checkpointing"] is True
