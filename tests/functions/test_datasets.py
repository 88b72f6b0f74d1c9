"""/api/datasets through the gateway's handler: an upload in parts that goes on, names, lists, and the end of it all."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from millrace import aws
from millrace.clock import stamp
from millrace.contract import JobState, Tier
from millrace.jobs import Job
from millrace.tenants import Tenant

from functions import parts
from tests.functions.conftest import CONTEXT, Api, http_event
from tests.millrace.datasets.archives import picture, zipped

ARCHIVE = zipped({f"{name}/{n}.png": picture(n) for name in ("cat", "dog") for n in range(3)})
PART = 8 * 2**20


def created(api: Api, name: str = "animals", domain: str = "zoo", **more: Any) -> dict[str, Any]:
    reply = api("POST", "/api/datasets", {"name": name, "domain": domain, **more})
    assert reply.status == 201, reply.body
    made: dict[str, Any] = reply.body
    return made


def put_archive(api: Api, id: str, body: bytes) -> Any:
    event = http_event(
        "PUT", f"/api/datasets/{id}/archive", caller={"tenant": "acme", "tier": "FREE", "roles": "editor"}
    )
    event["headers"]["content-type"] = "application/octet-stream"
    event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    reply = api.handler(event, CONTEXT)
    return reply["statusCode"], json.loads(reply["body"])


def sent(address: str, body: bytes) -> None:
    """As a client would by its presigned address; moto answers boto3 and not the wire."""
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256" and query["X-Amz-Expires"] == "3600"
    key = parts.path.removeprefix("/").removeprefix("millrace-test-data/")
    aws.s3().upload_part(
        Bucket="millrace-test-data",
        Key=key,
        UploadId=query["uploadId"],
        PartNumber=int(query["partNumber"]),
        Body=body,
    )


def test_an_upload_stops_goes_on_and_is_processed(api: Api) -> None:
    size = PART + 100
    body = bytes(PART) + b"x" * 100
    made = created(api, size_bytes=size, fingerprint="abc")
    path = f"/api/datasets/{made['id']}/upload"
    assert (made["state"], made["upload"]["parts"], made["upload"]["present"]) == ("draft", 2, [])

    first = api("POST", f"{path}/parts", {"numbers": [1, 2]}).body["items"]
    assert [part["size_bytes"] for part in first] == [PART, 100]
    sent(first[0]["url"], body[:PART])
    again = api("POST", path, {"size_bytes": size, "fingerprint": "abc"})
    assert again.body["present"] == [1]
    early = api("POST", f"{path}/complete")
    assert early.status == 409 and "1 of 2 parts are missing: 2." in early.body["detail"]
    sent(first[1]["url"], body[PART:])
    done = api("POST", f"{path}/complete")

    assert (done.status, done.body["state"], done.body["size_bytes"]) == (200, "processing", size)
    assert api("POST", f"{path}/complete").body["state"] == "processing"
    assert api("GET", path).status == 404


def test_another_file_does_not_go_on_with_an_upload(api: Api) -> None:
    made = created(api, size_bytes=100, fingerprint="abc")

    other = api("POST", f"/api/datasets/{made['id']}/upload", {"size_bytes": 100, "fingerprint": "xyz"})

    assert other.status == 409 and "another file" in other.body["detail"]


def test_an_aborted_upload_leaves_no_parts(api: Api) -> None:
    made = created(api, size_bytes=100)
    address = api("POST", f"/api/datasets/{made['id']}/upload/parts", {"numbers": [1]}).body["items"][0]["url"]
    sent(address, b"x" * 100)

    assert api("DELETE", f"/api/datasets/{made['id']}/upload").body["uploading"] is False
    assert "Uploads" not in aws.s3().list_multipart_uploads(Bucket="millrace-test-data")


def test_a_small_archive_is_posted_and_its_event_begins_nothing_twice(api: Api) -> None:
    made = created(api)

    status, put = put_archive(api, made["id"], ARCHIVE)

    assert (status, put["state"]) == (200, "processing")
    from functions.unpack.handler import handler

    key = put["storage_path"].split("/", 3)[3] + "channel/archive.zip"
    version = aws.s3().head_object(Bucket="millrace-test-data", Key=key)["VersionId"]
    handler({"detail": {"object": {"key": key, "version-id": version, "size": len(ARCHIVE)}}}, CONTEXT)
    assert api("GET", f"/api/datasets/{made['id']}").body["state"] == "processing"
    running = aws.stepfunctions().list_executions(
        stateMachineArn="arn:aws:states:us-east-1:123456789012:stateMachine:unpack"
    )
    assert [each["name"] for each in running["executions"]] == [f"{made['id']}-1"]


@pytest.fixture
def ready(api: Api) -> dict[str, Any]:
    """A dataset that has gone through every step of the machine."""
    from functions.unpack.handler import handler

    made = created(api)
    put_archive(api, made["id"], ARCHIVE)
    work = {"tenant": "acme", "dataset_id": made["id"], "attempt": 1}
    assert handler({**work, "step": "plan"}, CONTEXT)["outcome"] == "go"
    assert handler({**work, "step": "look", "slice": 0}, CONTEXT) == {"outcome": "done"}
    assert handler({**work, "step": "merge"}, CONTEXT) == {"state": "ready"}
    return made


def test_a_ready_dataset_tells_what_it_holds(api: Api, ready: dict[str, Any]) -> None:
    path = f"/api/datasets/{ready['id']}"

    told, report, preview = api("GET", path).body, api("GET", f"{path}/report").body, api("GET", f"{path}/preview").body

    assert (told["state"], told["total_samples"], told["classes"]) == ("ready", 6, ["cat", "dog"])
    assert report["counts"] == {"cat": {"unsplit": 3}, "dog": {"unsplit": 3}} and report["across_classes"] == 3
    assert [(item["label"], item["images"], len(item["urls"])) for item in preview["items"]] == [
        ("cat", 3, 3),
        ("dog", 3, 3),
    ]
    assert all("X-Amz-Signature" in url for item in preview["items"] for url in item["urls"])
    refused = api("POST", f"{path}/upload", {"size_bytes": 5})
    assert refused.status == 409 and "is ready" in refused.body["detail"]


def test_deleting_leaves_no_object_no_version_and_no_item(api: Api, ready: dict[str, Any]) -> None:
    path = f"/api/datasets/{ready['id']}"

    assert api("DELETE", path).status == 204

    assert api("GET", path).status == 404 and api("GET", "/api/datasets").body["items"] == []
    left = aws.s3().list_object_versions(Bucket="millrace-test-data")
    assert "Versions" not in left and "DeleteMarkers" not in left
    items = aws.dynamodb().scan(TableName="millrace-test")["Items"]
    assert not [item for item in items if "dataset" in item["pk"]["S"]]


def test_a_dataset_that_is_trained_on_is_kept_until_the_training_is_over(api: Api, ready: dict[str, Any]) -> None:
    from functions.gateway.shapes import settings

    path, acme = f"/api/datasets/{ready['id']}", Tenant("acme", Tier.ENTERPRISE)
    job = Job("j1", JobState.PENDING, "cnn-native", 1, "net", stamp(), "person", dataset_id=ready["id"])
    parts.jobs(settings).create(acme, job)

    refused = api("DELETE", path)

    assert refused.status == 409 and "Training job j1 trains on this dataset" in refused.body["detail"]
    assert api("GET", path).body["state"] == "ready"
    api("DELETE", "/api/training-jobs/j1")
    assert api("DELETE", path).status == 204


def test_lists_are_filtered_by_domain_readiness_and_words(api: Api, ready: dict[str, Any]) -> None:
    other = created(api, "Street signs", "traffic")

    def ids(query: str) -> list[str]:
        return [item["id"] for item in api("GET", "/api/datasets", query=query).body["items"]]

    assert ids("") == [other["id"], ready["id"]]
    assert ids("domain=traffic") == ids("readiness=draft") == ids("search=SIGNS+street") == [other["id"]]
    assert ids("readiness=ready") == ids("search=cat") == [ready["id"]]
    assert ids("search=nothing") == []
    page = api("GET", "/api/datasets", query="limit=1").body
    assert api("GET", "/api/datasets", query=f"limit=1&cursor={page['next']}").body["items"][0]["id"] == ready["id"]


def test_names_change_and_are_checked(api: Api) -> None:
    made = created(api)
    path = f"/api/datasets/{made['id']}"

    assert api("PATCH", f"{path}/name", {"name": "  beasts  of burden "}).body["name"] == "beasts of burden"
    assert api("PUT", path, {"name": "a", "domain": "b"}).body["domain"] == "b"
    assert api("PATCH", f"{path}/name", {"name": "\n"}).status == 422


def test_another_tenants_dataset_looks_like_a_missing_one(api: Api, ready: dict[str, Any]) -> None:
    stranger, path = Api("globex"), f"/api/datasets/{ready['id']}"

    calls = [("GET", path, None), ("DELETE", path, None), ("PATCH", f"{path}/name", {"name": "x"})]
    calls += [("GET", f"{path}/report", None), ("GET", f"{path}/preview", None), ("GET", f"{path}/upload", None)]
    calls += [("POST", f"{path}/upload", {"size_bytes": 5}), ("POST", f"{path}/upload/parts", {"numbers": [1]})]
    for method, where, body in calls:
        assert stranger(method, where, body).status == 404, (method, where)
    assert api("GET", path).status == 200


def test_a_reader_reads_and_changes_nothing(api: Api, ready: dict[str, Any]) -> None:
    reader, path = Api(roles="reader"), f"/api/datasets/{ready['id']}"

    assert reader("GET", path).status == reader("GET", f"{path}/preview").status == 200
    assert reader("DELETE", path).status == reader("POST", "/api/datasets", {"name": "a", "domain": "b"}).status == 403


def test_the_same_idempotency_key_names_the_same_dataset(api: Api) -> None:
    body = {"name": "a", "domain": "b"}

    one, two = (api("POST", "/api/datasets", body, idempotency_key="k").body["id"] for _ in range(2))

    assert one == two != Api("globex")("POST", "/api/datasets", body, idempotency_key="k").body["id"]
