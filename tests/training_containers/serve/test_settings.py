"""What is served, and what is refused before llama.cpp opens it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from millrace.errors import Corrupt, InvalidInput

from tests.training_containers.serve.conftest import model_folder
from training_containers.serve.settings import Settings, opened


def test_a_whole_folder_is_opened_with_its_settings(tmp_path: Path) -> None:
    path, serving, told = opened(model_folder(tmp_path, b"x", instruction="Rewrite.", stop=["END"]))

    assert path == tmp_path / "model" / "model.gguf"
    assert (serving.instruction, serving.context, serving.stop) == ("Rewrite.", 256, ["END"])
    assert told.format == "gguf"


def test_a_file_that_is_not_the_manifests_is_refused(tmp_path: Path) -> None:
    root = model_folder(tmp_path, b"what was made")
    (root / "model" / "model.gguf").write_bytes(b"what was put there")

    with pytest.raises(Corrupt, match=r"model\.gguf .*SHA-256"):
        opened(root)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    root = model_folder(tmp_path, b"x")
    (root / "model" / "manifest.json").unlink()

    with pytest.raises(Corrupt, match="did not finish"):
        opened(root)


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="'adapter'; this container serves 'gguf'"):
        opened(model_folder(tmp_path, b"x", format="adapter"))


def test_a_model_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    root = model_folder(tmp_path, b"x")
    path = root / "model" / "manifest.json"
    told = json.loads(path.read_text())
    told["files"] = [file for file in told["files"] if file["path"] != "model.gguf"]
    path.write_text(json.dumps(told))

    with pytest.raises(Corrupt, match=r"lists no model\.gguf"):
        opened(root)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="context"):
        opened(model_folder(tmp_path, b"x", context=-5))


def test_the_environment_sets_the_machine() -> None:
    env = {"SAGEMAKER_BIND_TO_PORT": "9000", "MILLRACE_BIND_HOST": "127.0.0.1", "MILLRACE_SERVE_TIMEOUT_S": "2.5"}

    settings = Settings.from_env(env)

    assert (settings.port, settings.host, settings.timeout_s, settings.queue) == (9000, "127.0.0.1", 2.5, 16)
    assert Settings.from_env({}) == Settings()


def test_a_setting_that_is_no_number_is_named() -> None:
    with pytest.raises(InvalidInput, match="SAGEMAKER_BIND_TO_PORT must be a number, not 'http'"):
        Settings.from_env({"SAGEMAKER_BIND_TO_PORT": "http"})
