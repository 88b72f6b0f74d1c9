"""New data has come, by whatever way: the training that it may start."""

from __future__ import annotations

from millrace.errors import MillraceError, Unavailable
from millrace.settings import Training
from millrace.tenants import Tenant

from functions import parts
from functions.observability import logger


def train_if_due(settings: Training, tenant: Tenant, again: bool = False) -> None:
    """The data is stored: what keeps a training from starting is not to be heard by who sent it.

    `again`: who calls is called again after an error; then one that passes by itself is raised.
    """
    try:
        job = parts.collection(settings).on_new(tenant)
    except MillraceError as error:
        if again and isinstance(error, Unavailable):
            raise
        logger.warning("training is due and could not begin", error=type(error).__name__, reason=str(error))
        return
    if job is not None:
        logger.info("training begun by policy", job_id=job.id)
