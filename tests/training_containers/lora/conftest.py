"""A random Phi-3 of two layers with millrace-tiny's tokenizer, and a trained adapter, once a session."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from millrace import contract

from training_containers.common import main
from training_containers.common.job import Job
from training_containers.tiny import pairs

WEIGHTS = Path(pairs.__file__).with_name("weights")
TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")


def rows(count: int, first: int = 0) -> list[dict[str, str]]:
    made = pairs.good(first + count, seed=5)[first:]
    return [{"id": f"r{index}", "source": source, "target": target} for index, (source, target) in enumerate(made)]


def job_folder(root: Path, channels: dict[str, Any], **hyperparameters: Any) -> Job:
    """A job as SageMaker lays it out. A channel is a folder to link or the rows of a data.jsonl."""
    config = root / contract.HYPERPARAMETERS
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({name: json.dumps(value) for name, value in hyperparameters.items()}))
    for name, content in channels.items():
        folder = root / contract.DATA / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            folder.symlink_to(content)
        else:
            folder.mkdir()
            (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return Job(root)


def sentence(job: Job, strategy: str = "lora-sft") -> str:
    """How the job fails."""
    assert main.run("lora", job) == 1, f"{strategy} was to fail"
    return (job.root / contract.FAILURE).read_text()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    folder = tmp_path_factory.mktemp("base")
    for name in TOKENIZER:
        shutil.copyfile(WEIGHTS / name, folder / name)
    torch.manual_seed(3)
    config = Phi3Config(
        vocab_size=4096, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, original_max_position_embeddings=256,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=5, pad_token_id=7,
    )  # fmt: skip
    Phi3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A short training that went well; its progress lines are kept beside it."""
    import contextlib
    import io

    every = rows(64)
    channels = {"train": every[:48], "validation": every[48:56], "test": every[56:], "base": base}
    job = job_folder(
        tmp_path_factory.mktemp("trained") / "job", channels, strategy="lora-sft", epochs=3, learning_rate=0.01, seed=1
    )
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = main.run("lora", job)
    (job.root / "stdout").write_text(said.getvalue())
    failure = job.root / contract.FAILURE
    assert status == 0, failure.read_text() if failure.is_file() else said.getvalue()
    return job
