"""The use-case: an image in, the shares of its classes out, by a network of the tenant's own. AWS: through `asking`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .asking import asked, serving
from .errors import InvalidInput
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
        model = serving(self.registry, tenant, id, images=True)
        if not image:
            raise InvalidInput("The body is empty; send the bytes of one image.")
        began = time.monotonic()
        told = asked(self.runtime, self.endpoint_name(tenant, model), model, image, ANY)
        shares = {str(label): float(share) for label, share in told["probabilities"].items()}
        ranked = dict(sorted(shares.items(), key=lambda one: -one[1]))
        return Classified(model.id, str(told["class"]), ranked, round((time.monotonic() - began) * 1000, 1))
