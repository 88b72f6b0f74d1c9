"""`millrace jobs launch`: one container by hand, on this machine, in an image, in a cluster or at AWS.

--remote and --container go through the `sagemaker` SDK (extra `sagemaker`): the first as a training job at AWS, the
second in a local container as that SDK runs it. Everything else is an executor of ours.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..container import Manifest
from ..errors import InvalidInput
from ..executors import EXECUTORS, Executor, Needs, executor
from ..executors.launch import Launch, launch
from ..executors.sdk import train
from ..strategies import find
from . import show
from .options import Json, plainly, settings_of

Channel = Annotated[list[str] | None, typer.Option("--channel", help="An input: name=path, as train=pairs.jsonl.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the job; its model/ holds the result.")]
On = Annotated[str, typer.Option("--executor", help=", ".join(EXECUTORS) + ".")]


@plainly
def launch_one(
    strategy: Annotated[str, typer.Option(help="What to run.")] = "lora-sft",
    channel: Channel = None,
    out: Out = Path("job"),
    set_: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter: name=value.")] = None,
    on: On = "process",
    image: Annotated[str, typer.Option(help="Else the strategy's own image.")] = "",
    network: Annotated[bool, typer.Option("--network", help="Let the container reach the network.")] = False,
    max_runtime_s: Annotated[int | None, typer.Option(min=1, help="It is stopped then.")] = None,
    instance: Annotated[str | None, typer.Option(help="SageMaker's machine.")] = None,
    role: Annotated[str, typer.Option(envvar="MILLRACE_TRAINING_ROLE", help="SageMaker's role.")] = "",
    place: Annotated[str, typer.Option(help="SageMaker's s3://bucket/prefix.")] = "",
    claim: Annotated[str, typer.Option(help="Kubernetes: the volume claim that --mount mounts here.")] = "",
    mount: Annotated[Path, typer.Option(help="Kubernetes: where it is mounted.")] = Path("/"),
    namespace: Annotated[str, typer.Option(help="Kubernetes.")] = "default",
    remote: Annotated[bool, typer.Option("--remote", help="By the sagemaker SDK, at AWS.")] = False,
    container: Annotated[bool, typer.Option("--container", help="By the sagemaker SDK, in a local container.")] = False,
    json: Json = False,
) -> None:
    """Run one container by hand and check its result."""
    chosen = find(strategy)
    needs = Needs.of(chosen.resources)
    if on in ("process", "docker"):
        needs = Needs(max_runtime_s=needs.max_runtime_s)  # what this machine has is what there is
    needs = replace(
        needs, max_runtime_s=max_runtime_s or needs.max_runtime_s, instance_type=instance or needs.instance_type
    )
    wanted = Launch(chosen, settings_of(set_), _channels(channel or []), out, needs, image, not network)
    if remote or container:
        _by_sdk(wanted, role, local=container)
        return
    settings: dict[str, dict[str, Any]] = {"kubernetes": {"claim": claim, "mount": mount, "namespace": namespace}}
    made = _sagemaker(role, place) if on == "sagemaker" else executor(on, **settings.get(on, {}))
    manifest = launch(made, wanted, lambda line: show.err().print(line, markup=False))
    _tell(manifest, out, json)


def _channels(given: list[str]) -> dict[str, Path]:
    pairs = [text.partition("=") for text in given]
    if wrong := [name for name, sign, path in pairs if not (name and sign and path)]:
        raise InvalidInput(f"A channel is given as name=path, not {wrong[0]!r}.")
    return {name: Path(path) for name, _, path in pairs}


def _sagemaker(role: str, place: str) -> Executor:
    import boto3

    if not role or not place:
        raise InvalidInput("SageMaker wants --role and --place.")
    clients = {name: boto3.client(name) for name in ("sagemaker", "s3", "logs")}
    return executor("sagemaker", role=role, place=place, **clients)


def _by_sdk(wanted: Launch, role: str, local: bool) -> None:
    try:
        train(wanted, role, local)
    except ImportError as error:
        raise InvalidInput("That wants the SDK: pip install 'millrace[sagemaker]'.") from error


def _tell(manifest: Manifest, out: Path, json: bool) -> None:
    if json:
        show.say_json(manifest.model_dump())
        return
    show.facts({"result": str(out / "model"), "format": manifest.format, "files": len(manifest.files)})
    show.facts(dict(manifest.metrics))
