"""The use-case: a text in, its measures out, with those of a deployed own model's token probabilities; H10.

AWS: through `asking`.

To the measures of `text.scores` come MEASURES, from the logits of the GGUF model that serves: what each is, its range
and its known error stand in training_containers/serve/likelihood.py. They say how a text looks to one model and are no
more of a detector than the others; nothing is fitted or measured on texts of people. Of a text that the model's context
does not hold the beginning is read (`truncated`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from .asking import asked, serving
from .deadlines import in_time
from .errors import Unavailable
from .humanize import check
from .models import Model
from .registry import Registry
from .tenants import Tenant
from .text.scores import score

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

MEASURES = ("mean_logprob", "surprise_burstiness", "token_likeness")


@dataclass(frozen=True)
class Scored:
    model_id: str
    scores: dict[str, float]
    tokens: int
    truncated: bool
    latency_ms: float


@dataclass(frozen=True)
class Scoring:
    registry: Registry
    runtime: SageMakerRuntimeClient
    endpoint_name: Callable[[Tenant, Model], str]
    deadline_s: float

    def score(self, tenant: Tenant, id: str, text: str) -> Scored:
        """NotFound, Conflict where it does not serve, Unavailable where it does not answer in time."""
        check(text)
        model = serving(self.registry, tenant, id, images=False)
        began = time.monotonic()
        told = self._told(tenant, model, text)
        try:
            found = {name: float(told[name]) for name in MEASURES}
            tokens, truncated = int(told["tokens"]), bool(told["truncated"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"{model.id} answered something that is not a text's likelihood.") from error
        return Scored(model.id, score(text) | found, tokens, truncated, round((time.monotonic() - began) * 1000, 1))

    def _told(self, tenant: Tenant, model: Model, text: str) -> Any:
        body = orjson.dumps({"score": text, "timeout_s": self.deadline_s})
        endpoint = self.endpoint_name(tenant, model)
        try:
            return in_time(
                lambda: asked(self.runtime, endpoint, model, body, "application/json"),
                self.deadline_s,
            )
        except TimeoutError as error:
            raise Unavailable(f"{model.id} did not answer within {self.deadline_s:.1f} s.") from error
