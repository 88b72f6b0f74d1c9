"""Putting a model behind an endpoint. AWS: SageMaker.

One endpoint a tenant and model name; a new version is a new model and configuration under derived names, and the
endpoint moves over to it. Every call may be repeated. Names end in a hash of what they stand for: tenant `acme` with
model `eu-x` and tenant `acme-eu` with model `x` are two endpoints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import aws
from .errors import MillraceError, Unavailable
from .models import Model
from .strategies import served_by
from .tenants import Tenant

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

_AT_REST = ("InService", "Failed", "OutOfService")
"""States in which an endpoint takes an order."""
Status = Literal["creating", "in_service", "failed"]


def endpoint_name(stage: str, tenant: Tenant, model: Model) -> str:
    """One endpoint a name of a tenant's; its versions take turns behind it."""
    digest = hashlib.sha256(f"{tenant.id}\0{model.name}".encode()).hexdigest()[:10]
    return f"millrace-{stage}-{tenant.id}-{model.name}"[:40].rstrip("-") + f"-{digest}"


def version_name(stage: str, tenant: Tenant, model: Model) -> str:
    """Of the model and the configuration; an attempt that trained again has other bytes, so another name."""
    return f"{_any_attempt(stage, tenant, model)}{model.lineage.get('attempt', 1)}"


def _any_attempt(stage: str, tenant: Tenant, model: Model) -> str:
    return f"{endpoint_name(stage, tenant, model)}-{model.version}-"


def withdraw(sagemaker: SageMakerClient, stage: str, tenant: Tenant, model: Model, active: Model | None) -> None:
    """Take a version that will never be active from its endpoint: that goes back to the active one, or away.

    May be repeated. Unavailable while the endpoint changes: it can be told nothing else until that is over.
    """
    endpoint, ours = endpoint_name(stage, tenant, model), _any_attempt(stage, tenant, model)
    told = _described(sagemaker, endpoint)
    if told is None or (active is not None and active.id == model.id):
        return
    pending = told.get("PendingDeploymentSummary", {}).get("EndpointConfigName", "")
    if not told["EndpointConfigName"].startswith(ours) and not pending.startswith(ours):
        return
    status = told["EndpointStatus"]
    if status not in _AT_REST:
        raise Unavailable(f"{endpoint} is {status}; {model.id} is taken from it after that.")
    with aws.mapped(f"Taking {model.id} from {endpoint}"):
        if active is not None and status == "InService":
            config = version_name(stage, tenant, active)
            sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        else:
            sagemaker.delete_endpoint(EndpointName=endpoint)


def _described(sagemaker: SageMakerClient, endpoint: str) -> DescribeEndpointOutputTypeDef | None:
    """None where there is no such endpoint."""
    try:
        with aws.mapped(f"Asking for {endpoint}"):
            return sagemaker.describe_endpoint(EndpointName=endpoint)
    except MillraceError as error:
        if isinstance(error.__cause__, aws.refusals()) and "could not find" in str(error.__cause__).lower():
            return None
        raise


@dataclass(frozen=True)
class Serving:
    sagemaker: SageMakerClient
    stage: str
    images: Mapping[str, str]
    """Container name -> image URI."""
    role: str
    kms_key: str
    instance_type: str

    def endpoint_name(self, tenant: Tenant, model: Model) -> str:
        return endpoint_name(self.stage, tenant, model)

    def version_name(self, tenant: Tenant, model: Model) -> str:
        return version_name(self.stage, tenant, model)

    def start(self, tenant: Tenant, model: Model, model_uri: str) -> str:
        """Begin to serve this version; the endpoint's name."""
        endpoint = self.endpoint_name(tenant, model)
        version = self.version_name(tenant, model)
        source = {"S3Uri": model_uri, "S3DataType": "S3Prefix", "CompressionType": "None"}
        self._once(
            self.sagemaker.create_model,
            ModelName=version,
            PrimaryContainer={
                "Image": self.images[served_by(model.strategy)],
                "ModelDataSource": {"S3DataSource": source},
            },
            ExecutionRoleArn=self.role,
            EnableNetworkIsolation=True,
        )
        variant = {
            "VariantName": "main",
            "ModelName": version,
            "InitialInstanceCount": 1,
            "InstanceType": self.instance_type,
        }
        self._once(
            self.sagemaker.create_endpoint_config,
            EndpointConfigName=version,
            ProductionVariants=[variant],
            KmsKeyId=self.kms_key,
        )
        if not self._once(self.sagemaker.create_endpoint, EndpointName=endpoint, EndpointConfigName=version):
            self._move_over(endpoint, version)
        return endpoint

    def status(self, tenant: Tenant, model: Model) -> tuple[Status, str]:
        """Where the endpoint stands with this version, and the reason where it failed."""
        endpoint = self.endpoint_name(tenant, model)
        with aws.mapped(f"Asking for {endpoint}"):
            told = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        if told["EndpointStatus"] == "InService":
            if told["EndpointConfigName"] == self.version_name(tenant, model):
                return "in_service", ""
            return "failed", str(told.get("FailureReason", f"it serves {told['EndpointConfigName']} instead"))
        if told["EndpointStatus"] in ("Failed", "RollingBack", "UpdateRollbackFailed", "OutOfService"):
            return "failed", str(told.get("FailureReason", told["EndpointStatus"]))
        return "creating", ""

    def _move_over(self, endpoint: str, config: str) -> None:
        with aws.mapped(f"Asking for {endpoint}"):
            told = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        if told["EndpointStatus"] == "Failed":
            # Nothing but deleting is possible with an endpoint that never came up; the next try makes it anew.
            with aws.mapped(f"Removing {endpoint}"):
                self.sagemaker.delete_endpoint(EndpointName=endpoint)
            raise Unavailable(f"{endpoint} had failed and is being removed; it is made again.")
        if told["EndpointConfigName"] == config:
            return
        if told["EndpointStatus"] != "InService":
            raise Unavailable(f"{endpoint} is {told['EndpointStatus']}; it moves over to {config} after that.")
        with aws.mapped(f"Updating {endpoint}"):
            self.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)

    @staticmethod
    def _once(call: Any, **arguments: Any) -> bool:
        """Create; False where it exists already."""
        try:
            with aws.mapped("Deploying"):
                call(**arguments)
        except MillraceError as error:
            cause = error.__cause__
            if isinstance(cause, aws.refusals()) and "already exist" in str(cause).lower():
                return False
            raise
        return True
