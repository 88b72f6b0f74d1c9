"""The synthesized stack on the embedded AWS: assets up, template in, outputs out. No CDK CLI, no account.

What the engine lacks is dropped from the template and listed in SKIPPED with its reason; nothing else is changed.
"""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .aws import client
from .engine import save_now
from .sagemaker.container import images_file
from .settings import ACCOUNT, Twin

QUALIFIER = "hnb659fds"
"""CDK's default bootstrap."""
STACK_S = 180.0

SKIPPED: dict[str, str] = {
    "AWS::Budgets::Budget": "Nothing on a laptop costs money; the engine's CloudFormation has no budgets.",
    "AWS::ApplicationAutoScaling::ScalableTarget": "An endpoint of the twin is one process.",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "An endpoint of the twin is one process.",
    "AWS::XRay::SamplingRule": "Traces of the twin are not sampled.",
    "AWS::CloudWatch::AnomalyDetector": "An hour of a laptop's traffic has no season to learn.",
}
"""Resource types that the twin leaves out, and why."""


class DeployFailed(Exception):
    """The stack did not come up; the sentence has the first reason."""


@dataclass(frozen=True)
class Assembly:
    """What `cdk.app.synth` wrote: one stack's template and its assets."""

    folder: Path

    @property
    def template_file(self) -> Path:
        found = sorted(self.folder.glob("*.template.json"))
        if len(found) != 1:
            raise DeployFailed(f"{self.folder} holds {len(found)} templates; the twin deploys one stack.")
        return found[0]

    @property
    def stack_name(self) -> str:
        return self.template_file.name.removesuffix(".template.json")

    def template(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.template_file.read_text())
        return loaded

    def assets(self) -> dict[str, Any]:
        path = self.folder / f"{self.stack_name}.assets.json"
        loaded: dict[str, Any] = json.loads(path.read_text())
        return loaded

    def images(self) -> dict[str, str]:
        """{image tag: container name} of every Docker asset: the folder that its Dockerfile lies in."""
        named = {}
        for asset in self.assets().get("dockerImages", {}).values():
            source = asset["source"]
            folder = self.folder / source["directory"] / Path(source.get("dockerFile", "Dockerfile")).parent
            for destination in asset["destinations"].values():
                named[destination["imageTag"]] = folder.name
        return named


def runnable(template: dict[str, Any]) -> dict[str, Any]:
    """The template without the skipped resources, and without what refers to them."""
    resources = template["Resources"]
    gone = {name for name, resource in resources.items() if resource["Type"] in SKIPPED}
    kept = {name: resource for name, resource in resources.items() if name not in gone}
    for resource in kept.values():
        depends = resource.get("DependsOn", [])
        left = [d for d in ([depends] if isinstance(depends, str) else depends) if d not in gone]
        resource.pop("DependsOn", None)
        if left:
            resource["DependsOn"] = left
    outputs = {n: o for n, o in template.get("Outputs", {}).items() if not _refers(o, gone)}
    return {**template, "Resources": _without(kept, gone), "Outputs": outputs}


def _refers(value: Any, gone: set[str]) -> bool:
    if isinstance(value, dict):
        if value.get("Ref") in gone or (isinstance(v := value.get("Fn::GetAtt"), list) and v[0] in gone):
            return True
        return any(_refers(v, gone) for v in value.values())
    return isinstance(value, list) and any(_refers(v, gone) for v in value)


def _without(value: Any, gone: set[str]) -> Any:
    """Drops list entries and properties that name what is gone."""
    if isinstance(value, dict):
        return {k: _without(v, gone) for k, v in value.items() if not _direct(v, gone)}
    if isinstance(value, list):
        return [_without(v, gone) for v in value if not _direct(v, gone)]
    return value


def _direct(value: Any, gone: set[str]) -> bool:
    return isinstance(value, dict) and len(value) == 1 and _refers(value, gone)


# --- deploying ------------------------------------------------------------------------------------------------------
def deploy(twin: Twin, assembly: Assembly) -> dict[str, str]:
    """Create or update the stack; its outputs. The same assembly twice changes nothing."""
    _bootstrap(twin)
    _publish(twin, assembly)
    _note_images(twin, assembly)
    body = json.dumps(runnable(assembly.template()))
    s3, cloudformation = client(twin, "s3"), client(twin, "cloudformation")
    key = f"{assembly.stack_name}.template.json"
    s3.put_object(Bucket=_bucket(twin), Key=key, Body=body.encode())
    request = {
        "StackName": assembly.stack_name,
        "TemplateURL": f"{twin.aws_endpoint}/{_bucket(twin)}/{key}",
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    try:
        if _status(cloudformation, assembly.stack_name) is None:
            cloudformation.create_stack(**request, OnFailure="DELETE")
        else:
            cloudformation.update_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise DeployFailed(str(error)) from error
    outputs = _outputs(cloudformation, assembly.stack_name)
    save_now(twin.aws_port)
    return outputs


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
    except ClientError:
        return None


def _outputs(cloudformation: Any, name: str) -> dict[str, str]:
    deadline = time.monotonic() + STACK_S
    status = _status(cloudformation, name)
    while status and status.endswith("_IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.1)
        status = _status(cloudformation, name)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployFailed(f"Stack {name} ended as {status}: {_first_reason(cloudformation, name)}")
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}


def _first_reason(cloudformation: Any, name: str) -> str:
    try:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    except ClientError:
        return "no events"
    failed = [e for e in events if e["ResourceStatus"].endswith("_FAILED")]
    return "; ".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in reversed(failed))


def _note_images(twin: Twin, assembly: Assembly) -> None:
    """The tags of earlier deployments stay: their endpoints serve on."""
    path = images_file(twin)
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | assembly.images(), indent=1))


def _bucket(twin: Twin) -> str:
    return f"cdk-{QUALIFIER}-assets-{ACCOUNT}-{twin.region}"


def _bootstrap(twin: Twin) -> None:
    """What `cdk bootstrap` leaves in an account, as far as a template looks for it."""
    s3, ssm = client(twin, "s3"), client(twin, "ssm")
    try:
        s3.create_bucket(Bucket=_bucket(twin))
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
    ssm.put_parameter(Name=f"/cdk-bootstrap/{QUALIFIER}/version", Value="21", Type="String", Overwrite=True)


def _publish(twin: Twin, assembly: Assembly) -> None:
    """File assets under their content hash; one that is there already is not sent again."""
    s3 = client(twin, "s3")
    for asset in assembly.assets().get("files", {}).values():
        source = assembly.folder / asset["source"]["path"]
        if source == assembly.template_file:
            continue
        for destination in asset["destinations"].values():
            bucket = _resolved(twin, destination["bucketName"])
            if _exists(s3, bucket, destination["objectKey"]):
                continue
            packed = asset["source"].get("packaging") == "zip" or source.is_dir()
            s3.put_object(
                Bucket=bucket, Key=destination["objectKey"], Body=_zipped(source) if packed else source.read_bytes()
            )


def _exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        return False
    return True


def _resolved(twin: Twin, text: str) -> str:
    known = {"AWS::AccountId": ACCOUNT, "AWS::Region": twin.region, "AWS::Partition": "aws"}
    return re.sub(r"\$\{(AWS::\w+)\}", lambda match: known[match.group(1)], text)


def _zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()
