"""The one DynamoDB table: typed reads, conditional writes that survive a lost reply, pages. AWS: DynamoDB.

Every conditional write carries an operation id in the item (`op`). Where the condition fails and the standing item
bears our own id, the write had won and only its reply was lost. A write that meets another's transaction is tried
again; DynamoDB's SDK does not do that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from . import aws
from .errors import Conflict, InvalidInput, MillraceError, Throttled
from .expressions import condition, update_arguments
from .listing import FOREIGN, cursor_at, opened_cursor
from .typed import decode, encode

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
INDEX = "by_time"
MAX_PAGE = 100
_WHOLE_PAGE = 1_000
MAX_LOOKED = 1000
"""Items that one page of a filtered list looks at."""
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Upper ends of the pauses after a clash with another transaction; with full jitter."""
_CLASHES = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"}
INSERTS = 25
"""Statements that one request may hold."""
_AGAIN = _CLASHES | {"InternalServerError"}


@dataclass(frozen=True)
class Write:
    """One part of a transaction: a put, an update or a delete with its condition.

    `expect` names attributes and the values they must have; None means the attribute must be absent.
    """

    kind: Literal["put", "update", "delete"]
    pk: str
    sk: str
    values: Mapping[str, Any] = field(default_factory=dict)
    add: Mapping[str, int | float] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)
    new: bool = False
    """The item must not exist yet."""
    at_most: Mapping[str, int | float] = field(default_factory=dict)
    """Attributes that must be absent or no larger than this."""


@dataclass(frozen=True)
class Table:
    client: DynamoDBClient
    name: str
    pause: Callable[[float], None] = time.sleep

    def get(self, pk: str, sk: str) -> Item | None:
        with aws.mapped(f"Reading {pk}"):
            raw = self.client.get_item(TableName=self.name, Key=encode({"pk": pk, "sk": sk}), ConsistentRead=True)
        return decode(raw["Item"]) if "Item" in raw else None

    def put(self, item: Item) -> None:
        with aws.mapped(f"Writing {item['pk']}"):
            self.client.put_item(TableName=self.name, Item=encode(item))

    def put_new(self, item: Item) -> Item:
        """Put unless something stands there; returns what stands afterwards, ours or the earlier one."""
        try:
            self._write(
                f"Writing {item['pk']}",
                self.client.put_item,
                TableName=self.name,
                Item=encode(item),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _Standing as standing:
            return standing.item or self.get(item["pk"], item["sk"]) or item
        return item

    def insert_all(self, items: Sequence[Item], proof: str) -> list[bool]:
        """Put each unless something stands there; whether what stands afterwards has the item's own value of `proof`.

        As `put_new`, INSERTS in a request: a PartiQL INSERT is refused where the key is taken, each for itself, and
        BatchWriteItem knows no conditions. No two of the items may have one key.
        """
        parts = [items[first : first + INSERTS] for first in range(0, len(items), INSERTS)]
        answers = self._answers([_insertion(self.name, item) for item in part] for part in parts)
        ours: list[bool] = []
        for part, told in zip(parts, answers, strict=True):
            ours += self._ours(part, self._taken(part, told), proof)
        return ours

    def _answers(self, batches: Iterable[list[Any]]) -> Iterator[list[Any]]:
        """Of each batch of statements; several are under way at once where the client can do that."""
        several = getattr(self.client, "execute_batches", None)
        with aws.mapped("Writing items"):
            if several:
                yield from (reply["Responses"] for reply in several(batches))
            else:
                for batch in batches:
                    yield self.client.batch_execute_statement(Statements=batch)["Responses"]

    def _taken(self, items: Sequence[Item], answers: list[Any]) -> list[Item]:
        """Those of the items whose keys were taken; what met other writers is put again until it is decided."""
        taken: list[Item] = []
        for pause_s in _PAUSES_S:
            codes = [_error_of(answer) for answer in answers]
            if not any(codes):
                return taken
            taken += [item for item, code in zip(items, codes, strict=True) if code == "DuplicateItem"]
            items = [item for item, code in zip(items, codes, strict=True) if code in _AGAIN]
            if not items:
                return taken
            self.pause(random.uniform(0, pause_s))  # noqa: S311 - jitter, not a secret
            (answers,) = self._answers([[_insertion(self.name, item) for item in items]])
        raise Throttled(f"Writing {len(items)} items met other writers {len(_PAUSES_S)} times in a row.")

    def _ours(self, items: Sequence[Item], taken: Sequence[Item], proof: str) -> list[bool]:
        """Also of those that were taken some are ours: written by a call whose reply was lost, or by an earlier try."""
        if not taken:
            return [True] * len(items)
        standing = self.get_all([(item["pk"], item["sk"]) for item in taken], (proof,))
        return [standing.get((item["pk"], item["sk"]), item).get(proof) == item[proof] for item in items]

    def get_all(self, keys: Sequence[tuple[str, str]], names: Sequence[str]) -> dict[tuple[str, str], Item]:
        """The named attributes of up to 100 items, by (pk, sk); those that are not there are not in it."""
        found: dict[tuple[str, str], Item] = {}
        aliases = {f"#{number}": name for number, name in enumerate(dict.fromkeys(("pk", "sk", *names)))}
        asked: Any = [encode({"pk": pk, "sk": sk}) for pk, sk in keys]
        for pause_s in _PAUSES_S:
            if not asked:
                return found
            what = {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": aliases}
            with aws.mapped(f"Reading {len(asked)} items"):
                request: Any = {self.name: {"Keys": asked, "ConsistentRead": True, **what}}
                raw = self.client.batch_get_item(RequestItems=request)
            items = [decode(item) for item in raw["Responses"].get(self.name, [])]
            found |= {(item["pk"], item["sk"]): item for item in items}
            put_off: Any = raw.get("UnprocessedKeys", {})
            asked = put_off.get(self.name, {}).get("Keys", [])
            if asked:
                self.pause(random.uniform(0, pause_s))  # noqa: S311 - jitter, not a secret
        if asked:
            raise Throttled(f"Reading {len(asked)} items was put off {len(_PAUSES_S)} times in a row.")
        return found

    def update(self, write: Write, op: str) -> Item:
        """Apply one conditional update; the item afterwards. Conflict where the condition does not hold."""
        try:
            raw = self._write(
                f"Updating {write.pk}",
                self.client.update_item,
                TableName=self.name,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **update_arguments(write, op),
            )
        except _Standing as standing:
            item = standing.item or self.get(write.pk, write.sk) or {}
            if item.get("op") == op:
                return item
            raise _changed(write) from standing
        return decode(raw["Attributes"])

    def transact(self, writes: Sequence[Write], op: str) -> None:
        """All or nothing. Conflict where a condition does not hold; a repeat with the same `op` is a success."""
        items: list[Any] = [self._part(write, op) for write in writes]
        try:
            self._write("A transaction", self.client.transact_write_items, TransactItems=items)
        except _Standing as standing:
            first = self.get(writes[0].pk, writes[0].sk)
            if first is not None and first.get("op") == op:
                return
            raise _changed(writes[0]) from standing

    def _write(self, what: str, call: Callable[..., Any], **arguments: Any) -> Any:
        """One write. _Standing where its condition fails; Throttled where others' transactions keep it out."""
        for pause_s in _PAUSES_S:
            with aws.mapped(what):
                try:
                    return call(**arguments)
                except aws.refusals() as error:
                    if _refused(error):
                        raise _Standing(error) from error
                    if not _clashed(error):
                        raise
            self.pause(random.uniform(0, pause_s))  # noqa: S311 - jitter, not a secret
        raise Throttled(f"{what} met other writers {len(_PAUSES_S)} times in a row.")

    def query(self, pk: str, limit: int = 1000) -> list[Item]:
        """Every item of one partition, up to `limit`."""
        items: list[Item] = []
        start: dict[str, Any] = {}
        while len(items) < limit:
            with aws.mapped(f"Reading {pk}"):
                raw = self.client.query(
                    TableName=self.name,
                    KeyConditionExpression="pk = :pk",
                    ExpressionAttributeValues=encode({":pk": pk}),
                    ConsistentRead=True,
                    **start,
                )
            items += [decode(item) for item in raw["Items"]]
            if "LastEvaluatedKey" not in raw:
                break
            start = {"ExclusiveStartKey": raw["LastEvaluatedKey"]}
        return items[:limit]

    def between(self, pk: str, first: str, last: str, limit: int = 1000) -> list[Item]:
        """Items of one partition whose sort keys lie from `first` to `last`, in their order."""
        items: list[Item] = []
        start: dict[str, Any] = {}
        while len(items) < limit:
            with aws.mapped(f"Reading {pk}"):
                raw = self.client.query(
                    TableName=self.name,
                    KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
                    ExpressionAttributeValues=encode({":pk": pk, ":first": first, ":last": last}),
                    ConsistentRead=True,
                    Limit=limit - len(items),
                    **start,
                )
            items += [decode(item) for item in raw["Items"]]
            if "LastEvaluatedKey" not in raw:
                break
            start = {"ExclusiveStartKey": raw["LastEvaluatedKey"]}
        return items

    def page(
        self,
        list_pk: str,
        limit: int,
        cursor: str | None = None,
        wanted: Mapping[str, str] | None = None,
        between: tuple[str, str] | None = None,
    ) -> tuple[list[Item], str | None]:
        """One page of a list, newest first, and the cursor of the next. `wanted`: values that the items must have.
        `between`: least and greatest list_sk.

        A page of wanted items looks at up to MAX_LOOKED items and may be short, even empty, with a cursor.
        """
        limit = max(1, min(limit, MAX_PAGE))
        if not wanted:
            return self._one_page(list_pk, limit, cursor, between)
        found: list[Item] = []
        for _ in range(MAX_LOOKED // MAX_PAGE):
            items, following = self._one_page(list_pk, MAX_PAGE, cursor, between)
            for item in items:
                if all(item.get(name) == value for name, value in wanted.items()):
                    found.append(item)
                if len(found) == limit:
                    last = following is None and item is items[-1]
                    return found, None if last else cursor_at(item)
            if following is None:
                return found, None
            cursor = following
        return found, cursor

    def _one_page(
        self, list_pk: str, limit: int, cursor: str | None, between: tuple[str, str] | None = None
    ) -> tuple[list[Item], str | None]:
        start = {"ExclusiveStartKey": encode(opened_cursor(cursor, list_pk))} if cursor else {}
        try:
            raw = self._page(list_pk, limit, start, between)
        except MillraceError as error:
            cause = error.__cause__
            if cursor and isinstance(cause, aws.refusals()) and aws.code_of(cause) == "ValidationException":
                raise InvalidInput(FOREIGN) from error
            raise
        last = raw.get("LastEvaluatedKey")
        return [decode(item) for item in raw["Items"]], cursor_at(decode(last)) if last else None

    def _page(self, list_pk: str, limit: int, start: Mapping[str, Any], between: tuple[str, str] | None) -> Any:
        ends = {":first": between[0], ":last": between[1]} if between else {}
        with aws.mapped(f"Listing {list_pk}"):
            return self.client.query(
                TableName=self.name,
                IndexName=INDEX,
                KeyConditionExpression="list_pk = :pk" + (" AND list_sk BETWEEN :first AND :last" if between else ""),
                ExpressionAttributeValues=encode({":pk": list_pk, **ends}),
                ScanIndexForward=False,
                Limit=limit,
                **start,
            )

    def newest(self, pk: str, limit: int, before: str | None = None) -> list[Item]:
        """Items of one partition by falling sk, from under `before` on."""
        with aws.mapped(f"Reading {pk}"):
            raw = self.client.query(
                TableName=self.name,
                KeyConditionExpression="pk = :pk" + (" AND sk < :before" if before else ""),
                ExpressionAttributeValues=encode({":pk": pk, ":before": before}),
                ScanIndexForward=False,
                Limit=limit,
            )
        return [decode(item) for item in raw["Items"]]

    @staticmethod
    def cursor_of(item: Mapping[str, Any]) -> str:
        """The cursor of what comes after an item of a list."""
        return cursor_at(item)

    def delete(self, pk: str, sk: str) -> None:
        with aws.mapped(f"Deleting {pk}"):
            self.client.delete_item(TableName=self.name, Key=encode({"pk": pk, "sk": sk}))

    def all(self, list_pk: str) -> list[Item]:
        """A whole list, newest first. For snapshots and tools, never for a request."""
        return [item for page in self.pages(list_pk) for item in page]

    def pages(self, list_pk: str, between: tuple[str, str] | None = None) -> Iterator[list[Item]]:
        """The same as it comes: what one call gives, up to 1 MB and _WHOLE_PAGE items."""
        cursor = None
        while True:
            items, cursor = self._one_page(list_pk, _WHOLE_PAGE, cursor, between)
            yield items
            if cursor is None:
                return

    def _part(self, write: Write, op: str) -> dict[str, Any]:
        if write.kind == "update":
            return {"Update": {"TableName": self.name, **update_arguments(write, op)}}
        held = condition(write)
        if write.kind == "delete":
            key = encode({"pk": write.pk, "sk": write.sk})
            return {"Delete": {"TableName": self.name, "Key": key, **held}}
        item = encode({**write.values, "pk": write.pk, "sk": write.sk, "op": op})
        return {"Put": {"TableName": self.name, "Item": item, **held}}


def _insertion(table: str, item: Item) -> Any:
    typed = encode(item)
    return {"Statement": _insert_statement(table, tuple(typed)), "Parameters": list(typed.values())}


def _error_of(answer: Mapping[str, Any]) -> str:
    """The code of an answer that went wrong in a way that its sender deals with, or nothing."""
    error = answer.get("Error")
    if error is None or error["Code"] in _AGAIN or error["Code"] == "DuplicateItem":
        return error["Code"] if error else ""
    raise MillraceError(f"An item was refused with {error['Code']}: {error.get('Message', '')}")


@cache
def _insert_statement(table: str, names: tuple[str, ...]) -> str:
    return f"""INSERT INTO "{table}" VALUE {{{", ".join(f"'{name}': ?" for name in names)}}}"""


def _refused(error: ClientError) -> bool:
    """Whether a condition failed. A cancelled transaction tells its reasons; without them it counts as refused."""
    code = aws.code_of(error)
    return code == "ConditionalCheckFailedException" or (
        code == "TransactionCanceledException" and _reasons(error) & {"ConditionalCheckFailed"} != set()
    )


def _clashed(error: ClientError) -> bool:
    code = aws.code_of(error)
    return code == "TransactionConflictException" or (
        code == "TransactionCanceledException" and _reasons(error) <= _CLASHES
    )


def _reasons(error: ClientError) -> set[str]:
    told: Any = error.response.get("CancellationReasons")
    codes = {str(reason.get("Code")) for reason in told or [{"Code": "ConditionalCheckFailed"}]}
    return codes - {"None"}


def _changed(write: Write) -> Conflict:
    _, _, thing = write.pk.partition("#")
    return Conflict(f"{thing.replace('#', ' ')} was changed by somebody else meanwhile; look at it and ask again.")


class _Standing(Exception):
    """A condition failed; `item` is what stood there, when DynamoDB said it."""

    def __init__(self, error: ClientError) -> None:
        raw = error.response.get("Item") or {}
        self.item: Item = decode(raw) if isinstance(raw, dict) else {}
        super().__init__(str(error))
