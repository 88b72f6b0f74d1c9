"""The Lambda assets: small enough, the same each time, and importable by the Python that runs them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cdk import bundle, bytecode
from cdk.stage import STAGES

from .conftest import Assembly

LIMIT_BYTES = 150 * 1024 * 1024
"""Lambda allows 250 MiB unzipped; what is left is for growth and for a layer."""


def python313() -> Path | None:
    """A Python of the cloud's version, where pyenv has one."""
    found = sorted((Path.home() / ".pyenv/versions").glob("3.13*/bin/python"))
    return found[-1] if found else None


@pytest.mark.parametrize("stage", ["local", "dev"])
def test_each_asset_is_within_its_budget(assembly: Callable[[str], Assembly], stage: str) -> None:
    made = assembly(stage)

    for archive in {made.archive(function) for function in made.functions().values()}:
        with zipfile.ZipFile(archive) as zipped:
            assert sum(entry.file_size for entry in zipped.infolist()) <= LIMIT_BYTES


def test_every_handler_is_in_its_asset(stack: Assembly) -> None:
    for name, function in stack.functions().items():
        module = function["Handler"].rsplit(".", 1)[0].replace(".", "/") + ".py"
        started = name == "stream"
        with zipfile.ZipFile(stack.archive(function)) as zipped:
            wanted = function["Handler"] if started else module
            assert {wanted, "millrace/contract.py"} <= set(zipped.namelist()), name
            assert not started or zipped.getinfo(wanted).external_attr >> 16 & 0o111, "the adapter executes it"


def test_every_asset_knows_every_strategy(stack: Assembly) -> None:
    described = {path.parent.name for path in bundle.ROOT.glob("training_containers/*/strategy.json")}

    for archive in {stack.archive(function) for function in stack.functions().values()}:
        with zipfile.ZipFile(archive) as zipped:
            carried = [Path(n).stem for n in zipped.namelist() if n.startswith("millrace/strategies.d/")]
        assert sorted(carried) == sorted(described) != []


def test_an_asset_holds_nothing_that_no_function_imports(stack: Assembly) -> None:
    for archive in {stack.archive(function) for function in stack.functions().values()}:
        with zipfile.ZipFile(archive) as zipped:
            parts = {part for name in zipped.namelist() for part in name.split("/")}
        assert not parts & {"tests", "cdk", "training_containers", "torch"}


@pytest.mark.parametrize("stage", ["local", "dev"])
def test_every_module_of_ours_comes_with_bytecode_for_the_python_that_runs_it(
    assembly: Callable[[str], Assembly], stage: str
) -> None:
    """Unchecked: PEP 552's flags are 1; the magic number is the version's."""
    version = STAGES[stage].python
    python = bytecode.interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    told = subprocess.run([python, "-c", _MAGIC], capture_output=True, text=True, check=True).stdout.strip()
    made = assembly(stage)

    for archive in {made.archive(function) for function in made.functions().values()}:
        with zipfile.ZipFile(archive) as zipped:
            names = set(zipped.namelist())
            assert len(names) == len(zipped.namelist())
            ours = [n for n in names if n.startswith(("millrace/", "functions/")) and n.endswith(".py")]
            for name in ours:
                folder, _, module = name.rpartition("/")
                head = zipped.read(f"{folder}/__pycache__/{module[:-3]}.cpython-{version.replace('.', '')}.pyc")[:8]
                assert head == bytes.fromhex(told) + (1).to_bytes(4, "little"), name
            compiled = sum(name.endswith(".pyc") for name in names)
            assert compiled >= 0.95 * sum(name.endswith(".py") for name in names)


_MAGIC = "import importlib.util; print(importlib.util.MAGIC_NUMBER.hex())"


def test_bytecode_depends_on_the_source_alone(tmp_path: Path) -> None:
    files = [(f"m{n}.py", f"X = {{'a', 'b', 'c'}} & {{'{n}'}}\n".encode()) for n in range(3)]
    version = STAGES["local"].python

    made = [list(bytecode.of_sources(files, tmp_path / name, version)) for name in ("here", "and-there")]

    assert made[0] == made[1] and len(made[0]) == 3


def test_the_same_source_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, key = bundle.build(bundle.FUNCTIONS, STAGES["local"])
    wheels, _ = bundle._wheels(bundle.FUNCTIONS, STAGES["local"])
    monkeypatch.setattr(bundle, "CACHE", tmp_path)
    (tmp_path / wheels.name).write_bytes(wheels.read_bytes())

    again, key_again = bundle.build(bundle.FUNCTIONS, STAGES["local"])

    assert (again.name, key_again) == (first.name, key)
    assert again.read_bytes() == first.read_bytes()


def test_a_build_that_breaks_leaves_no_archive(tmp_path: Path) -> None:
    target = tmp_path / "asset.zip"

    with pytest.raises(OSError, match="full"), bundle._staged(target) as part:
        part.write_bytes(b"half")
        raise OSError("disk full")

    assert list(tmp_path.iterdir()) == []


PROBE = """
import importlib, json, os, sys
sys.path.insert(0, sys.argv[1])
for name, value in json.loads(sys.argv[3]).items():
    os.environ[name] = value
for handler in sys.argv[2].split(","):
    module, _, attribute = handler.rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute)), handler
assert not [m for m in ("openai", "anthropic", "google.genai") if m in sys.modules], "a provider's SDK at import"
"""


@pytest.mark.parametrize("stage", ["local", "dev"])
def test_every_handler_can_be_imported_from_its_asset(
    assembly: Callable[[str], Assembly], stage: str, tmp_path: Path
) -> None:
    """boto3 comes with the Lambda runtime and with the engine, so a stand-in folder lends this machine's."""
    made = assembly(stage)
    python = Path(sys.executable) if stage == "local" else python313()
    if python is None:
        pytest.skip("no Python 3.13 under ~/.pyenv/versions to import the cloud's asset with")
    runtime = _runtime(tmp_path)

    archives = {made.archive(function) for function in made.functions().values()}
    assert len(archives) == len(bundle.KINDS)
    for archive in archives:
        _import_all(made, archive, python, tmp_path / archive.stem, runtime)


def _import_all(made: Assembly, archive: Path, python: Path, folder: Path, runtime: Path) -> None:
    import json

    from cdk.rules import text_of

    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)
    own = [function for function in made.functions().values() if made.archive(function) == archive]
    environment = {k: text_of(v) for function in own for k, v in function["Environment"]["Variables"].items()}
    environment |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    started = {"functions/gateway/run.sh": "functions.gateway.streaming.app"}
    handlers = ",".join(started.get(function["Handler"], function["Handler"]) for function in own)

    result = subprocess.run(
        [python, "-S", "-B", "-c", PROBE, folder, handlers, json.dumps(environment)],
        env={"PYTHONPATH": str(runtime), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr[-2000:]


def _runtime(tmp_path: Path) -> Path:
    """What AWS puts beside every function: boto3 and what it needs, and nothing else of this environment."""
    import boto3

    here, folder = Path(boto3.__file__).parent.parent, tmp_path / "runtime"
    folder.mkdir()
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"):
        (folder / name).symlink_to(here / name)
    return folder
