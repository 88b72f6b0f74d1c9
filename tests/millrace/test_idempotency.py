"""A key has one effect under races, crashes and lost replies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from millrace.errors import Conflict, InvalidInput, MillraceError
from millrace.idempotency import INLINE_BYTES, KEPT_S, LEASE_S, Claim, Idempotency, Reply, fingerprint
from millrace.tenants import Tenant

from tests.fakes import Plan, World

ACME = Tenant("acme")


@dataclass
class Stage:
    world: World = field(default_factory=World)
    now: float = 1_000.0

    def once(self, plan: Plan | None = None) -> Idempotency:
        world = self.world.through(plan) if plan else self.world
        return Idempotency(world.table, world.store, lambda: self.now)

    def claim(self, key: str = "k", print_: str = "f") -> Claim:
        found = self.once().begin(ACME, key, print_)
        assert isinstance(found, Claim)
        return found


@pytest.mark.parametrize("size", [10, INLINE_BYTES + 1])
def test_a_reply_is_kept_and_told_again(size: int) -> None:
    stage, reply = Stage(), Reply(201, b"x" * size, {"location": "/a"})
    stage.once().finish(stage.claim(), reply)

    assert stage.once().begin(ACME, "k", "f") == reply
    assert set(stage.world.s3.tags.values()) <= {"expires-after-days=2"}
    stage.now += KEPT_S + 1
    assert isinstance(stage.once().begin(ACME, "k", "another"), Claim)


@pytest.mark.parametrize(("first", "then"), [(INLINE_BYTES + 1, 10), (10, INLINE_BYTES + 1)])
def test_a_new_reply_under_an_old_key_is_told_and_not_the_old_one(first: int, then: int) -> None:
    stage, reply = Stage(), Reply(200, b"n" * then)
    stage.once().finish(stage.claim(), Reply(200, b"o" * first))
    stage.now += KEPT_S + 1

    stage.once().finish(stage.claim(), reply)

    assert stage.once().begin(ACME, "k", "f") == reply


def test_of_many_at_once_one_may_and_the_others_are_told_to_wait() -> None:
    stage = Stage()

    def begin(_: int) -> object:
        try:
            return stage.once().begin(ACME, "k", "f")
        except Conflict:
            return None

    with ThreadPoolExecutor(16) as pool:
        found = [each for each in pool.map(begin, range(64)) if each is not None]

    assert len(found) == 1


def test_a_worker_that_is_gone_is_followed_and_writes_nothing_any_more() -> None:
    stage = Stage()
    first = stage.claim()
    stage.now += LEASE_S + 1
    second = stage.claim()

    stage.once().finish(first, Reply(200, b"late"))
    with pytest.raises(Conflict):
        stage.once().begin(ACME, "k", "f")
    stage.once().finish(second, Reply(200, b"good"))
    assert stage.once().begin(ACME, "k", "f") == Reply(200, b"good")


def test_a_key_given_back_is_free_for_anything() -> None:
    stage = Stage()
    stage.once().release(stage.claim())
    assert stage.claim(print_="another").epoch == 2
    with pytest.raises(InvalidInput):
        stage.once().begin(ACME, "k", "f")


@pytest.mark.parametrize("fault", ["throttle", "timeout", "lost", "twice", "error"])
@pytest.mark.parametrize("number", [1, 2])
def test_whatever_aws_does_a_claim_is_one_and_a_kept_reply_is_right(fault: str, number: int) -> None:
    stage = Stage()
    try:
        found = stage.once(Plan({number: fault})).begin(ACME, "k", "f")  # type: ignore[dict-item]
    except MillraceError:
        stage.now += LEASE_S + 1
        found = stage.once().begin(ACME, "k", "f")
    assert isinstance(found, Claim)
    stage.once(Plan({1: fault})).finish(found, Reply(200, b"r"))  # type: ignore[dict-item]

    try:
        assert stage.once().begin(ACME, "k", "f") == Reply(200, b"r")
    except Conflict:
        assert fault in ("throttle", "timeout", "error"), "the reply was lost, and the lease still runs"


def test_prints_differ_with_every_part() -> None:
    assert len({fingerprint(b"a", b"b"), fingerprint(b"ab", b""), fingerprint(b"a", b"c")}) == 3
