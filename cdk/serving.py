"""Serving: the role that training containers and endpoints run under. Models and endpoints are made by `deploy`."""

from __future__ import annotations

from aws_cdk import ArnFormat, Stack, aws_iam
from constructs import Construct

from .stage import Stage


class Serving(Construct):
    """`role`: what a container may touch; it has no network, so SageMaker alone acts under it."""

    def __init__(self, scope: Construct, id: str, stage: Stage) -> None:
        super().__init__(scope, id)
        self.stage = stage
        self.role = aws_iam.Role(
            self,
            "ContainerRole",
            assumed_by=aws_iam.ServicePrincipal("sagemaker.amazonaws.com"),
            description="What SageMaker may fetch and store for Millrace's training jobs and endpoints",
        )

    def arns(self, *kinds: str) -> list[str]:
        """Of everything of ours of these kinds in SageMaker: model, endpoint-config, endpoint."""
        return [self._arn(kind, f"{self.stage.prefix}-*") for kind in kinds]

    def training_jobs(self) -> list[str]:
        """Of every job that a plan of this stage may name: <prefix>-<job>-<attempt>-<part>."""
        return self.arns("training-job")

    def _arn(self, kind: str, name: str) -> str:
        form = ArnFormat.SLASH_RESOURCE_NAME
        return Stack.of(self).format_arn(service="sagemaker", resource=kind, resource_name=name, arn_format=form)
