"""A Kubernetes Job: manifests that the client's own models take, and its whole life against a server of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from millrace.errors import InvalidInput, TrainingFailed, Unavailable
from millrace.executors import Needs, Run
from millrace.executors.kubernetes import Cluster, job, no_network
from millrace.executors.launch import Launch, launch

from .cluster import Server
from .conftest import gone

Wanted = Callable[..., Launch]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    for name in list(made.state.jobs):
        made.state.delete(name)
    made.shutdown()
    made.server_close()


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> Cluster:
    return Cluster("models", tmp_path, host=server.url)


def _run(**more: Any) -> Run:
    return Run("millrace-j1", "lora", Path("/mnt/jobs/j1"), image="lora:1", **more)


def test_the_manifests_are_what_the_api_takes_and_grant_nothing() -> None:
    needs = Needs(cpus=2, memory_gb=16, gpus=1, disk_gb=60, max_runtime_s=600)
    made = client.V1Job.model_validate(job(_run(needs=needs, env={"A": "b"}), "lora:1", "models", "jobs/j1"))
    policy = client.V1NetworkPolicy.model_validate(no_network())

    pod = made.spec.template.spec
    (container,) = pod.containers
    assert made.spec.backoff_limit == 0 and made.spec.active_deadline_seconds > 600
    assert pod.automount_service_account_token is False and pod.security_context.run_as_non_root is True
    assert container.security_context.read_only_root_filesystem and container.security_context.capabilities.drop == [
        "ALL"
    ]
    assert container.resources.limits == {
        "memory": "16Gi",
        "cpu": "2",
        "nvidia.com/gpu": "1",
        "ephemeral-storage": "60Gi",
    }
    assert container.volume_mounts[0].sub_path == "jobs/j1" and container.args == ["train"]
    assert policy.spec.egress == [] == policy.spec.ingress
    chosen, worn = policy.spec.pod_selector.match_labels, made.spec.template.metadata.labels
    assert chosen.items() <= worn.items(), "the policy holds for the pod"


def test_a_field_that_the_api_has_not_is_refused_by_its_models() -> None:
    wrong = job(_run(), "lora:1", "models", "j1")
    wrong["spec"]["backofLimit"] = 0
    with pytest.raises(ValueError, match="backofLimit"):
        client.V1Job.model_validate(wrong)


def test_a_job_runs_to_its_end_and_its_lines_are_seen(cluster: Cluster, server: Server, wanted: Wanted) -> None:
    said: list[str] = []

    manifest = launch(cluster, wanted("complete"), said.append)

    assert manifest.metrics == {"loss": 0.5} and any('"step": 1' in line for line in said)
    assert not server.state.policies, "it was not asked to be alone"


def test_an_isolated_job_brings_its_policy_once(
    cluster: Cluster, server: Server, wanted: Wanted, tmp_path: Path
) -> None:
    for n in range(2):
        launch(
            cluster, Launch(**{**vars(wanted("complete", out=tmp_path / f"{n}")), "isolated": True}), lambda line: None
        )
    assert {policy["metadata"]["name"] for policy in server.state.policies} == {"millrace-no-network"}


def test_a_container_that_fails_says_why(cluster: Cluster, wanted: Wanted) -> None:
    with pytest.raises(TrainingFailed, match="16 rows of 512 tokens"):
        launch(cluster, wanted("memory"), lambda line: None)


def test_one_that_hangs_is_removed_with_its_pod(cluster: Cluster, server: Server, wanted: Wanted) -> None:
    said: list[str] = []
    with pytest.raises(TrainingFailed, match="longer than 2 s"):
        launch(cluster, wanted("hang", max_runtime_s=2), said.append)

    pids = [int(word) for line in said if line.startswith("pids") for word in line.split()[1:]]
    assert len(pids) == 2 and not server.state.jobs
    for pods in server.state.pods.values():
        for pod in pods:
            pod.process.wait(5)
    assert gone(pids)


def test_a_preempted_pod_has_a_successor_and_the_job_completes(
    cluster: Cluster, server: Server, wanted: Wanted, tmp_path: Path
) -> None:
    run = wanted("hang").prepare()
    running = cluster.start(run)
    lines = running.lines()
    assert next(lines).startswith("pids")

    _now_complete(run.root)
    server.state.preempt(run.name)

    assert '"step": 1' in "".join(lines)
    assert running.wait(10) == 0 and len(server.state.pods[run.name]) == 2


def _now_complete(root: Path) -> None:
    config = root / "input/config/hyperparameters.json"
    config.write_text(config.read_text().replace("hang", "complete"))


def test_a_second_start_of_the_same_run_finds_the_first(cluster: Cluster, server: Server, wanted: Wanted) -> None:
    run = wanted("complete").prepare()
    first, second = cluster.start(run), cluster.start(run)
    assert first.wait(10) == second.wait(10) == 0 and len(server.state.pods[run.name]) == 1


def test_a_job_that_somebody_deletes_between_two_watches_is_noticed(
    cluster: Cluster, server: Server, wanted: Wanted
) -> None:
    """J8: a watch says nothing of what was deleted before it began."""
    server.state.blind = True
    run = wanted("hang").prepare()
    running = cluster.start(run)
    assert next(running.lines()).startswith("pids") and running.wait(0.1) is None

    server.state.delete(run.name)

    assert running.wait(10) not in (None, 0)


def test_a_run_that_may_not_be_followed_ends_with_the_refusal(cluster: Cluster, server: Server, wanted: Wanted) -> None:
    """J4: and its Job is removed with it."""
    server.state.refusing = True

    with pytest.raises(InvalidInput, match=r"Watching the Job millrace-lora-sft-.* was refused by the cluster: Forb"):
        launch(cluster, wanted("hang"), lambda line: None)

    assert not server.state.jobs


def test_removing_what_is_gone_is_a_success_and_touches_nobody_else(
    cluster: Cluster, server: Server, wanted: Wanted
) -> None:
    run = wanted("complete").prepare()
    assert cluster.start(run).wait(10) == 0

    cluster.remove("never-there", 0)

    assert len(server.state.pods[run.name]) == 1


def test_a_cluster_that_is_away_and_a_folder_outside_its_claim_are_said(
    wanted: Wanted, tmp_path: Path, cluster: Cluster
) -> None:
    run = wanted("complete").prepare()
    with pytest.raises(Unavailable, match="the cluster does not answer"):
        Cluster("models", tmp_path, host="http://127.0.0.1:9").start(run)
    with pytest.raises(InvalidInput, match="does not lie below"):
        Cluster("models", tmp_path / "elsewhere", host=cluster.host).start(run)
