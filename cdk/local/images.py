"""`make images`: build the images from their Dockerfiles and train inside one, without network.

Any engine with Docker's command line does. Where no registry is reached, give BASE=, or let debootstrap make a base of
this Debian; podman without a daemon then builds by buildah in a chroot. This machine's certificates and the folders of
wheels that pip is told of (PIP_FIND_LINKS) are lent to the build and are not in the image.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from millrace.executors import Needs
from millrace.executors.docker import Engine, found
from millrace.executors.launch import Launch, launch
from millrace.strategies import find

from .. import bundle
from ..images import CONTAINERS
from .settings import REPO

BASE = "python:3.11-slim-bookworm"
OWN_BASE = "localhost/millrace-base:bookworm"
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
ROWS, HELD_OUT = 60, 12
TRAIN_S = 900


class NoImages(Exception):
    """The sentence says what is missing."""


def run(command: list[str]) -> None:
    print("+", shlex.join(command), flush=True)
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
        raise NoImages(f"{shlex.join(command[:3])} ... failed; its own words stand above.")


def engine() -> list[str]:
    command = found()
    if command is None:
        raise NoImages(
            "No engine with Docker's command line answers; install podman, or name yours in MILLRACE_ENGINE."
        )
    return command


def by_buildah(command: list[str]) -> bool:
    return Path(command[0]).name == "podman" and shutil.which("buildah") is not None


def base(command: list[str], given: str) -> str:
    """The image to build on: the one that was asked for, or one made here where there is none."""
    if given != BASE or reached(command, given):
        return given
    if not reached(command, OWN_BASE):
        with tempfile.TemporaryDirectory() as folder:
            make_base(command, Path(folder) / "root")
    return OWN_BASE


def reached(command: list[str], image: str) -> bool:
    if subprocess.run([*command, "image", "inspect", image], capture_output=True).returncode == 0:
        return True
    local = image.startswith("localhost/")
    return not local and subprocess.run([*command, "pull", "--quiet", image], capture_output=True).returncode == 0


def make_base(command: list[str], root: Path) -> None:
    if shutil.which("debootstrap") is None or os.getuid() != 0:
        raise NoImages(f"{BASE} cannot be fetched; name an image with BASE=, or install debootstrap and be root.")
    run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)])
    shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    archive = root.with_suffix(".tar")
    run(["tar", "-C", str(root), "-cf", str(archive), "."])
    run([*command, "import", str(archive), OWN_BASE])


@contextmanager
def lent() -> Iterator[list[str]]:
    """Volumes of the build: certificates, and the folders that pip looks for wheels in."""
    folders = [text for text in os.environ.get("PIP_FIND_LINKS", "").split() if Path(text).is_dir()]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write("[global]\n" + (f"find-links = {' '.join(folders)}\n" if folders else ""))
        conf.flush()
        os.chmod(conf.name, 0o644)
        pairs = [
            (CERTIFICATES, CERTIFICATES),
            (Path(conf.name), Path("/etc/pip.conf")),
            *[(Path(f), Path(f)) for f in folders],
        ]
        yield [part for host, inside in pairs if host.exists() for part in ("--volume", f"{host}:{inside}:ro")]


def build(command: list[str], name: str, on: str, torch: str) -> float:
    """Seconds that it took. The context is a copy of its own: a build takes long, and old contexts are cleared away."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(shutil.copytree(bundle.context(), Path(folder) / "context"))
        return _build(command, name, on, torch, context)


def _build(command: list[str], name: str, on: str, torch: str, context: Path) -> float:
    began = time.monotonic()
    arguments = ["--build-arg", f"BASE={on}"]
    dockerfile = context / "training_containers" / name / "Dockerfile"
    if "ARG TORCH" in dockerfile.read_text():
        arguments += ["--build-arg", f"TORCH={torch}"]
    arguments += ["--file", str(dockerfile), "--tag", f"localhost/millrace-{name}:latest", str(context)]
    with lent() as volumes:
        if by_buildah(command):
            run(
                [
                    "buildah",
                    *storage(command),
                    "bud",
                    *([] if "vfs" in storage(command) else ["--layers"]),  # vfs copies everything for each layer
                    "--isolation",
                    "chroot",
                    "--network",
                    "host",
                    *volumes,
                    *arguments,
                ]
            )
        else:
            run([*command, "build", *(volumes if Path(command[0]).name == "podman" else []), *arguments])
    return time.monotonic() - began


def storage(command: list[str]) -> list[str]:
    """podman's own storage, for buildah: the two choose different drivers where nobody tells them."""
    form = "{{.Store.GraphDriverName}} {{.Store.GraphRoot}} {{.Store.RunRoot}}"
    done = subprocess.run([*command, "info", "--format", form], capture_output=True, text=True)
    if done.returncode != 0:
        raise NoImages(f"{command[0]} does not say where it keeps images: {done.stderr.strip()[:200]}")
    return [
        part
        for pair in zip(("--storage-driver", "--root", "--runroot"), done.stdout.split(), strict=True)
        for part in pair
    ]


def train(command: list[str]) -> None:
    """millrace-tiny, fine-tuned in the image of lora without network; its result is checked."""
    from training_containers.tiny.pairs import good

    with tempfile.TemporaryDirectory() as folder:
        rows = list(dict(good(2 * ROWS)).items())[:ROWS]  # each source once: what is held out is not trained on
        train = _rows(Path(folder) / "train", rows[HELD_OUT:])
        validation = _rows(Path(folder) / "validation", rows[:HELD_OUT])
        wanted = Launch(
            strategy=find("lora-sft"),
            hyperparameters={"epochs": 1, "minimum_rows": 1},
            channels={"train": train, "validation": validation, "base": REPO / "training_containers/tiny/weights"},
            out=Path(folder) / "job",
            needs=Needs(max_runtime_s=TRAIN_S),
        )
        manifest = launch(Engine(command), wanted, lambda line: print(line, flush=True))
        print(f"Trained in the image, without network: {len(manifest.files)} files, {dict(manifest.metrics)}")


def _rows(channel: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [{"id": str(n), "source": source, "target": target} for n, (source, target) in enumerate(rows)]
    channel.mkdir()
    (channel / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return channel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["build", "train", "all"])
    parser.add_argument("names", nargs="*", default=list(CONTAINERS))
    options = parser.parse_args()
    try:
        command = engine()
        if options.what in ("build", "all"):
            on = base(command, os.environ.get("BASE") or BASE)
            for name in options.names:
                took_s = build(command, name, on, os.environ.get("TORCH") or "torch-cpu.txt")
                print(f"localhost/millrace-{name}:latest, built in {took_s:.0f} s", flush=True)
        if options.what in ("train", "all"):
            train(command)
    except NoImages as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
