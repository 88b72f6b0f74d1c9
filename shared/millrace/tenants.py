"""Who a thing belongs to, and the only way to build a key. Pure.

Grammar of the one table: `pk = <owner>#<kind>[#<id>]`, `sk` says which item of the thing (`body`, `state`, ...).
Lists go through the index `by_time`: `list_pk = <owner>#<kind>`, `list_sk = <RFC 3339 time>#<id>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .contract import DROP_PREFIX, SYSTEM, TENANT_PATTERN, TENANTS_PREFIX, Tier
from .errors import InvalidInput

MAX_ID = 256
"""Characters; far under what a key of DynamoDB holds, and over any id of ours."""


class Kind(StrEnum):
    """The nouns that have items in the table."""

    DATA_POINT = "datapoint"
    SNAPSHOT = "snapshot"
    DROP = "drop"
    JOB = "job"
    ACTIVE_JOB = "active-job"
    JOB_OWNER = "job-owner"
    JOB_LOG = "job-log"
    JOB_TURN = "job-turn"
    JOB_BUDGET = "job-budget"
    FILE = "file"
    MODEL = "model"
    POLICY = "policy"
    CATALOGUE = "catalogue"
    API_KEY = "api-key"
    TENANT = "tenant"
    USAGE = "usage"
    ROUTING = "routing"
    BREAKER = "breaker"
    AUDIT = "audit"
    IDEMPOTENCY = "idempotency"
    VOICE = "voice"
    FEEDBACK = "feedback"
    """The list of the data points that somebody said something about."""
    WORD = "word"
    """A word, and which data points bear it."""
    NEAR = "near"
    """A band of a text's signature, and the first data point that had it."""
    STATS = "datapoint-stats"
    EXPORT = "export"
    REWRITE = "rewrite"
    DATASET = "dataset"
    ACTIVE_DATASET = "active-dataset"


class Role(StrEnum):
    READER = "reader"
    EDITOR = "editor"
    OPERATOR = "operator"
    CLINICIAN = "clinician"


def _pk(owner: str, kind: Kind, id: str | None) -> str:
    if id is not None and ("#" in id or not 0 < len(id) <= MAX_ID):
        raise InvalidInput(f"An id has 1 to {MAX_ID} characters and never a '#', not {id[:80]!r}.")
    return f"{owner}#{kind}" if id is None else f"{owner}#{kind}#{id}"


@dataclass(frozen=True)
class Tenant:
    """A verified caller's tenant. Holding one is the permission to build its keys."""

    id: str
    tier: Tier = Tier.FREE
    roles: frozenset[Role] = frozenset(Role)

    def __post_init__(self) -> None:
        if not TENANT_PATTERN.fullmatch(self.id):
            raise InvalidInput(f"A tenant is 3 to 32 of a-z, 0-9 and '-', beginning with a letter, not {self.id!r}.")

    def pk(self, kind: Kind, id: str | None = None) -> str:
        """Partition key of a thing of this tenant, or of the list of its kind."""
        return _pk(self.id, kind, id)

    def prefix(self, *parts: str) -> str:
        """S3 key below this tenant's folder: tenants/<tenant>/<parts...>."""
        if any(not part or part in (".", "..") or "/" in part for part in parts):
            raise InvalidInput(f"Not a path below a tenant: {parts!r}.")
        return TENANTS_PREFIX + "/".join((self.id, *parts))

    @property
    def drop_prefix(self) -> str:
        return f"{DROP_PREFIX}{self.id}/"


def system_pk(kind: Kind, id: str | None = None) -> str:
    """Partition key of what belongs to nobody."""
    return _pk(SYSTEM, kind, id)


def of_drop_key(key: str) -> Tenant:
    """The tenant whose drop folder an object key lies in. The bucket policy decides who may write there."""
    if not key.startswith(DROP_PREFIX) or "/" not in key.removeprefix(DROP_PREFIX):
        raise InvalidInput(f"{key!r} does not lie under {DROP_PREFIX}<tenant>/.")
    return Tenant(key.removeprefix(DROP_PREFIX).split("/", 1)[0])
