"""The main job, as a user does it: over HTTP and S3 against the running twin. `make demo`.

A text is humanized, an answer corrected, a file dropped; the stack collects it, trains, gates, quantizes, gates again,
deploys, and the next answer comes from the new model where it holds. Then targets are shuffled on purpose, and the
gate refuses what comes of it. Every step is timed and written to .millrace/demo.json.
"""

from __future__ import annotations

import csv
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from millrace.access import Access, fresh_key
from millrace.contract import Tier
from millrace.datapoints import split_of
from millrace.policies import TrainingPolicy, set_training_policy
from millrace.table import Table
from millrace.tenants import Tenant
from rich.console import Console
from rich.table import Table as Grid

from .api import Api, Problem
from .aws import client
from .bars import Bars
from .settings import REPO, Twin
from .twin import read_record

PAIRS = REPO / "docs/examples/pairs.csv"
SHUFFLED = Tenant("demo-shuffled", Tier.ENTERPRISE)
JOB_LIMIT_S = 900.0
POLL_S = 0.5
SHORT = {"epochs": 1}
"""Hyperparameters of the training that is to be refused: no more is needed to see that it learned nothing right."""
TEXT = (
    "Moreover, it is important to note that our team decided to utilize the new scheduling tool in order to facilitate "
    "collaboration across the Berlin and Lisbon offices. In today's fast-paced world, meetings often run over by 15 "
    "minutes, and it is crucial that we do not lose the time that Dr. Amara Okafor sets aside for patients on Fridays."
)


class DemoFailed(Exception):
    """A step did not come out as it should; the message says how."""


@dataclass
class Run:
    """What happened so far."""

    console: Console
    steps: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """One named, timed step; what is put into the dict goes into the record."""
        self.console.rule(f"[bold]{len(self.steps) + 1}. {name}", align="left", style="dim")
        record: dict[str, Any] = {"name": name}
        began = time.monotonic()
        try:
            yield record
        finally:
            record["seconds"] = round(time.monotonic() - began, 2)
            self.steps.append(record)
        self.console.print(f"[dim]{record['seconds']:.1f} s[/]")


def main(twin: Twin, bring_up: Callable[[], Any]) -> int:
    console = Console(highlight=False)
    run = Run(console)
    began = time.monotonic()
    try:
        _all(run, twin, bring_up)
        ok = True
    except (DemoFailed, Problem) as error:
        console.print(f"[bold red]{error}")
        ok = False
    seconds = round(time.monotonic() - began, 1)
    _summary(run, seconds)
    (twin.home / "demo.json").write_text(json.dumps({"ok": ok, "seconds": seconds, "steps": run.steps}, indent=1))
    return 0 if ok else 1


def _all(run: Run, twin: Twin, bring_up: Callable[[], Any]) -> None:
    with run.step("Synthesize the stack and deploy it on the embedded AWS") as record:
        with run.console.status("The stack is synthesized and deployed; the first time takes a minute ..."):
            bring_up()
        up = read_record(twin)
        record["outputs"] = up["outputs"]
        run.console.print(f"API {up['api_url']}   AWS endpoint {up['aws_endpoint']}")
    api = Api(up["api_url"], up["demo_key"])
    table = Table(client(twin, "dynamodb"), up["outputs"]["TableName"])
    pairs = _pairs()
    sample = _held_out(pairs, set())
    with run.step("Humanize a text over HTTP") as record:
        answer = _humanize(run, api, TEXT, record)
    with run.step("Correct an answer") as record:
        edit_id = _correct(run, api, answer, record)
    with run.step("Drop docs/examples/pairs.csv into the drop folder") as dropped:
        earlier = {job["id"] for job in api.get("/api/training-jobs")["items"]}
        _drop(run, twin, api, up["outputs"], PAIRS.read_bytes(), dropped)
    with run.step("Train, evaluate, gate, quantize, gate again, register, deploy") as record:
        job = _follow(run, api, _next_job(run, api, earlier, dropped["accepted"]), record)
        model = _deployed(run, api, job, record)
        _contains(twin, up["outputs"]["DataBucket"], job, edit_id, record)
    with run.step("Ask again: the rules, the new model, and auto") as record:
        _compare(run, api, model, [*sample[:3], TEXT], record)
    with run.step("Shuffle the targets on purpose and see the gate refuse") as record:
        _refused(run, twin, up, table, pairs, record)


def _humanize(run: Run, api: Api, text: str, record: dict[str, Any]) -> dict[str, Any]:
    with run.console.status("A text is humanized ..."):
        answer: dict[str, Any] = api.post("/api/humanize", {"text": text, "model_id": "rules"})
    run.console.print(f"[dim]before[/]  {text}\n[dim]after [/]  {answer['text']}")
    run.console.print(f"[dim]scores[/]  {_scores(answer)}")
    record |= {"decision_id": answer["decision_id"], "model_id": answer["model_id"], "scores": answer["scores"]}
    return answer


def _scores(answer: dict[str, Any]) -> str:
    before, after = answer["scores"]["before"], answer["scores"]["after"]
    shown = ("ai_likeness", "cliche_density", "readability", "burstiness")
    return "   ".join(f"{name} {before[name]:.2f} -> {after[name]:.2f}" for name in shown if name in before)


def _correct(run: Run, api: Api, answer: dict[str, Any], record: dict[str, Any]) -> str:
    edited = (
        "Our team is moving to the new scheduling tool so that Berlin and Lisbon can work together more easily. "
        "Meetings often run over by 15 minutes, and we don't want to lose the time that Dr. Amara Okafor keeps for "
        "patients on Fridays."
    )
    told = api.post("/api/feedback", {"decision_id": answer["decision_id"], "edited_text": edited, "rating": 4})
    run.console.print(f"The correction is data point {told['data_point_id']}.")
    record |= told
    return str(told["data_point_id"])


def _pairs() -> list[tuple[str, str]]:
    """The good rows of the example, as a person with a spreadsheet would see them."""
    with PAIRS.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.DictReader(line.replace("\0", "") for line in file)
        return [
            (row["prompt"].strip(), row["completion"].strip())
            for row in rows
            if row.get("prompt") and row.get("completion") and row["prompt"] != row["completion"]
        ]


def _held_out(pairs: list[tuple[str, str]], without: set[str]) -> list[str]:
    return [source for source, _ in pairs if split_of(source) == "test" and source not in without]


def _drop(
    run: Run, twin: Twin, api: Api, outputs: dict[str, str], body: bytes, record: dict[str, Any], tenant: str = "demo"
) -> None:
    s3 = client(twin, "s3")
    key = f"drop/{tenant}/pairs-{time.time_ns()}.csv"
    s3.put_object(Bucket=outputs["DropBucket"], Key=key, Body=body)
    with run.console.status("The file is collected ..."):
        drop = _until(lambda: _concluded(api, key), 120, "the drop was not collected within two minutes")
    report = json.loads(s3.get_object(Bucket=outputs["DataBucket"], Key=drop["report"])["Body"].read())
    run.console.print(
        f"accepted {report['accepted']}   duplicate {report['duplicate']}   rejected {report['rejected']}   "
        f"[dim]{drop['report']}[/]"
    )
    for reason in report["reasons"][:6]:
        run.console.print(f"  [dim]line {reason['line']}:[/] {reason['reason']}")
    if not report["accepted"] and not report["duplicate"]:
        raise DemoFailed("Nothing of the file was accepted.")
    record |= {"key": key, "drop_id": drop["id"]} | {n: report[n] for n in ("accepted", "duplicate", "rejected")}


def _concluded(api: Api, key: str) -> dict[str, Any] | None:
    drops = [drop for drop in api.get("/api/drops")["items"] if drop["key"] == key]
    return drops[0] if drops and drops[0]["state"] in ("collected", "refused") else None


def _next_job(run: Run, api: Api, earlier: set[str], accepted: int) -> str:
    """The job that the threshold started; where the data was known already, one that we ask for."""
    if not accepted:
        run.console.print("Nothing in the file was new, so a training is asked for.")
        return str(api.post("/api/training-jobs", {})["id"])

    def fresh() -> str | None:
        return next((job["id"] for job in api.get("/api/training-jobs")["items"] if job["id"] not in earlier), None)

    try:
        with run.console.status("The threshold starts a training ..."):
            return str(_until(fresh, 10, "no job began"))
    except DemoFailed:
        run.console.print("The threshold was not reached, so a training is asked for.")
        return str(api.post("/api/training-jobs", {})["id"])


def _follow(run: Run, api: Api, job_id: str, record: dict[str, Any]) -> dict[str, Any]:
    """Show the job's progress until its end; the job."""
    began = time.monotonic()
    job: dict[str, Any] = {}
    with Bars(run.console) as bars:
        while time.monotonic() - began < JOB_LIMIT_S:
            job = api.get(f"/api/training-jobs/{job_id}")
            if job["state"] in ("completed", "failed", "cancelled"):
                break
            bars.show(job)
            time.sleep(POLL_S)
        bars.end(job)
    record |= {"job_id": job_id, "state": job.get("state"), "stage_began_s": bars.began_s, "gates": job.get("gates")}
    for subject, gate in (job.get("gates") or {}).items():
        verdict = "passed" if gate["passed"] else "refused"
        figures = "  ".join(f"{n} {gate['metrics'][n]:.3g}" for n in FIGURES if gate["metrics"].get(n) is not None)
        run.console.print(f"gate ({subject}): [bold]{verdict}[/]   [dim]{figures}[/]")
    return job


FIGURES = (
    "examples",
    "content_kept_rate",
    "edit_rate",
    "base_edit_rate",
    "edit_gain_low",
    "loss_ratio",
    "kl_divergence",
    "top_token_agreement",
    "size_bytes",
)


def _deployed(run: Run, api: Api, job: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    if job.get("state") != "completed":
        raise DemoFailed(f"The job {job.get('id')} is {job.get('state')}: {job.get('error')}")
    model: dict[str, Any] = api.get(f"/api/models/{job['model_id']}")
    if model["state"] != "active":
        raise DemoFailed(f"{model['id']} is {model['state']} and not active.")
    lineage = model["lineage"]
    run.console.print(f"{model['id']} serves; trained on {lineage['snapshot_id']} from {lineage['base']}")
    record |= {"model_id": model["id"], "lineage": lineage, "metrics": model["metrics"]}
    return model


def _contains(twin: Twin, bucket: str, job: dict[str, Any], edit_id: str, record: dict[str, Any]) -> None:
    key = f"tenants/demo/snapshots/{job['snapshot_id']}/ids.txt"
    ids = client(twin, "s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode().split()
    if edit_id not in ids:
        raise DemoFailed(f"The correction {edit_id} is not in snapshot {job['snapshot_id']}.")
    record |= {"snapshot_id": job["snapshot_id"], "data_points": len(ids), "holds_edit": edit_id}


def _compare(run: Run, api: Api, model: dict[str, Any], texts: list[str], record: dict[str, Any]) -> None:
    answers: list[dict[str, Any]] = []
    for text in texts:
        with run.console.status("The rules, the new model and auto are asked ..."):
            row = {wish: _ask(api, text, wish) for wish in ("rules", model["id"], "auto")}
        answers.append({"text": text, "answers": row})
        grid = Grid(show_header=False, box=None, padding=(0, 1, 0, 0))
        grid.add_row("[dim]text[/]", text, "")
        for wish, answer in row.items():
            grid.add_row(f"[bold]{wish}[/]", answer["text"], f"[dim]{answer['told']}[/]")
        run.console.print(grid)
        run.console.print(f"[dim]auto: {'; '.join(row['auto']['reasons'])}[/]\n")
    record["answers"] = answers
    chosen = {answer["answers"]["auto"]["model_id"] for answer in answers}
    if model["id"] not in chosen:
        raise DemoFailed(f"auto never chose {model['id']} on held-out sentences.")
    if answers[-1]["answers"]["auto"]["model_id"] != "rules":
        raise DemoFailed("auto did not choose the rules for ordinary prose.")


def _ask(api: Api, text: str, wish: str) -> dict[str, Any]:
    """An answer for the table, the unfaithful draft too."""
    try:
        answer = api.post("/api/humanize", {"text": text, "model_id": wish})
    except Problem as problem:
        if problem.status == 503 and wish not in ("auto", "rules"):  # the toy may not come to an end on ordinary prose
            told = str(problem.body.get("detail", problem))
            return {"text": "", "model_id": wish, "told": told, "reasons": [told]}
        if problem.status != 422:
            raise
        kinds = sorted({violation["kind"] for violation in problem.body.get("violations", [])})
        told = f"not accepted, it lost: {', '.join(kinds)}"
        return {"text": problem.body.get("draft", ""), "model_id": wish, "told": told, "reasons": [told]}
    usage, seconds = answer["usage"], answer["latency_ms"] / 1000
    speed = f", {usage['output_tokens'] / seconds:.0f} tokens/s" if usage["output_tokens"] and seconds else ""
    likeness = answer["scores"]["after"].get("ai_likeness", 0.0)
    return {
        "text": answer["text"],
        "model_id": answer["model_id"],
        "told": f"{answer['model_id']}, {answer['latency_ms']:.0f} ms{speed}, ai_likeness {likeness:.2f}",
        "reasons": [reason["text"] for reason in answer["reasons"]],
        "scores": answer["scores"],
        "usage": usage,
        "latency_ms": answer["latency_ms"],
    }


def _refused(
    run: Run, twin: Twin, up: dict[str, Any], table: Table, pairs: list[tuple[str, str]], record: dict[str, Any]
) -> None:
    """Another tenant, the same sources, the training targets shuffled; what is held out stays true."""
    key = fresh_key()
    Access(table).grant(key, SHUFFLED)
    set_training_policy(table, SHUFFLED, TrainingPolicy(threshold=0))
    api = Api(up["api_url"], key)
    _drop(run, twin, api, up["outputs"], _shuffled(pairs), record, SHUFFLED.id)
    asked = {"hyperparameters": SHORT}
    job = _follow(run, api, str(api.post("/api/training-jobs", asked)["id"]), record)
    record["error"] = job.get("error")
    run.console.print(f"[bold]{job.get('state')}[/]: {job.get('error')}")
    if job.get("state") != "failed" or "gate refused" not in str(job.get("error")):
        raise DemoFailed("The gate should have refused a model that was trained on shuffled targets.")


def _shuffled(pairs: list[tuple[str, str]]) -> bytes:
    chance = random.Random(7)  # noqa: S311 - shuffles an example
    targets = [target for source, target in pairs if split_of(source) == "train"]
    chance.shuffle(targets)
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(["prompt", "completion"])
    for source, target in pairs:
        writer.writerow([source, targets.pop() if split_of(source) == "train" else target])
    return out.getvalue().encode()


def _until(look: Callable[[], Any], limit_s: float, failing: str) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_S)
    raise DemoFailed(failing)


def _summary(run: Run, seconds: float) -> None:
    grid = Grid(title="What happened", title_justify="left")
    grid.add_column("step")
    grid.add_column("seconds", justify="right")
    grid.add_column("figures")
    for step in run.steps:
        shown = ("decision_id", "data_point_id", "accepted", "duplicate", "rejected", "job_id", "state", "model_id")
        grid.add_row(step["name"], f"{step['seconds']:.1f}", "  ".join(f"{n} {step[n]}" for n in shown if n in step))
    grid.add_row("[bold]all[/]", f"[bold]{seconds:.1f}[/]", str(Path(".millrace/demo.json")))
    run.console.print(grid)
