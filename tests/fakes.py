"""AWS in memory, for properties that need many thousand calls: the table, objects, executions and endpoints.

The fakes speak the calls that the domain makes and nothing else; `tests/millrace/test_table.py` holds the table
against moto. `Faulty` stands before any client and makes chosen calls go wrong in the four ways that AWS knows.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, Literal

import boto3
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import settings
from millrace.admission import Admission, Limits
from millrace.artifacts import Store
from millrace.corpus import Corpus
from millrace.events import Events
from millrace.intake import Intake
from millrace.joblog import JobLog
from millrace.jobs import Jobs
from millrace.queues import Queue
from millrace.registry import Registry
from millrace.rewrites import Rewrites
from millrace.table import Table
from millrace.training import Training

LONG = int(os.environ.get("MILLRACE_LONG", "0"))
"""0: the quick form of the long properties; n: n times ten as many examples."""
PREFIX = "millrace-test"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:train"
Raw = dict[str, Any]
Fault = Literal["throttle", "timeout", "lost", "twice", "error", "crash"]
FAULTS: tuple[Fault, ...] = ("throttle", "timeout", "lost", "twice", "error")
"""lost: done, and the reply never came. twice: the SDK tried again after a lost reply and got the second reply."""


def examples(quick: int) -> settings:
    """Hypothesis settings for a property of so many examples in its quick form."""
    return settings(max_examples=quick * (10 * LONG if LONG else 1))


class Crash(BaseException):
    """The process is gone: nothing may catch this."""


@cache
def exceptions_of(service: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    return boto3.client(service, **keys).exceptions  # type: ignore[call-overload]


def client_error(code: str, status: int = 400, message: str = "told by the fake", **more: Any) -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(response, "Operation")  # type: ignore[arg-type]


class FakeDynamo:
    """One table with pk, sk and the index by_time; every call is atomic."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Raw] = {}
        self.exceptions = exceptions_of("dynamodb")
        self._lock = threading.RLock()

    def get_item(self, *, Key: Raw, **_: Any) -> Raw:
        with self._lock:
            item = self.items.get(_key(Key))
            return {"Item": deepcopy(item)} if item else {}

    def put_item(self, *, Item: Raw, **arguments: Any) -> Raw:
        with self._lock:
            self._check(Item, arguments)
            self.items[_key(Item)] = deepcopy(Item)
            return {}

    def update_item(self, *, Key: Raw, **arguments: Any) -> Raw:
        with self._lock:
            self._check(Key, arguments)
            return {"Attributes": deepcopy(self._update(Key, arguments))}

    def transact_write_items(self, *, TransactItems: list[Raw], **_: Any) -> Raw:
        with self._lock:
            parts = [next(iter(part.items())) for part in TransactItems]
            keys = [_key(a["Item"] if kind == "Put" else a["Key"]) for kind, a in parts]
            assert len(set(keys)) == len(keys), "DynamoDB refuses two operations on one item"
            good = [_holds(self.items.get(key), a) for key, (_, a) in zip(keys, parts, strict=True)]
            if not all(good):
                reasons = [{"Code": "None" if fine else "ConditionalCheckFailed"} for fine in good]
                raise self._error("TransactionCanceledException", CancellationReasons=reasons)
            for key, (kind, arguments) in zip(keys, parts, strict=True):
                if kind == "Put":
                    self.items[key] = deepcopy(arguments["Item"])
                elif kind == "Delete":
                    self.items.pop(key, None)
                else:
                    self._update(arguments["Key"], arguments)
            return {}

    def batch_execute_statement(self, *, Statements: list[Raw]) -> Raw:
        """INSERTs only: each for itself, refused where its key is taken."""
        assert 0 < len(Statements) <= 25
        with self._lock:
            return {"Responses": [self._inserted(statement) for statement in Statements]}

    def _inserted(self, statement: Raw) -> Raw:
        names = re.findall(r"'(\w+)': \?", statement["Statement"])
        item = dict(zip(names, statement["Parameters"], strict=True))
        if _key(item) in self.items:
            return {"TableName": "table", "Error": {"Code": "DuplicateItem", "Message": "told by the fake"}}
        self.items[_key(item)] = deepcopy(item)
        return {"TableName": "table"}

    def batch_get_item(self, *, RequestItems: dict[str, Raw]) -> Raw:
        ((table, asked),) = RequestItems.items()
        assert 0 < len(asked["Keys"]) <= 100
        names = [asked["ExpressionAttributeNames"][alias] for alias in asked["ProjectionExpression"].split(", ")]
        with self._lock:
            found = [self.items[_key(key)] for key in asked["Keys"] if _key(key) in self.items]
            items = [{name: deepcopy(item[name]) for name in names if name in item} for item in found]
        return {"Responses": {table: items}}

    def query(self, *, ExpressionAttributeValues: Raw, IndexName: str = "", **arguments: Any) -> Raw:
        owner, forward = ExpressionAttributeValues[":pk"]["S"], arguments.get("ScanIndexForward", True)
        names = ("list_pk", "list_sk", "pk", "sk") if IndexName else ("pk", "sk")
        first, last = (ExpressionAttributeValues.get(name, {}).get("S") for name in (":first", ":last"))
        with self._lock:
            rows = [i for i in self.items.values() if i.get(names[0], {}).get("S") == owner]
        if "BETWEEN" in arguments.get("KeyConditionExpression", ""):
            if first > last:
                raise client_error("ValidationException", message="The BETWEEN operator requires first <= last")
            rows = [row for row in rows if first <= row[names[1]]["S"] <= last]
        if ":before" in ExpressionAttributeValues:
            rows = [row for row in rows if row[names[1]]["S"] < ExpressionAttributeValues[":before"]["S"]]

        def place(item: Raw) -> tuple[str, ...]:
            return tuple(item[name]["S"] for name in names)

        rows.sort(key=place, reverse=not forward)
        if start := arguments.get("ExclusiveStartKey"):
            after = place(start)
            rows = [row for row in rows if (place(row) > after) == forward and place(row) != after]
        limit = arguments.get("Limit", 1000)
        more = {"LastEvaluatedKey": {n: rows[limit - 1][n] for n in names}} if len(rows) > limit else {}
        return {"Items": deepcopy(rows[:limit]), **more}

    def _check(self, key: Raw, arguments: Mapping[str, Any]) -> None:
        standing = self.items.get(_key(key))
        if not _holds(standing, arguments):
            raise self._error("ConditionalCheckFailedException", **({"Item": deepcopy(standing)} if standing else {}))

    def _error(self, name: str, **more: Any) -> ClientError:
        response = {"Error": {"Code": name, "Message": "told by the fake"}, **more}
        error: ClientError = getattr(self.exceptions, name)(response, "Operation")
        return error

    def _update(self, key: Raw, arguments: Mapping[str, Any]) -> Raw:
        item = self.items.setdefault(_key(key), deepcopy(key))
        names, values = arguments["ExpressionAttributeNames"], arguments["ExpressionAttributeValues"]
        for verb, body in re.findall(
            r"(SET|REMOVE|ADD) (.*?)(?= SET | REMOVE | ADD |$)", arguments["UpdateExpression"]
        ):
            for part in body.split(", "):
                words = part.replace(" = ", " ").split()
                name = names[words[0]]
                if verb == "SET":
                    item[name] = deepcopy(values[words[1]])
                elif verb == "REMOVE":
                    item.pop(name, None)
                else:
                    item[name] = {"N": str(int(item.get(name, {"N": "0"})["N"]) + int(values[words[1]]["N"]))}
        return item


def _key(raw: Raw) -> tuple[str, str]:
    return raw["pk"]["S"], raw["sk"]["S"]


def _holds(item: Raw | None, arguments: Mapping[str, Any]) -> bool:
    names = arguments.get("ExpressionAttributeNames", {})
    values = arguments.get("ExpressionAttributeValues", {})
    return all(_true(item or {}, part, names, values) for part in _parts(arguments.get("ConditionExpression")))


def _parts(condition: str | None) -> list[str]:
    return condition.split(" AND ") if condition else []


def _true(item: Raw, part: str, names: Mapping[str, str], values: Raw) -> bool:
    if found := re.fullmatch(r"attribute_not_exists\((\S+)\)", part):
        return names.get(found[1], found[1]) not in item
    if found := re.fullmatch(r"(\S+) = (\S+)", part):
        return item.get(names[found[1]]) == values[found[2]]
    if found := re.fullmatch(r"(\S+) IN \((.*)\)", part):
        return item.get(names[found[1]]) in [values[name] for name in found[2].split(", ")]
    if found := re.fullmatch(r"\(attribute_not_exists\((\S+)\) OR \1 <= (\S+)\)", part):
        return names[found[1]] not in item or Decimal(item[names[found[1]]]["N"]) <= Decimal(values[found[2]]["N"])
    raise AssertionError(f"the fake does not know the condition {part!r}")


class FakeS3:
    """Objects by bucket, key and version."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.tags: dict[str, str] = {}
        """By key, as they were written."""
        self._lock = threading.Lock()

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, Tagging: str = "", **_: Any) -> Raw:
        with self._lock:
            self.tags[Key] = Tagging or self.tags.get(Key, "")
            versions = self.objects.setdefault((Bucket, Key), [])
            version = hashlib.sha256(f"{Bucket}{Key}{len(versions)}".encode()).hexdigest()[:16]
            versions.append((version, bytes(Body)))
        return {"VersionId": version}

    def get_object(self, *, Bucket: str, Key: str, VersionId: str = "", Range: str = "", **_: Any) -> Raw:
        body = self._find(Bucket, Key, VersionId)
        if not Range:
            return {"ContentLength": len(body), "Body": _Body(body)}
        first, _, last = Range.removeprefix("bytes=").partition("-")
        part = body[int(first) : int(last) + 1]
        if not part:
            raise client_error("InvalidRange", 416)
        told = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
        return {"ContentLength": len(part), "ContentRange": told, "Body": _Body(part)}

    def delete_object(self, *, Bucket: str, Key: str) -> Raw:
        with self._lock:
            self.objects.pop((Bucket, Key), None)
        return {}

    def create_multipart_upload(self, *, Bucket: str, Key: str, Tagging: str = "", **_: Any) -> Raw:
        with self._lock:
            self.tags[Key] = Tagging
            self.uploads[id := f"u{len(self.uploads)}"] = {}
        return {"UploadId": id}

    def upload_part(self, *, UploadId: str, PartNumber: int, Body: bytes, **_: Any) -> Raw:
        self.uploads[UploadId][PartNumber] = bytes(Body)
        return {"ETag": f"e{PartNumber}"}

    def complete_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str, MultipartUpload: Raw) -> Raw:
        parts = self.uploads.pop(UploadId)
        body = b"".join(parts[part["PartNumber"]] for part in MultipartUpload["Parts"])
        return self.put_object(Bucket=Bucket, Key=Key, Body=body)

    def head_object(self, *, Bucket: str, Key: str) -> Raw:
        return {"ContentLength": len(self._find(Bucket, Key, ""))}

    def generate_presigned_url(self, *, ClientMethod: str, Params: Raw, ExpiresIn: int) -> str:
        return f"https://{Params['Bucket']}/{Params['Key']}?{ClientMethod}={ExpiresIn}"

    def _find(self, bucket: str, key: str, version: str) -> bytes:
        for name, body in reversed(self.objects.get((bucket, key), [])):
            if version in ("", name):
                return body
        raise client_error("NoSuchKey", 404)


class _Body(io.BytesIO):
    def iter_lines(self, size: int) -> Iterator[bytes]:
        yield from self.read().splitlines()

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        while chunk := self.read(size):
            yield chunk


class FakeQueue:
    """Messages that were sent, in order."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> Raw:
        self.sent.append(json.loads(MessageBody))
        return {"MessageId": str(len(self.sent))}


class FakeEvents:
    """What was told."""

    def __init__(self) -> None:
        self.told: list[Raw] = []

    def put_events(self, *, Entries: list[Raw]) -> Raw:
        self.told += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}


class FakeStates:
    """Executions by ARN; `started` counts those that came to be."""

    def __init__(self) -> None:
        self.executions: dict[str, Raw] = {}
        self.exceptions = exceptions_of("stepfunctions")
        self._lock = threading.Lock()

    @property
    def started(self) -> list[str]:
        return [arn.rsplit(":", 1)[1] for arn in self.executions]

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> Raw:
        arn = stateMachineArn.replace(":stateMachine:", ":execution:") + f":{name}"
        with self._lock:
            standing = self.executions.get(arn)
            if standing and (standing["status"] != "RUNNING" or standing["input"] != input):
                response = {"Error": {"Code": "ExecutionAlreadyExists", "Message": name}}
                raise self.exceptions.ExecutionAlreadyExists(response, "StartExecution")
            self.executions.setdefault(arn, {"status": "RUNNING", "input": input})
        return {"executionArn": arn}

    def describe_execution(self, *, executionArn: str) -> Raw:
        if executionArn not in self.executions:
            raise client_error("ExecutionDoesNotExist")
        return dict(self.executions[executionArn])

    def stop_execution(self, *, executionArn: str) -> Raw:
        if executionArn not in self.executions:
            raise client_error("ExecutionDoesNotExist")
        if self.executions[executionArn]["status"] == "RUNNING":
            self.executions[executionArn]["status"] = "ABORTED"
        return {}

    def end(self, name: str, status: str) -> None:
        """As if the machine had ended by itself."""
        self.executions[MACHINE.replace(":stateMachine:", ":execution:") + f":{name}"]["status"] = status


class FakeSageMaker:
    """Containers that run until they are stopped, and endpoints that obey AWS's rules about their states."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.models: dict[str, Raw] = {}
        self.configs: dict[str, Raw] = {}
        self.endpoints: dict[str, Raw] = {}

    def stop_training_job(self, *, TrainingJobName: str) -> Raw:
        if TrainingJobName not in self.running:
            raise client_error("ValidationException", message="Requested resource not found.")
        self.running.discard(TrainingJobName)
        return {}

    def create_model(self, *, ModelName: str, **arguments: Any) -> Raw:
        return self._create(self.models, "model", ModelName, arguments)

    def create_endpoint_config(self, *, EndpointConfigName: str, **arguments: Any) -> Raw:
        if arguments["ProductionVariants"][0]["ModelName"] not in self.models:
            raise client_error("ValidationException", message="Could not find model: it does not exist.")
        return self._create(self.configs, "endpoint-config", EndpointConfigName, arguments)

    def create_endpoint(self, *, EndpointName: str, EndpointConfigName: str) -> Raw:
        state = {"EndpointConfigName": EndpointConfigName, "EndpointStatus": "Creating"}
        return self._create(self.endpoints, "endpoint", EndpointName, state)

    def describe_endpoint(self, *, EndpointName: str) -> Raw:
        if EndpointName not in self.endpoints:
            raise client_error("ValidationException", message=f'Could not find endpoint "{EndpointName}".')
        return dict(self.endpoints[EndpointName])

    def update_endpoint(self, *, EndpointName: str, EndpointConfigName: str) -> Raw:
        endpoint = self.endpoints[EndpointName]
        if endpoint["EndpointStatus"] != "InService":
            raise client_error("ValidationException", message="Cannot update in-progress endpoint.")
        endpoint.update(EndpointConfigName=EndpointConfigName, EndpointStatus="Updating")
        return {}

    def delete_endpoint(self, *, EndpointName: str) -> Raw:
        del self.endpoints[EndpointName]
        return {}

    @staticmethod
    def _create(store: dict[str, Raw], kind: str, name: str, arguments: Raw) -> Raw:
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name), f"SageMaker refuses the name {name!r}"
        if name in store:
            raise client_error("ValidationException", message=f"Cannot create already existing {kind} {name}.")
        store[name] = dict(arguments)
        return {}


@dataclass
class Plan:
    """Which calls go wrong, by their number from one, and how; `seen` names every call that was made."""

    faults: dict[int, Fault] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)


class Faulty:
    """A client whose calls go wrong as planned. Several clients may share one plan."""

    def __init__(self, client: Any, plan: Plan) -> None:
        self._client, self._plan = client, plan

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._wrapped(name, found) if callable(found) and name != "exceptions" else found

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(**arguments: Any) -> Any:
            self._plan.seen.append(name)
            fault = self._plan.faults.get(len(self._plan.seen))
            if fault == "throttle":
                raise client_error("ThrottlingException")
            if fault == "error":
                raise client_error("InternalServerError", 500)
            if fault == "timeout":
                raise ReadTimeoutError(endpoint_url="https://fake")
            if fault == "crash":
                raise Crash
            answer = call(**arguments)
            if fault == "lost":
                raise ReadTimeoutError(endpoint_url="https://fake")
            return call(**arguments) if fault == "twice" else answer

        return wrapped


@dataclass
class World:
    """The domain on the fakes. `through(plan)`: the same world, seen by a caller whose calls go wrong."""

    dynamo: Any = field(default_factory=FakeDynamo)
    s3: Any = field(default_factory=FakeS3)
    states: Any = field(default_factory=FakeStates)
    sagemaker: Any = field(default_factory=FakeSageMaker)
    queue: Any = field(default_factory=FakeQueue)
    bus: Any = field(default_factory=FakeEvents)

    def through(self, plan: Plan) -> World:
        clients = (self.dynamo, self.s3, self.states, self.sagemaker, self.queue, self.bus)
        return World(*(Faulty(client, plan) for client in clients))

    @property
    def table(self) -> Table:
        return Table(self.dynamo, "table")

    @property
    def store(self) -> Store:
        return Store(self.s3, "data")

    @property
    def corpus(self) -> Corpus:
        return Corpus(self.table, self.store)

    @property
    def intake(self) -> Intake:
        return Intake(self.table, self.corpus, self.store, self.s3, Events(self.bus))

    @property
    def rewrites(self) -> Rewrites:
        return Rewrites(self.table, self.store, Queue(self.queue, "https://sqs/rewrites"))

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.table, PREFIX, MACHINE, self.states, self.sagemaker)

    @property
    def registry(self) -> Registry:
        return Registry(self.table)

    @property
    def admission(self) -> Admission:
        return Admission(self.jobs, Limits(20))

    @property
    def joblog(self) -> JobLog:
        return JobLog(self.table)

    @property
    def training(self) -> Training:
        return Training(self.corpus, self.jobs, instance_type="ml.local")
