"""Header limits: what a crafted GGUF may not do."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from millrace.errors import Corrupt

from training_containers.gguf import converter
from training_containers.serve import header
from training_containers.serve.llama import Model


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def crafted(
    *, tensors: int = 1, keys: int = 1, version: int = 3, rest: bytes = b"", data: bytes = bytes(4096)
) -> bytes:
    architecture = string("general.architecture") + struct.pack("<I", 8) + string("phi3")
    described = string("token_embd.weight") + struct.pack("<IQQIQ", 2, 8, 8, 0, 0)
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + architecture + rest + described + data


def refused(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(Corrupt) as error:
        header.read(path)
    return str(error.value)


def test_the_reader_agrees_with_llama_cpps_own(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(converter.folder() / "gguf-py")
    from gguf import GGUFReader

    theirs, ours = GGUFReader(gguf), header.read(gguf)

    assert [(t.name, t.size_bytes, t.offset) for t in ours.tensors] == [
        (t.name, t.n_bytes, t.data_offset) for t in theirs.tensors
    ]
    assert set(ours.metadata) == {name for name in theirs.fields if not name.startswith("GGUF.")}


def test_the_block_sizes_are_ggmls(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(converter.folder() / "gguf-py")
    from gguf.constants import GGML_QUANT_SIZES

    theirs = {int(type): sizes for type, sizes in GGML_QUANT_SIZES.items()}

    assert {type: theirs[type] for type in header._BLOCKS} == header._BLOCKS


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(crafted())

    assert header.read(tmp_path / "model.gguf").architecture == "phi3"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a GGUF"),
        (b"PK\x03\x04" + bytes(99), "not a GGUF"),
        (b"GGUF", "cut short"),
        (crafted(version=1), "version 1"),
        (crafted(tensors=1 << 40), "1099511627776 tensors"),
        (crafted(keys=1 << 40), "metadata keys"),
        (crafted(tensors=0), "no model"),
        (crafted(data=b""), "cut short"),
        (crafted(keys=2, rest=struct.pack("<Q", 1 << 62)), "bytes of a string"),
        (crafted(keys=2, rest=string("k") + struct.pack("<I", 99)), "unknown type 99"),
        (crafted(keys=2, rest=string("k") + struct.pack("<IIQ", 9, 4, 1 << 50)), "items of an array"),
        (crafted(keys=2, rest=string("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9), "unknown type 9"),
        (crafted(keys=2, rest=string("general.alignment") + struct.pack("<II", 4, 0)), "alignment of 0"),
    ],
)
def test_a_crafted_header_is_refused_with_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refused(tmp_path, content)


def test_a_truncated_model_is_refused(gguf: Path, tmp_path: Path) -> None:
    whole = gguf.read_bytes()

    assert "cut short" in refused(tmp_path, whole[: len(whole) - 4096])
    assert "cut short" in refused(tmp_path, whole[:5000])


def test_random_damage_is_refused_or_read_and_never_crashes(gguf: Path, tmp_path: Path) -> None:
    whole, draw, path = gguf.read_bytes(), random.Random(1), tmp_path / "model.gguf"
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[draw.randrange(4, 400)] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            header.read(path)
        except Corrupt as error:
            assert str(error).startswith("model.gguf")


def test_a_sound_header_round_nonsense_is_llama_cpps_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(crafted())

    with pytest.raises(Corrupt, match=r"llama\.cpp cannot load model\.gguf: .+"):
        Model(path)
