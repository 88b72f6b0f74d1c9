"""One effect for one Idempotency-Key, however often a request comes. AWS: DynamoDB, S3.

The first request under a key claims it, with a lease and an epoch; its reply is kept for a day and told again to every
repeat. While it is at work a repeat is a Conflict; a claim whose worker is gone runs out. Another request under the
same key is InvalidInput: it was meant for something else. Keys of one tenant mean nothing to another.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .artifacts import KEPT_DAYS, Store
from .clock import fresh_id
from .errors import Conflict, InvalidInput, MillraceError
from .table import Item, Table, Write
from .tenants import Kind, Tenant

LEASE_S = 150
"""Longer than any request takes; a streamed answer may take 120 seconds."""
KEPT_S = 86_400
INLINE_BYTES = 100_000
"""A larger reply lies in S3; an item holds 400 KB."""
MAX_KEY = 255
_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY}}}")
_WORKING, _DONE, _FREE = "working", "done", "free"


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """Leave to do it, to be given back with the reply or without one."""

    tenant: Tenant
    pk: str
    epoch: int


@dataclass(frozen=True)
class Idempotency:
    table: Table
    store: Store
    clock: Callable[[], float] = time.time

    def begin(self, tenant: Tenant, key: str, fingerprint: str) -> Claim | Reply:
        """The reply that this key has, or leave to make one. Conflict while another request makes it."""
        if not _KEY.fullmatch(key):
            raise InvalidInput(f"An Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters and no space.")
        pk = tenant.pk(Kind.IDEMPOTENCY, hashlib.sha256(key.encode()).hexdigest())
        claim = fresh_id("cl")
        item = self.table.put_new(self._working(fingerprint, 1) | {"pk": pk, "sk": "body", "claim": claim})
        if item.get("claim") == claim:
            return Claim(tenant, pk, 1)
        over = item["expires_at"] <= self.clock() or item["state"] == _FREE
        if not over and item["fingerprint"] != fingerprint:
            raise InvalidInput("This Idempotency-Key was used for another request; use a new one for this.")
        if not over and item["state"] == _DONE:
            return self._reply(item)
        if not over and item["lease_until"] > self.clock():
            raise Conflict("A request with this Idempotency-Key is still being answered; ask again in a moment.")
        values = self._working(fingerprint, item["epoch"] + 1)
        write = Write("update", pk, "body", values, expect={"epoch": item["epoch"], "state": item["state"]})
        try:
            taken = self.table.update(write, op=claim)
        except Conflict as error:
            raise Conflict("Another request with this Idempotency-Key came first; ask again in a moment.") from error
        return Claim(tenant, pk, taken["epoch"])

    def finish(self, claim: Claim, reply: Reply) -> None:
        """Keep the reply, in place of one that the key had before.

        It is on its way already: what goes wrong here is nobody's error.
        """
        values: dict[str, object] = {"state": _DONE, "status": reply.status, "headers": reply.headers}
        values |= {"reply": None, "body_sha256": None}
        try:
            if len(reply.body) > INLINE_BYTES:
                name = hashlib.sha256(reply.body).hexdigest()
                self.store.keeping(KEPT_DAYS[0]).put(claim.tenant.prefix("replies", name), reply.body)
                values |= {"body_sha256": name}
            else:
                values |= {"reply": reply.body}
            self._end(claim, values)
        except MillraceError:
            return

    def release(self, claim: Claim) -> None:
        """Nothing came of it: the next request under this key is a first one again."""
        try:
            self._end(claim, {"state": _FREE})
        except MillraceError:
            return  # the lease runs out

    def _end(self, claim: Claim, values: dict[str, object]) -> None:
        expect = {"epoch": claim.epoch, "state": _WORKING}
        self.table.update(Write("update", claim.pk, "body", values, expect=expect), op=fresh_id("once-"))

    def _working(self, fingerprint: str, epoch: int) -> Item:
        now = int(self.clock())
        return {
            "fingerprint": fingerprint,
            "state": _WORKING,
            "epoch": epoch,
            "lease_until": now + LEASE_S,
            "expires_at": now + KEPT_S,
        }

    def _reply(self, item: Item) -> Reply:
        if "body_sha256" in item:
            tenant = Tenant(item["pk"].split("#", 1)[0])
            body = self.store.get(tenant.prefix("replies", item["body_sha256"]), item["body_sha256"])
        else:
            body = bytes(item.get("reply", b""))
        return Reply(item["status"], body, item["headers"])


def fingerprint(*parts: bytes) -> str:
    """Of a request: its method, its path, its body."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
