"""`make images`: build the images from their Dockerfiles; tests/images.py then runs each without network.

Any engine with Docker's command line does. Where no registry is reached, give BASE=, or let debootstrap make a base of
this Debian; podman without a daemon then builds by buildah in a chroot. This machine's certificates and the folders of
wheels that pip is told of (PIP_FIND_LINKS) are lent to the build and are not in the image.
"""

from __future__ import annotations

import argparse
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

from millrace.executors.docker import found

from .. import bundle
from ..images import CONTAINERS

BASE = "python:3.11-slim-bookworm"
OWN_BASE = "localhost/millrace-base:bookworm"
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
PREFACE = (
    "Builds {names} by {engine}. The first time all four take about half an hour on 2 cores, much of it llama.cpp, "
    "which is compiled once for gguf and serve; what has not changed is not built again."
)
LABEL = "millrace.made-of"
"""Context, base and torch of an image: where they are the same there is nothing to build."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


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


def build(command: list[str], name: str, on: str, torch: str) -> str:
    """What it took, in words. The context is a copy: a build takes long, and old contexts are cleared away."""
    began = time.monotonic()
    source = bundle.context()
    made_of = f"{source.name} {_id(command, on)} {torch}"
    if _told(command, image(name), f'{{{{ index .Config.Labels "{LABEL}" }}}}') == made_of:
        return "stands already"
    with tempfile.TemporaryDirectory() as folder:
        context = Path(shutil.copytree(source, Path(folder) / "context"))
        _build(command, name, [f"BASE={on}", f"TORCH={torch}"], context, made_of)
    return f"built in {time.monotonic() - began:.0f} s"


def _build(command: list[str], name: str, given: list[str], context: Path, made_of: str) -> None:
    dockerfile = context / "training_containers" / name / "Dockerfile"
    known = dockerfile.read_text()
    arguments = [part for pair in given if f"ARG {pair.split('=')[0]}" in known for part in ("--build-arg", pair)]
    arguments += [
        "--label",
        f"{LABEL}={made_of}",
        "--file",
        str(dockerfile),
        "--tag",
        image(name),
        str(context),
    ]
    with lent() as volumes:
        if by_buildah(command):
            layers = [] if "vfs" in storage(command) else ["--layers"]  # vfs copies everything for each layer
            confined = ["--isolation", "chroot", "--network", "host"]
            run(["buildah", *storage(command), "bud", *layers, *confined, *volumes, *arguments])
        else:
            run([*command, "build", *(volumes if Path(command[0]).name == "podman" else []), *arguments])


def image(name: str) -> str:
    return f"localhost/millrace-{name}:latest"


def _id(command: list[str], of: str) -> str:
    return _told(command, of, "{{ .Id }}")


def size_gb(command: list[str], name: str) -> float:
    return int(_told(command, image(name), "{{ .Size }}") or 0) / 1e9


def _told(command: list[str], image: str, form: str) -> str:
    """What the engine knows of an image; nothing where there is none."""
    done = subprocess.run([*command, "image", "inspect", "--format", form, image], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CONTAINERS))
    names = parser.parse_args().names
    try:
        command = engine()
        print(PREFACE.format(names=", ".join(names), engine=shlex.join(command)), flush=True)
        on = base(command, os.environ.get("BASE") or BASE)
        for name in names:
            how = build(command, name, on, os.environ.get("TORCH") or "torch-cpu.txt")
            print(f"{image(name)}, {size_gb(command, name):.2f} GB, {how}", flush=True)
    except NoImages as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
