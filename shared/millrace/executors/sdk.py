"""A container by the `sagemaker` SDK, version 3: at AWS, or in a local container as it runs one. Extra: `sagemaker`.

Its telemetry is off. Channels are folders of this machine; the SDK uploads them, or mounts them. Source: docstrings
of sagemaker.train.ModelTrainer 3.27 (Estimator of version 2 is gone).
"""

from __future__ import annotations

import json
from typing import Any

from .. import contract
from ..errors import InvalidInput
from .launch import Launch

QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def trainer(wanted: Launch, role: str, local: bool) -> Any:
    """The SDK's ModelTrainer for a launch; its folder is laid out."""
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.shapes import StoppingCondition
    from sagemaker.core.training.configs import Compute, InputData, Networking, OutputDataConfig
    from sagemaker.train import ModelTrainer
    from sagemaker.train.model_trainer import Mode

    if not wanted.image or not (role or local):
        raise InvalidInput("The SDK wants --image, and --role where it trains at AWS.")
    run = wanted.prepare()
    data = run.root / contract.DATA
    values = json.loads((run.root / contract.HYPERPARAMETERS).read_text())
    return ModelTrainer(
        training_mode=Mode.LOCAL_CONTAINER if local else Mode.SAGEMAKER_TRAINING_JOB,
        sagemaker_session=Session(sagemaker_config=QUIET),
        role=role or None,
        base_job_name=run.name,
        training_image=wanted.image,
        compute=Compute(
            instance_type="local_cpu" if local else wanted.needs.instance_type,
            instance_count=1,
            volume_size_in_gb=max(1, wanted.needs.disk_gb),
        ),
        networking=None if local else Networking(enable_network_isolation=wanted.isolated),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=wanted.needs.max_runtime_s),
        output_data_config=None if local else OutputDataConfig(compression_type="NONE"),
        input_data_config=[
            InputData(channel_name=folder.name, data_source=str(folder.resolve())) for folder in sorted(data.iterdir())
        ],
        hyperparameters=values,
        local_container_root=str(run.root.resolve()),
    )


def train(wanted: Launch, role: str, local: bool) -> None:
    """To the end, with the SDK's own log on the terminal."""
    trainer(wanted, role, local).train(wait=True, logs=True)
