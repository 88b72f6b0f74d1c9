"""The images that SageMaker runs: one per container, built from the sources and locks that their Dockerfiles copy."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_ecr_assets
from constructs import Construct

from . import bundle

CONTAINERS = ("lora", "gguf", "serve", "cnn_search")


class Images(Construct):
    """`uris`: container name -> image. The twin reads from the assembly which container a tag means."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        context = str(bundle.context())
        self.assets = {name: self._asset(name, context) for name in CONTAINERS}
        self.uris: Mapping[str, str] = {name: asset.image_uri for name, asset in self.assets.items()}

    def _asset(self, name: str, context: str) -> aws_ecr_assets.DockerImageAsset:
        return aws_ecr_assets.DockerImageAsset(
            self,
            "".join(part.title() for part in name.split("_")),
            asset_name=f"millrace-{name.replace('_', '-')}",
            directory=context,
            file=f"training_containers/{name}/Dockerfile",
            platform=aws_ecr_assets.Platform.LINUX_AMD64,
        )
