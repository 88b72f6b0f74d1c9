"""A network of the user's own, in the schema of the search, or a ResNet (`cnn-native`). Channel: `train`.

The hyperparameter `architecture` is `resnet` or an architecture as JSON; what else is given stands over its own recipe.
Result as the search's: model.safetensors, network.json, model.py, report.json.
"""

from __future__ import annotations

from millrace import architecture
from millrace.architecture import Budget, Spec
from millrace.errors import InvalidInput

from training_containers.common.job import Job

from .finish import Finalist, conclude, described, recipe_over
from .search import prepared
from .settings import NativeSettings
from .trials import Candidate, Harness


def train(job: Job) -> None:
    settings = NativeSettings.of(job.hyperparameters)
    harness = prepared(job, settings, settings.max_memory_mb)
    candidate = Candidate(1, _asked(settings, harness), "user")
    finalist = Finalist(candidate, described(harness, candidate))
    conclude(job, harness, [finalist], strategy="cnn-native", settings=settings)


def _asked(settings: NativeSettings, harness: Harness) -> Spec:
    """InvalidInput where it is none, or needs more memory than was allowed."""
    own = settings.architecture
    spec = architecture.resnet() if own == "resnet" else architecture.parse(own)
    spec = spec.model_copy(update={"training": recipe_over(spec.training, settings.over())})
    memory = settings.max_memory_mb << 20
    budget = Budget(200_000_000, 10**12, memory, 2_000, 1e18)
    if (reason := architecture.fits(spec, harness.data.task, budget)) is not None:
        raise InvalidInput(reason)
    return spec
