"""Every stage is synthesized once per session; the kernel behind the CDK takes seconds to start."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cdk.app import synth

Resource = dict[str, Any]


@dataclass(frozen=True)
class Assembly:
    folder: Path
    template: dict[str, Any]
    assets: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, stage: str) -> Assembly:
        load = [json.loads((folder / f"millrace-{stage}.{what}.json").read_text()) for what in ("template", "assets")]
        return cls(folder, *load)

    def of_type(self, kind: str) -> dict[str, Resource]:
        return {n: r for n, r in self.template["Resources"].items() if r["Type"] == kind}

    def only(self, kind: str) -> Resource:
        (resource,) = self.of_type(kind).values()
        return resource

    def machine(self, name: str) -> Resource:
        """The state machine of this name without the stage."""
        found = {r["Properties"]["StateMachineName"].split("-", 2)[2]: r for r in self._machines()}
        return found[name]

    def _machines(self) -> list[Resource]:
        return list(self.of_type("AWS::StepFunctions::StateMachine").values())

    def functions(self) -> dict[str, Resource]:
        """Name without the stage -> the function's properties."""
        found = (r["Properties"] for r in self.of_type("AWS::Lambda::Function").values())
        return {properties["FunctionName"].split("-", 2)[2]: properties for properties in found}

    def archive(self, properties: Resource) -> Path:
        """The zip that a function's code is."""
        asset = properties["Code"]["S3Key"].removesuffix(".zip")
        return self.folder / self.assets["files"][asset]["source"]["path"]


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Assembly]:
    """dev and prod are checked while they are synthesized: a finding that nothing explains raises here."""

    @cache
    def of(stage: str) -> Assembly:
        folder = synth(stage, tmp_path_factory.mktemp(stage), check=stage != "local")
        return Assembly.read(folder, stage)

    return of


@pytest.fixture(params=["local", "dev", "prod"])
def stack(request: pytest.FixtureRequest, assembly: Callable[[str], Assembly]) -> Iterator[Assembly]:
    yield assembly(request.param)


@pytest.fixture
def prod(assembly: Callable[[str], Assembly]) -> Assembly:
    return assembly("prod")
