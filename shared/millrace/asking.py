"""A model of the tenant's own, asked at its endpoint for what it alone can tell. AWS: SageMaker's runtime.

Only what serves answers: the active version of a name, by the name itself or by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from . import aws
from .contract import ModelState
from .errors import Conflict, InvalidInput, MillraceError, NotFound, Unavailable
from .models import Model
from .registry import Registry
from .tenants import Tenant

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient


def serving(registry: Registry, tenant: Tenant, id: str, images: bool) -> Model:
    """NotFound, Conflict where it does not serve, InvalidInput where it works on something else."""
    model = registry.get(tenant, id) if "@" in id else registry.active(tenant, id)
    if model is None:
        raise NotFound(f"There is no model {id} that serves.")
    if images and not model.lineage.get("dataset_id"):
        raise InvalidInput(f"{model.id} works on texts; an image model is trained on a dataset.")
    if not images and model.lineage.get("dataset_id"):
        raise InvalidInput(f"{model.id} works on images; a text model is trained on a snapshot.")
    if model.state is not ModelState.ACTIVE:
        raise Conflict(f"{model.id} is {model.state} and does not serve; the active version does.")
    return model


def asked(runtime: SageMakerRuntimeClient, endpoint: str, model: Model, body: bytes, kind: str) -> Any:
    """Its JSON. InvalidInput where the container refuses the caller's own input."""
    try:
        with aws.mapped(f"Asking {model.id}"):
            reply = runtime.invoke_endpoint(EndpointName=endpoint, ContentType=kind, Body=body)
            return orjson.loads(reply["Body"].read())
    except MillraceError as error:
        if (refused := _refusal(error)) is not None:
            raise InvalidInput(refused) from error
        raise
    except orjson.JSONDecodeError as error:
        raise Unavailable(f"{model.id} answered something that is not JSON.") from error


def _refusal(error: MillraceError) -> str | None:
    """What the container said of the caller's own input; None where the fault is another's."""
    cause = error.__cause__
    if not isinstance(cause, aws.refusals()):
        return None
    told: Mapping[str, Any] = cause.response
    if not HTTPStatus.BAD_REQUEST <= told.get("OriginalStatusCode", 500) < HTTPStatus.TOO_MANY_REQUESTS:
        return None
    try:
        return str(orjson.loads(told.get("OriginalMessage", ""))["error"]["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
