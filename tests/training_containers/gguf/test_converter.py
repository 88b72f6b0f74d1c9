"""llama.cpp's converter: where it comes from and how it is run."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import time
from pathlib import Path

import pytest
from millrace.errors import Corrupt, InvalidInput, TrainingFailed

from training_containers.common.manifest import sha256
from training_containers.gguf import converter
from training_containers.serve import header

TOP = "llama_cpp_python-0/vendor/llama.cpp"


def archive(path: Path, files: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
    return path


def test_only_the_converters_files_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        f"{TOP}/convert_hf_to_gguf.py": b"script",
        f"{TOP}/conversion/phi.py": b"phi",
        f"{TOP}/gguf-py/gguf/__init__.py": b"gguf",
        f"{TOP}/src/llama.cpp": b"not this",
        f"{TOP}/conversion/../../../escaped.py": b"nor this",
        "llama_cpp_python-0/pyproject.toml": b"nor this",
    }
    source = archive(tmp_path / "sdist.tar.gz", files, link=f"{TOP}/conversion/link.py")
    monkeypatch.setattr(converter, "SHA256", sha256(source))

    assert converter.fetch(tmp_path / "out" / "llama.cpp", source)

    taken = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert taken == {
        "llama.cpp/convert_hf_to_gguf.py",
        "llama.cpp/conversion/phi.py",
        "llama.cpp/gguf-py/gguf/__init__.py",
        "llama.cpp/sdist.sha256",
    }
    assert not (tmp_path / "escaped.py").exists()


def test_a_source_with_another_hash_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = archive(tmp_path / "sdist.tar.gz", {f"{TOP}/convert_hf_to_gguf.py": b"evil"})

    with pytest.raises(Corrupt, match="SHA-256"):
        converter.fetch(tmp_path / "out", source)

    assert not (tmp_path / "out").exists()


def test_the_hash_is_the_one_that_the_lock_names() -> None:
    lock = (Path(__file__).parents[3] / "requirements" / "containers.txt").read_text()
    entry = lock[lock.index("llama-cpp-python==") :].split("# via")[0]

    assert entry.startswith(f"llama-cpp-python=={converter.VERSION} ")
    assert converter.SHA256 in entry


def test_fetching_again_is_quick_and_says_that_it_did_nothing(llama_cpp: Path) -> None:
    began = time.monotonic()

    assert converter.fetch(llama_cpp) is False

    assert time.monotonic() - began < 1


def test_a_missing_converter_is_named_with_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(converter.FOLDER, str(tmp_path / "nowhere"))

    with pytest.raises(InvalidInput, match=r"converter --fetch .*nowhere"):
        converter.convert(tmp_path, tmp_path / "out.gguf")


def test_the_converted_file_has_the_models_shape(f16: Path) -> None:
    read = header.read(f16)

    assert read.architecture == "phi3"
    assert read.metadata["phi3.block_count"] == 2
    assert read.metadata["phi3.embedding_length"] == 256
    assert {t.name for t in read.tensors} >= {"token_embd.weight", "blk.1.attn_qkv.weight", "output_norm.weight"}


def test_a_model_that_the_converter_does_not_know_is_one_sentence(
    merged: Path, llama_cpp: Path, tmp_path: Path
) -> None:
    strange = shutil.copytree(merged, tmp_path / "strange")
    config = json.loads((strange / "config.json").read_text())
    (strange / "config.json").write_text(json.dumps(config | {"architectures": ["NobodyForCausalLM"]}))

    with pytest.raises(TrainingFailed, match="NobodyForCausalLM"):
        converter.convert(strange, tmp_path / "out.gguf")
