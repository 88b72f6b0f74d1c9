"""The whole step, run as the container runs it: what it leaves, and what makes it leave nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from millrace import contract
from millrace.container import Metrics, Progress
from millrace.errors import Corrupt, InvalidInput, TrainingFailed
from safetensors.torch import load_file, save_file

from tests.training_containers.gguf.conftest import LADDER, add_evaluation, job_folder
from training_containers.common import manifest
from training_containers.common.job import Job
from training_containers.gguf import converter, pipeline, quantize, settings
from training_containers.serve.llama import Context, Model, Sampling

TASK = {
    "examples", "content_kept_rate", "edit_rate", "base_edit_rate", "edit_gain_low", "edit_gain_high", "exact_rate",
}  # fmt: skip
OWN = {"kl_divergence", "top_token_agreement", "size_bytes", "f16_size_bytes", "tokens_per_s", "parity_passed"}


def test_the_result_is_the_winner_its_report_and_how_to_serve_it(finished: Job) -> None:
    read = manifest.read(finished.model)

    assert {file.path for file in read.files} == {"model.gguf", "parity.json", "millrace.json"}
    assert read.format == "gguf" and read.strategy == "gguf"
    assert read.base == manifest.sha256(finished.channel("model") / contract.MANIFEST)
    assert set(read.metrics) == TASK | OWN
    assert read.metrics["parity_passed"] == 1.0
    assert read.metrics["size_bytes"] == (finished.model / "model.gguf").stat().st_size < read.metrics["f16_size_bytes"]


def test_the_smallest_file_that_passed_won(finished: Job) -> None:
    report = json.loads((finished.model / "parity.json").read_text())
    passed = [rung for rung in report["ladder"] if rung["passed"]]

    assert report["winner"] == min(passed, key=lambda rung: rung["size_bytes"])["type"] == "Q4_K_M"
    assert [rung["type"] for rung in report["ladder"]] == ["F16", *LADDER]
    assert report["ladder"][0]["against"] == "the 16-bit weights in torch"
    assert set(report["seconds"]) == set(pipeline.STAGES) - {"write"}


def test_the_winner_answers(finished: Job) -> None:
    model = Model(finished.model / "model.gguf")
    prompt = model.prompt([{"role": "user", "content": "The report is in."}])

    assert len(list(Context(model, 128).generate(prompt, 8, Sampling()))) == 8


def test_every_stage_is_a_progress_line_and_the_last_line_has_the_metrics(finished: Job) -> None:
    lines = [json.loads(line) for line in (finished.root / "stdout").read_text().splitlines()]
    steps = [Progress.model_validate(line) for line in lines[:-1]]

    assert [step.status for step in steps] == [*pipeline.STAGES, "done"]
    assert steps[-1].step == steps[-1].steps
    assert Metrics.model_validate(lines[-1]).metrics == manifest.read(finished.model).metrics


def test_no_scratch_is_left(finished: Job) -> None:
    assert not [path for path in finished.root.iterdir() if path.name.startswith(".gguf")]


def test_the_strategy_file_is_the_settings_schema() -> None:
    path = Path(pipeline.__file__).with_name("strategy.json")
    described = json.loads(path.read_text())["strategies"]["gguf"]
    schema = pipeline.Settings.model_json_schema()["properties"]

    assert described["entry"] == "training_containers.gguf.pipeline:run"
    assert described["hyperparameters"]["properties"] == {
        name: {key: value for key, value in field.items() if key != "title"} for name, field in schema.items()
    }


def test_when_no_quantised_file_passes_the_sixteen_bit_one_is_served(
    base: Path, adapter: Path, played: Path, tmp_path: Path
) -> None:
    job = job_folder(tmp_path, base, adapter, rows=4, kl_max=1e-4)

    pipeline.run(job)

    report = json.loads((job.model / "parity.json").read_text())
    assert report["winner"] == "F16"
    assert all("KL divergence" in rung["reasons"][0] for rung in report["ladder"][1:])


def test_the_bases_answers_come_from_the_evaluation_where_it_is_given(finished: Job) -> None:
    assert manifest.read(finished.model).metrics["base_edit_rate"] == 1.0


def test_without_the_evaluation_the_base_answers_again(base: Path, adapter: Path, played: Path, tmp_path: Path) -> None:
    job = job_folder(tmp_path, base, adapter, rows=4)

    pipeline.run(job)

    assert manifest.read(job.model).metrics["base_edit_rate"] == 0.0  # random weights edit nothing


def test_rows_that_the_evaluation_did_not_judge_are_left_out(base: Path, adapter: Path, tmp_path: Path) -> None:
    job = job_folder(tmp_path, base, adapter, rows=4)
    add_evaluation(job)
    test = job.channel("test") / "data.jsonl"
    test.write_text(test.read_text().replace('"e3"', '"e99"'))
    judged = settings.base_outputs(job.channel("evaluation"))

    assert [e.id for e in settings.examples(job.channel("test"), 2, judged)] == ["e0", "e1"]
    assert [e.id for e in settings.examples(job.channel("test"), 9, judged)] == ["e0", "e1", "e2"]
    with pytest.raises(InvalidInput, match="4 rows and none that the evaluation judged"):
        settings.examples(job.channel("test"), 9, {})


def test_broken_parity_is_refused_with_a_sentence_and_no_result(
    base: Path, adapter: Path, played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversion goes wrong in one matrix: what torch says and what the GGUF says must be told apart."""

    def corrupting(_: object, to: Path) -> Path:
        data = bytearray(to.read_bytes())
        half = len(data) // 2
        data[half : half + 60_000] = np.random.default_rng(0).normal(0, 1, 30_000).astype(np.float16).tobytes()
        to.write_bytes(data)
        return to

    monkeypatch.setattr(converter, "finish", corrupting)
    job = job_folder(tmp_path, base, adapter, rows=4, kl_max=0.05, top_token_agreement_min=0.9)

    with pytest.raises(TrainingFailed, match=r"16-bit GGUF does not say .*KL divergence"):
        pipeline.run(job)

    assert not (job.model / contract.MANIFEST).exists()


def test_an_adapter_whose_files_changed_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    forged = shutil.copytree(adapter, tmp_path / "forged")
    tensors = load_file(forged / "adapter_model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, forged / "adapter_model.safetensors")

    with pytest.raises(Corrupt, match="adapter_model"):
        pipeline.run(job_folder(tmp_path / "job", base, forged))


@pytest.mark.parametrize(
    ("given", "said"), [({"kl_max": -1}, "kl_max"), ({"ladder": ["Q9"]}, "ladder"), ({"context": "wide"}, "context")]
)
def test_a_setting_that_cannot_be_is_refused_by_name(
    base: Path, adapter: Path, tmp_path: Path, given: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        pipeline.run(job_folder(tmp_path, base, adapter, rows=2, **given))


def test_a_rung_that_does_the_task_worse_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"F16": 0.9, "Q8_0": 0.9, "Q4_K_M": 0.7}

    def do_task(rung: pipeline.Rung, *_: object) -> None:
        rung.metrics = dict.fromkeys(pipeline.HELD, rates[rung.type])

    monkeypatch.setattr(pipeline, "_do_task", do_task)
    fine = pipeline.parity.Distance(0.0, 0.0, 1.0, 10)
    rungs = {
        type: pipeline.Rung(type, tmp_path, size, "F16", fine, [])
        for type, size in (("F16", 9), ("Q8_0", 5), ("Q4_K_M", 3))
    }

    winner = pipeline._smallest(rungs["F16"], [rungs["Q8_0"], rungs["Q4_K_M"]], [], [], pipeline.Settings())

    assert winner.type == "Q8_0"
    assert rungs["Q4_K_M"].reasons == [
        "content_kept_rate falls from 0.900 to 0.700.",
        "edit_rate falls from 0.900 to 0.700.",
    ]


def test_every_step_of_the_ladder_can_be_quantised() -> None:
    assert set(pipeline.Settings().ladder) == set(quantize.TYPES)


def test_training_rows_weigh_the_rounding_where_they_are_given(
    base: Path, adapter: Path, played: Path, tmp_path: Path
) -> None:
    job = job_folder(tmp_path, base, adapter, rows=4, imatrix_examples=3)
    train = job.channel("train")
    train.mkdir()
    lines = [json.dumps({"source": f"Line {n} of five.", "target": "It is one."}) for n in range(5)]
    (train / "data.jsonl").write_text("\n".join(lines))

    pipeline.run(job)

    told = json.loads((job.model / "parity.json").read_text())["importance"]
    assert told["rows"] == 3 and told["tokens"] > 30
