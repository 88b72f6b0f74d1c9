"""The images that SageMaker runs: one per container, built from the repository's root without what they do not need."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import IgnoreMode, aws_ecr_assets
from constructs import Construct

from .bundle import ROOT

CONTAINERS = ("lora", "gguf", "serve")
_CONTEXT = [
    "*",
    "!training_containers",
    "!shared",
    "!requirements",
    "!pyproject.toml",
    "**/__pycache__",
    "**/*.egg-info",
]
"""What `docker build` sees, in the language of .dockerignore: a change elsewhere builds no image again."""


class Images(Construct):
    """`uris`: container name -> image. The twin reads from the assembly which container a tag means."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        ready = [name for name in CONTAINERS if (ROOT / _dockerfile(name)).is_file()]
        self.assets = {name: self._asset(name) for name in ready}
        self.uris: Mapping[str, str] = {name: asset.image_uri for name, asset in self.assets.items()}

    def _asset(self, name: str) -> aws_ecr_assets.DockerImageAsset:
        return aws_ecr_assets.DockerImageAsset(
            self,
            name.title(),
            asset_name=f"millrace-{name}",
            directory=str(ROOT),
            file=_dockerfile(name),
            platform=aws_ecr_assets.Platform.LINUX_AMD64,
            ignore_mode=IgnoreMode.DOCKER,
            exclude=_CONTEXT,
        )


def _dockerfile(name: str) -> str:
    return f"training_containers/{name}/Dockerfile"
