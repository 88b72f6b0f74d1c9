"""llama.cpp's own Hugging Face converter, out of the llama-cpp-python source of the version that we run.

    python -m training_containers.gguf.converter --fetch DIR

fetches that source through pip, checks its SHA-256 and keeps the converter's files alone (2 MB of 77). `convert` only
uses the folder: a container has no network. The folder is DIR of MILLRACE_LLAMA_CPP, else .millrace/llama.cpp.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Final

from millrace.errors import Corrupt, InvalidInput, TrainingFailed, Unavailable

from training_containers.common.manifest import sha256

VERSION: Final = "0.3.36"
SHA256: Final = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
"""Of llama_cpp_python-0.3.36.tar.gz; the same as in requirements/containers.txt."""
FOLDER: Final = "MILLRACE_LLAMA_CPP"
_WANTED: Final = ("convert_hf_to_gguf.py", "conversion/", "gguf-py/gguf/", "gguf-py/LICENSE", "LICENSE")
_STAMP: Final = "sdist.sha256"
CONVERT_TIMEOUT_S: Final = 3600


def folder() -> Path:
    """Where the converter lies, fetched or not."""
    default = Path(__file__).parents[2] / ".millrace" / "llama.cpp"
    return Path(os.environ.get(FOLDER) or default)


def fetch(to: Path, sdist: Path | None = None) -> bool:
    """Put the converter into `to`. False when it lay there already."""
    stamp = to / _STAMP
    if stamp.is_file() and stamp.read_text() == SHA256:
        return False
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
        archive = sdist or _download(Path(scratch))
        if sha256(archive) != SHA256:
            raise Corrupt(f"{archive.name} does not have the SHA-256 {SHA256[:12]}... of llama-cpp-python {VERSION}.")
        taken = Path(scratch) / "taken"
        _extract(archive, taken)
        (taken / _STAMP).write_text(SHA256)
        shutil.rmtree(to, ignore_errors=True)
        os.replace(taken, to)
    return True


def _download(into: Path) -> Path:
    """pip asks the source for its metadata, which builds nothing; it checks the hash before it opens the archive."""
    wanted = into / "requirement.txt"
    wanted.write_text(f"llama-cpp-python=={VERSION} --hash=sha256:{SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python"]
    done = subprocess.run([*command, "--dest", str(into), "-r", str(wanted)], capture_output=True, text=True)
    found = list(into.glob("llama_cpp_python-*.tar.gz"))
    if done.returncode or len(found) != 1:
        last = (done.stderr.strip().splitlines() or ["pip gives no reason"])[-1]
        raise Unavailable(f"The source of llama-cpp-python {VERSION} could not be fetched: {last}")
    return found[0]


def _extract(archive: Path, to: Path) -> None:
    """Only regular files below the wanted names, each written under its own checked path."""
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            below = PurePosixPath(*path.parts[3:])
            if path.parts[1:3] != ("vendor", "llama.cpp") or not member.isfile() or ".." in path.parts:
                continue
            if not any(str(below) == name or str(below).startswith(name) for name in _WANTED):
                continue
            target = to / below
            target.parent.mkdir(parents=True, exist_ok=True)
            if source := tar.extractfile(member):
                target.write_bytes(source.read())


def start(model: Path, to: Path) -> subprocess.Popen[str]:
    """Begin converting a Hugging Face folder to an f16 GGUF; `finish` waits. It imports torch: 3 s at the least."""
    script = folder() / "convert_hf_to_gguf.py"
    if not script.is_file():
        raise InvalidInput(
            f"llama.cpp's converter is not in {script.parent}; "
            f"`python -m training_containers.gguf.converter --fetch {script.parent}` puts it there."
        )
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NO_LOCAL_GGUF")}
    return subprocess.Popen(
        [sys.executable, str(script), str(model), "--outtype", "f16", "--outfile", str(to)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
    )


def finish(running: subprocess.Popen[str], to: Path) -> Path:
    """The GGUF that a started conversion writes."""
    try:
        _, said = running.communicate(timeout=CONVERT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        running.kill()
        running.communicate()
        raise TrainingFailed(f"llama.cpp's converter did not end within {CONVERT_TIMEOUT_S} s.") from None
    if running.returncode or not to.is_file():
        last = (said.strip().splitlines() or ["it gives no reason"])[-1]
        raise TrainingFailed(f"llama.cpp's converter refuses this model: {last}")
    return to


def convert(model: Path, to: Path) -> Path:
    return finish(start(model, to), to)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetch", type=Path, required=True, metavar="DIR")
    parser.add_argument("--sdist", type=Path, help="the source archive, where it is here already")
    options = parser.parse_args()
    fetched = fetch(options.fetch.resolve(), options.sdist)
    print(f"llama.cpp's converter {'put into' if fetched else 'is already in'} {options.fetch}")


if __name__ == "__main__":
    main()
