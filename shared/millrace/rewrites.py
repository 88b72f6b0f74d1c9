"""Rewrites that nobody waits for: a long text, or very many. Order, state, result. AWS: S3, DynamoDB, SQS.

The order lies in S3 under its hash; a message in the queue says that there is work. Who works holds a lease with an
epoch, as for a drop, and every later write is conditioned on it. What is answered is kept, stretch by stretch, before
progress says so: who goes on after a crash pays for one stretch again at the most.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from . import paragraphs
from .artifacts import KEPT_DAYS, Store
from .clock import fresh_id, stamp
from .contract import JobState, Tier
from .errors import Conflict, InvalidInput, MillraceError, NotFound, TooLarge, Unavailable
from .queues import Queue
from .sections import Section, planned
from .table import Item, Table, Write
from .tenants import Kind, Role, Tenant

MAX_BYTES = 5_000_000
"""UTF-8 of all texts of an order: with its JSON it fits the 6 MB that a function takes at once."""
MAX_TEXTS = 1_000
LEASE_S = 120
"""Renewed after each stretch, which takes a minute at the most."""
TRIES = 5
"""Of one message; when it comes once more its job is told to have failed."""
KEPT_S = KEPT_DAYS[-1] * 86_400
"""A job's item goes after 30 days."""
INLINE_BYTES = 256_000
"""A larger result is told by its link alone."""
ITEM_BYTES = 4_000
"""A larger problem lies in the store."""
LINK_S = 900


@dataclass(frozen=True)
class Order:
    """What is asked for. Not `batch`: one text, whose id is nobody's business."""

    texts: tuple[tuple[str, str], ...]
    """Id and text of each."""
    batch: bool
    strength: str
    tone: str
    voice: str = ""
    wish: str | None = None

    @classmethod
    def load(cls, raw: bytes) -> Order:
        found = orjson.loads(raw)
        return cls(**{**found, "texts": tuple((id, text) for id, text in found["texts"])})


@dataclass(frozen=True)
class Rewrites:
    table: Table
    store: Store
    queue: Queue

    @property
    def _kept(self) -> Store:
        return self.store.keeping(KEPT_DAYS[-1])

    def submit(self, tenant: Tenant, order: Order, id: str | None = None) -> Item:
        """The job, pending. The same id and order again is the same job; Conflict for another order under that id."""
        check(order)
        id = id or fresh_id("rw")
        raw = orjson.dumps(asdict(order))
        digest = hashlib.sha256(raw).hexdigest()
        key = tenant.prefix("orders", digest)
        self._kept.put(key, raw, "application/json")
        item = self.table.put_new(_new(tenant, id, order, key, digest))
        if item["order_sha256"] != digest:
            raise Conflict(f"Rewrite {id} is one of another text.")
        if item["state"] == JobState.PENDING:
            self.queue.send({"tenant": tenant.id, "id": id})
        return item

    def get(self, tenant: Tenant, id: str) -> Item:
        item = self.table.get(tenant.pk(Kind.REWRITE, id), "body")
        if item is None:
            raise NotFound(f"There is no rewrite {id[:80]!r}.")
        return item

    def page(self, tenant: Tenant, limit: int, cursor: str | None) -> tuple[list[Item], str | None]:
        return self.table.page(tenant.pk(Kind.REWRITE), limit, cursor)

    def cancel(self, tenant: Tenant, id: str) -> Item:
        """Called off: who works on it stops after the stretch in hand. Twice is once; Conflict where it has ended."""
        item = self.get(tenant, id)
        while not JobState(item["state"]).final:
            values = {"state": str(JobState.CANCELLED), "lease_until": 0, "concluded_at": stamp()}
            write = Write(
                "update", item["pk"], "body", values | {"updated_at": stamp()}, expect={"state": item["state"]}
            )
            try:
                return self.table.update(write, op=fresh_id("cancel-"))
            except Conflict:  # begun or ended meanwhile: a state only moves on, so this ends
                item = self.get(tenant, id)
        if item["state"] != JobState.CANCELLED:
            raise Conflict(f"Rewrite {id} is {item['state']}; nothing is left to be called off.")
        return item

    def result(self, tenant: Tenant, item: Item) -> tuple[dict[str, Any] | None, str | None]:
        """(the result where it is small, its link) of a completed job."""
        if item["state"] != JobState.COMPLETED:
            return None, None
        link = self.store.link(item["result_key"], LINK_S)
        return (self.store.get_json(item["result_key"]) if item["result_bytes"] <= INLINE_BYTES else None), link

    def problem(self, item: Item) -> tuple[dict[str, Any] | None, str | None]:
        """(why a failed job failed, the link where that is large): a draft that is too large is in the linked one."""
        if "problem_key" not in item:
            return item.get("problem"), None
        link = self.store.link(item["problem_key"], LINK_S)
        return (self.store.get_json(item["problem_key"]) if item["problem_bytes"] <= INLINE_BYTES else None), link

    # --- for who works --------------------------------------------------------------------------------------------
    def begin(self, tenant: Tenant, id: str) -> Item | None:
        """The job with a lease on it; None where it is done or was never there. Unavailable while another works."""
        item = self.table.get(tenant.pk(Kind.REWRITE, id), "body")
        if item is None or JobState(item["state"]).final:
            return None
        if item["lease_until"] > time.time():
            raise Unavailable(f"Rewrite {id} is being worked on by another.")
        values = {"state": str(JobState.RUNNING), "epoch": item["epoch"] + 1, "lease_until": _lease()}
        held = {"epoch": item["epoch"], "state": item["state"]}
        write = Write("update", item["pk"], "body", values, expect=held)
        try:
            return self.table.update(write, op=fresh_id("lease-"))
        except Conflict as error:
            raise Unavailable(f"Rewrite {id} was taken by another, or called off.") from error

    def order(self, item: Item) -> Order:
        return Order.load(self.store.get(item["order_key"], item["order_sha256"]))

    def plan(self, tenant: Tenant, id: str, order: Order) -> list[list[Section]]:
        """Made once and kept: who goes on with newer code cuts the text where the first one did."""
        key = self._key(tenant, id, "plan.json")
        try:
            return [[Section(**section) for section in stretch] for stretch in self.store.get_json(key)]
        except NotFound:
            plan = planned([text for _, text in order.texts])
            self._kept.put(key, orjson.dumps([[asdict(section) for section in stretch] for stretch in plan]))
            return plan

    def keep(self, tenant: Tenant, item: Item, number: int, answers: Sequence[Any], parts: int) -> Item:
        """A stretch's answers, then the progress that says so. Conflict where another took the job over."""
        self._kept.put(self._key(tenant, item["id"], f"{number:05}.json"), orjson.dumps(answers))
        step = min(item["progress"]["step"] + parts, item["progress"]["steps"])
        done = item["progress"] | {"step": step}
        return self._note(item, {"done": number + 1, "progress": done, "lease_until": _lease()})

    def kept(self, tenant: Tenant, id: str, count: int) -> list[Any]:
        found = (self.store.get(self._key(tenant, id, f"{number:05}.json")) for number in range(count))
        return [answer for raw in found for answer in orjson.loads(raw)]

    def go_on(self, tenant: Tenant, item: Item) -> None:
        """Give the lease back and let the queue bring the rest."""
        self._note(item, {"lease_until": 0})
        self.queue.send({"tenant": tenant.id, "id": item["id"]})

    def give_back(self, item: Item, error: MillraceError) -> None:
        try:
            self._note(item, {"lease_until": 0, "trouble": str(error)[:500]})
        except MillraceError:
            return  # it runs out by itself

    def complete(self, tenant: Tenant, item: Item, result: dict[str, Any]) -> None:
        raw = orjson.dumps(result)
        key = self._key(tenant, item["id"], "result.json")
        self._kept.put(key, raw, "application/json")
        progress = item["progress"] | {"step": item["progress"]["steps"]}
        self._end(item, JobState.COMPLETED, {"result_key": key, "result_bytes": len(raw), "progress": progress})

    def fail(self, tenant: Tenant, item: Item, problem: dict[str, Any]) -> None:
        """`problem` as a request would have been told it."""
        values: dict[str, Any] = {"error": problem["detail"], "problem": problem}
        raw = orjson.dumps(problem)
        if len(raw) > ITEM_BYTES:
            key = self._key(tenant, item["id"], "problem.json")
            self._kept.put(key, raw, "application/json")
            values = {"error": problem["detail"], "problem_key": key, "problem_bytes": len(raw)}
        self._end(item, JobState.FAILED, values)

    def _end(self, item: Item, state: JobState, values: dict[str, Any]) -> None:
        self._note(item, {"state": str(state), "lease_until": 0, "concluded_at": stamp(), **values})

    def _note(self, item: Item, values: dict[str, Any]) -> Item:
        holder = {"epoch": item["epoch"], "state": str(JobState.RUNNING)}
        values = {"updated_at": stamp(), **values}
        return self.table.update(Write("update", item["pk"], "body", values, expect=holder), op=fresh_id("rewrite-"))

    def _key(self, tenant: Tenant, id: str, name: str) -> str:
        return tenant.prefix("rewrites", id, name)


def check(order: Order) -> None:
    """InvalidInput or TooLarge for an order that cannot be one."""
    if not order.texts:
        raise InvalidInput(f"The batch is empty; send 1 to {MAX_TEXTS:,} texts.")
    if len(order.texts) > MAX_TEXTS:
        raise TooLarge(f"The batch has {len(order.texts):,} texts; at most {MAX_TEXTS:,} are taken.")
    if not order.batch and not order.texts[0][1].strip():
        raise InvalidInput("The text is empty; send the text to be humanized.")
    size = sum(_bytes(id, text) for id, text in order.texts)
    if size > MAX_BYTES:
        what = "texts have" if order.batch else "text has"
        raise TooLarge(f"The {what} {size:,} bytes; at most {MAX_BYTES:,} are taken at once. Send it in pieces.")


def _bytes(id: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"The text {id!r} holds an unpaired surrogate, which is not text; send valid UTF-8."
        ) from error


def caller_of(item: Item, tenant: str) -> Tenant:
    """Who ordered it, with the tier of that time."""
    return Tenant(tenant, Tier(item["tier"]), frozenset(Role(role) for role in item["roles"]))


def _lease() -> int:
    return int(time.time()) + LEASE_S


def _new(tenant: Tenant, id: str, order: Order, key: str, digest: str) -> Item:
    created = stamp()
    steps = sum(len(paragraphs.split(text)) for _, text in order.texts)
    return {
        "pk": tenant.pk(Kind.REWRITE, id),
        "sk": "body",
        "list_pk": tenant.pk(Kind.REWRITE),
        "list_sk": f"{created}#{id}",
        "id": id,
        "state": str(JobState.PENDING),
        "batch": order.batch,
        "texts": len(order.texts),
        "order_key": key,
        "order_sha256": digest,
        "tier": str(tenant.tier),
        "roles": sorted(map(str, tenant.roles)),
        "progress": {"step": 0, "steps": steps, "unit": "paragraphs"},
        "done": 0,
        "epoch": 0,
        "lease_until": 0,
        "created_at": created,
        "updated_at": created,
        "expires_at": int(time.time()) + KEPT_S,
    }
