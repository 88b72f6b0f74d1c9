"""The one DynamoDB table: typed reads, conditional writes that survive a lost reply, pages. AWS: DynamoDB.

Every conditional write carries an operation id in the item (`op`). Where the condition fails and the standing item
bears our own id, the write had won and only its reply was lost. A write that meets another's transaction is tried
again; DynamoDB's SDK does not do that.
"""

from __future__ import annotations

import base64
import json
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from . import aws
from .errors import Conflict, InvalidInput, MillraceError, Throttled

if TYPE_CHECKING:
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
_EXACT = 10**38
"""DynamoDB's numbers have 38 digits; boto3 says so of a longer one."""
_SMALLEST, _LARGEST = 1e-128, 1e125  # magnitudes that a DynamoDB number holds, with a margin
INSERTS = 25
"""Statements that one request may hold."""
_AGAIN = _CLASHES | {"InternalServerError"}

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def encode(item: Mapping[str, Any]) -> dict[str, Any]:
    """Python to DynamoDB's typed JSON. Floats become numbers by their shortest text; None is left out.

    So is what DynamoDB has no number for: NaN, infinities and 1e126; what is too small for it is 0.
    """
    return {k: typed for k, v in item.items() if (typed := {"S": v} if type(v) is str else _typed(v)) is not None}


def decode(raw: Mapping[str, Any]) -> Item:
    return {k: _plain(v) for k, v in raw.items()}


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
                **_update_arguments(write, op),
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
                except ClientError as error:
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
                    return found, None if last else _close_cursor({name: item[name] for name in _CURSOR})
            if following is None:
                return found, None
            cursor = following
        return found, cursor

    def _one_page(
        self, list_pk: str, limit: int, cursor: str | None, between: tuple[str, str] | None = None
    ) -> tuple[list[Item], str | None]:
        start = {"ExclusiveStartKey": encode(_open_cursor(cursor, list_pk))} if cursor else {}
        try:
            raw = self._page(list_pk, limit, start, between)
        except MillraceError as error:
            cause = error.__cause__
            if cursor and isinstance(cause, ClientError) and aws.code_of(cause) == "ValidationException":
                raise InvalidInput(_FOREIGN_CURSOR) from error
            raise
        last = raw.get("LastEvaluatedKey")
        return [decode(item) for item in raw["Items"]], _close_cursor(decode(last)) if last else None

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
        return _close_cursor({name: item[name] for name in _CURSOR})

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
            return {"Update": {"TableName": self.name, **_update_arguments(write, op)}}
        condition = _condition(write)
        if write.kind == "delete":
            key = encode({"pk": write.pk, "sk": write.sk})
            return {"Delete": {"TableName": self.name, "Key": key, **condition}}
        item = encode({**write.values, "pk": write.pk, "sk": write.sk, "op": op})
        return {"Put": {"TableName": self.name, "Item": item, **condition}}


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


def _condition(write: Write) -> dict[str, Any]:
    names: dict[str, str] = {}
    values: Item = {}
    parts = ["attribute_not_exists(pk)"] if write.new else []
    for number, (name, value) in enumerate(write.expect.items()):
        names[f"#e{number}"] = name
        if value is None:
            parts.append(f"attribute_not_exists(#e{number})")
        elif isinstance(value, (list, tuple)):
            keys = [f":e{number}_{i}" for i in range(len(value))]
            values |= dict(zip(keys, value, strict=True))
            parts.append(f"#e{number} IN ({', '.join(keys)})")
        else:
            values[f":e{number}"] = value
            parts.append(f"#e{number} = :e{number}")
    for number, (name, most) in enumerate(write.at_most.items()):
        names[f"#m{number}"] = name
        values[f":m{number}"] = most
        parts.append(f"(attribute_not_exists(#m{number}) OR #m{number} <= :m{number})")
    if not parts:
        return {}
    condition: dict[str, Any] = {"ConditionExpression": " AND ".join(parts)}
    if names:
        condition["ExpressionAttributeNames"] = names
    if values:
        condition["ExpressionAttributeValues"] = encode(values)
    return condition


def _update_arguments(write: Write, op: str) -> dict[str, Any]:
    arguments = _condition(write)
    names: dict[str, str] = dict(arguments.get("ExpressionAttributeNames", {}))
    values: dict[str, Any] = dict(arguments.get("ExpressionAttributeValues", {}))
    sets, removes, adds = [], [], []
    for number, (name, value) in enumerate({**write.values, "op": op}.items()):
        names[f"#s{number}"] = name
        if value is None:
            removes.append(f"#s{number}")
            continue
        values |= encode({f":s{number}": value})
        sets.append(f"#s{number} = :s{number}")
    for number, (name, amount) in enumerate(write.add.items()):
        names[f"#a{number}"] = name
        values |= encode({f":a{number}": amount})
        adds.append(f"#a{number} :a{number}")
    clauses = [("SET", sets), ("REMOVE", removes), ("ADD", adds)]
    return arguments | {
        "Key": encode({"pk": write.pk, "sk": write.sk}),
        "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


_CURSOR = ("pk", "sk", "list_pk", "list_sk")
_FOREIGN_CURSOR = "That cursor is not one of this list; begin again without it."


def cursor_at(item: Item) -> str:
    """The cursor of a list's page that begins after this item of it."""
    return _close_cursor({name: item[name] for name in _CURSOR})


def _close_cursor(key: Item) -> str:
    return base64.urlsafe_b64encode(json.dumps(key, sort_keys=True).encode()).decode().rstrip("=")


def _open_cursor(cursor: str, list_pk: str) -> Item:
    """A cursor moves within its own list and nowhere else."""
    try:
        key: Item = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        good = set(key) == set(_CURSOR) and all(isinstance(v, str) and v for v in key.values())
    except (ValueError, TypeError, AttributeError, RecursionError):
        good = False
    if not good or key["list_pk"] != list_pk or not key["pk"].startswith(f"{list_pk.partition('#')[0]}#"):
        raise InvalidInput(_FOREIGN_CURSOR)
    try:
        json.dumps(key, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(_FOREIGN_CURSOR) from error
    return key


def _typed(value: Any) -> dict[str, Any] | None:
    """One value in DynamoDB's types, None where it is left out. What is common is written here, ten times as fast as by
    boto3, which writes the rest."""
    kind = type(value)
    if kind is str:
        return {"S": value}
    if value is None:
        return None
    if kind is bool:
        return {"BOOL": value}
    if kind is int and -_EXACT < value < _EXACT:
        return {"N": str(value)}
    if kind is float:
        return _number(value)
    if kind is dict:
        return {"M": encode(value)}
    if kind is list or kind is tuple:
        return {"L": [_typed(v) or {"NULL": True} for v in value]}
    if isinstance(value, str):  # a member of an enum
        return {"S": str(value)}
    if isinstance(value, Mapping):
        return {"M": encode(value)}
    return cast("dict[str, Any]", _serialize(value))


def _number(value: float) -> dict[str, Any] | None:
    if not math.isfinite(value) or abs(value) > _LARGEST:
        return None
    text = repr(value) if abs(value) > _SMALLEST else "0.0"
    return {"N": str(Decimal(text)) if "e" in text else text}


def _plain(typed: Any) -> Any:
    """One typed value. What is common is read here, twice as fast as by boto3, which reads the rest."""
    ((kind, value),) = typed.items()
    if kind in ("S", "BOOL"):
        return value
    if kind == "N":
        return int(value) if value.isdecimal() else _from_decimal(Decimal(value))
    if kind == "M":
        return {k: _plain(v) for k, v in value.items()}
    if kind == "L":
        return [_plain(v) for v in value]
    return _from_decimal(_deserialize(typed))


def _from_decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {k: _from_decimal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_from_decimal(v) for v in value]
    return value
