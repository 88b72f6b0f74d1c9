"""Handlers of the small stack: each shows one thing that the real ones rely on."""

import base64
import gzip
import json
import os
import sys
import time

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


class Throttled(Exception):
    """Carries the class name that the state machine retries by."""


def note(pk, **more):
    table.put_item(Item={"pk": pk, "sk": "body", **more})


def count(pk):
    changed = table.update_item(
        Key={"pk": pk, "sk": "count"},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": 1},
        ReturnValues="ALL_NEW",
    )
    return int(changed["Attributes"]["n"])


def collect(event, context):
    """Queue of S3 events: one item a key; a key with `poison` fails alone, every time."""
    failures = []
    for record in event["Records"]:
        key = json.loads(record["body"])["detail"]["object"]["key"]
        times = count(f"seen#{key}")
        if "poison" in key or ("once" in key and times == 1):
            failures.append({"itemIdentifier": record["messageId"]})
        else:
            note(f"collected#{key}", version=json.loads(record["body"])["detail"]["object"].get("version-id", ""))
    return {"batchItemFailures": failures}


def answer(event, context):
    print("answering", event["rawPath"])
    if event["rawPath"] == "/big":
        return {"statusCode": 200, "body": "x" * (7 * 1024 * 1024)}
    if event["rawPath"] == "/slow":
        time.sleep(float(event["queryStringParameters"]["s"]))
    if event["rawPath"] == "/boom":
        raise RuntimeError("boom")
    told = {
        "caller": event["requestContext"].get("authorizer", {}).get("lambda", {}),
        "method": event["requestContext"]["http"]["method"],
        "path": event["rawPath"],
        "query": event.get("rawQueryString"),
        "body": event.get("body"),
        "python": sys.version_info[:2],
        "packages": sorted(p for p in sys.path if "site-packages" in p),
        "environment": sorted(os.environ),
        "remaining_ms": context.get_remaining_time_in_millis(),
        "pid": os.getpid(),
        "file": __file__,
    }
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(told)}


def authorize(event, context):
    key = event["headers"].get("x-api-key", "")
    return {"isAuthorized": key.startswith("mr_"), "context": {"tenant": "demo"}}


def step(event, context):
    """Fails twice with an error that the machine retries, or for good with one that it does not."""
    if event.get("bad") == "big":
        return {"name": event["name"], "version": "x" * 300_000}
    if event.get("bad"):
        raise ValueError("a sentence about the value")
    if count(f"step#{event['name']}") < 3:
        raise Throttled("not yet")
    return {"name": event["name"], "version": os.environ["VERSION"]}


def progress(event, context):
    data = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    for line in data["logEvents"]:
        note(f"progress#{data['logStream'].split('/')[0]}", line=line["message"])
