"""The use-case: an image in, the shares of its classes out, by a network of the tenant's own. AWS: SageMaker's runtime.

Only what serves answers: the active version of a name, by the name itself or by its id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import ClientError

from . import aws
from .contract import ModelState
from .errors import Conflict, InvalidInput, MillraceError, NotFound, Unavailable
from .models import Model
from .registry import Registry
from .tenants import Tenant

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

MAX_IMAGE_BYTES = 4 * 2**20
"""In base64, as it travels to a function, it stays under the 6 MB that one takes."""
ANY = "application/octet-stream"


@dataclass(frozen=True)
class Classified:
    model_id: str
    label: str
    shares: dict[str, float]
    """Class -> share of the belief, the largest first; together 1."""
    latency_ms: float


@dataclass(frozen=True)
class Classifying:
    registry: Registry
    runtime: SageMakerRuntimeClient
    endpoint_name: Callable[[Tenant, Model], str]

    def classify(self, tenant: Tenant, id: str, image: bytes) -> Classified:
        """NotFound, Conflict where it does not serve, InvalidInput where the body is no image."""
        model = self._serving(tenant, id)
        if not image:
            raise InvalidInput("The body is empty; send the bytes of one image.")
        began = time.monotonic()
        told = self._asked(self.endpoint_name(tenant, model), model, image)
        shares = {str(label): float(share) for label, share in told["probabilities"].items()}
        ranked = dict(sorted(shares.items(), key=lambda one: -one[1]))
        return Classified(model.id, str(told["class"]), ranked, round((time.monotonic() - began) * 1000, 1))

    def _serving(self, tenant: Tenant, id: str) -> Model:
        model = self.registry.get(tenant, id) if "@" in id else self.registry.active(tenant, id)
        if model is None:
            raise NotFound(f"There is no model {id} that serves.")
        if not model.lineage.get("dataset_id"):
            raise InvalidInput(f"{model.id} works on texts; an image model is trained on a dataset.")
        if model.state is not ModelState.ACTIVE:
            raise Conflict(f"{model.id} is {model.state} and does not serve; the active version does.")
        return model

    def _asked(self, endpoint: str, model: Model, image: bytes) -> Any:
        try:
            with aws.mapped(f"Asking {model.id}"):
                reply = self.runtime.invoke_endpoint(EndpointName=endpoint, ContentType=ANY, Body=image)
                return orjson.loads(reply["Body"].read())
        except MillraceError as error:
            if (refused := _refusal(error)) is not None:
                raise InvalidInput(refused) from error
            raise
        except orjson.JSONDecodeError as error:
            raise Unavailable(f"{model.id} answered something that is not JSON.") from error


def _refusal(error: MillraceError) -> str | None:
    """What the container said of the caller's own image; None where the fault is another's."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return None
    told: Mapping[str, Any] = cause.response
    if not HTTPStatus.BAD_REQUEST <= told.get("OriginalStatusCode", 500) < HTTPStatus.TOO_MANY_REQUESTS:
        return None
    try:
        return str(orjson.loads(told.get("OriginalMessage", ""))["error"]["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
