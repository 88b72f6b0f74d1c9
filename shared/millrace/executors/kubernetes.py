"""A container as a Kubernetes Job: no network, no token, no root, limits, one pod at a time. Extra: `kubernetes`.

Inputs and results lie on a claim that this machine mounts too: a run's folder is below `mount`, and the pod sees that
folder as /opt/ml. A pod that is preempted or evicted does not count as a failure: its successor goes on from
checkpoints/. Source: the Kubernetes API reference, batch/v1 Job and networking.k8s.io/v1 NetworkPolicy; "Handling
retriable and non-retriable pod failures".
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, Unavailable
from . import Run

LABEL = "app.kubernetes.io/managed-by"
GRACE_S = 30
LATER_S = 60
"""The cluster's own limit lies so much over the run's: who watches ends it first."""
KEPT_S = 3600
"""A Job that nobody removed is removed by the cluster then."""
AGAIN_S = 0.5
GB = "Gi"


def job(run: Run, image: str, claim: str, folder: str) -> dict[str, Any]:
    """The manifest. `folder`: the run's, within the claim."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": run.name, "labels": {LABEL: "millrace"}},
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": run.needs.max_runtime_s + LATER_S,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {
                "metadata": {"labels": {LABEL: "millrace", "millrace.isolated": str(run.isolated).lower()}},
                "spec": _pod(run, image, claim, folder),
            },
        },
    }


def _pod(run: Run, image: str, claim: str, folder: str) -> dict[str, Any]:
    limits = {
        "memory": f"{run.needs.memory_gb:g}{GB}" if run.needs.memory_gb else "",
        "cpu": f"{run.needs.cpus:g}" if run.needs.cpus else "",
        "nvidia.com/gpu": str(run.needs.gpus) if run.needs.gpus else "",
        "ephemeral-storage": f"{run.needs.disk_gb}{GB}" if run.needs.disk_gb else "",
    }
    given = {name: value for name, value in limits.items() if value}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "train",
                "image": image,
                "args": [run.command],
                "env": [{"name": name, "value": value} for name, value in {"HOME": "/tmp", **run.env}.items()],  # noqa: S108 - in the container
                "resources": {"limits": given, "requests": given},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "job", "mountPath": "/opt/ml", "subPath": folder},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
                ],
            }
        ],
        "volumes": [
            {"name": "job", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def no_network() -> dict[str, Any]:
    """The policy that isolated pods live under: nothing in, nothing out."""
    chosen = {"matchLabels": {LABEL: "millrace", "millrace.isolated": "true"}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "millrace-no-network", "labels": {LABEL: "millrace"}},
        "spec": {"podSelector": chosen, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []},
    }


@dataclass
class InCluster:
    """A Job in the cluster, followed by a thread of ours until it ends or is removed."""

    cluster: Cluster
    name: str
    _ended: threading.Event = field(default_factory=threading.Event)
    _code: int | None = None
    _refused: InvalidInput | None = None
    """The cluster lets us follow it no longer."""

    def lines(self) -> Iterator[str]:
        """Of one pod after the other: a preempted one has a successor."""
        seen: set[str] = set()
        while True:
            over = self._ended.is_set()
            for pod in self.cluster.pods(self.name):
                if pod.metadata.name not in seen and pod.status.phase != "Pending":
                    seen.add(pod.metadata.name)
                    yield from self.cluster.log(pod.metadata.name)
            if over:
                return
            self._ended.wait(AGAIN_S)

    def wait(self, timeout_s: float | None = None) -> int | None:
        if not self._ended.wait(timeout_s):
            return None
        if self._refused is not None:
            raise self._refused
        return self._code

    def stop(self, grace_s: float) -> None:
        self.cluster.remove(self.name, round(grace_s))
        self._end(143)

    def kill(self) -> None:
        self.cluster.remove(self.name, 0)
        self._end(137)

    def follow(self) -> None:
        """Watch the Job; a watch that breaks is begun again, and one that is refused is the end."""
        while not self._ended.is_set():
            try:
                for status in self.cluster.watch(self.name):
                    if (code := self.cluster.code(self.name, status)) is not None:
                        self._end(code)
                    if self._ended.is_set():
                        return
            except Unavailable:
                pass
            except InvalidInput as error:
                self._end(None, error)
            self._ended.wait(AGAIN_S)

    def _end(self, code: int | None, refused: InvalidInput | None = None) -> None:
        if not self._ended.is_set():
            self._code, self._refused = code, refused
            self._ended.set()


@dataclass(frozen=True)
class Cluster:
    """`claim` is a volume claim of `namespace` that this machine mounts at `mount`."""

    claim: str
    mount: Path
    namespace: str = "default"
    image: str = "millrace-{container}:latest"
    host: str = ""
    """Of the API; else what kubeconfig or the pod's own account say."""

    @cached_property
    def _clients(self) -> tuple[Any, Any, Any]:
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise InvalidInput("Kubernetes wants its client: pip install 'millrace[kubernetes]'.") from error
        if self.host:
            api = client.ApiClient(client.Configuration(host=self.host))
        else:
            config.load_config()
            api = client.ApiClient()
        return client.BatchV1Api(api), client.CoreV1Api(api), client.NetworkingV1Api(api)

    def start(self, run: Run) -> InCluster:
        from kubernetes import client

        batch, _, networking = self._clients
        folder = self._folder(run)
        manifest = job(run, run.image or self.image.format(container=run.container), self.claim, folder)
        with mapped(f"Starting the Job {run.name}"):
            if run.isolated:
                policy = client.V1NetworkPolicy.model_validate(no_network())
                _unless_there(networking.create_namespaced_network_policy, self.namespace, policy)
            _unless_there(batch.create_namespaced_job, self.namespace, client.V1Job.model_validate(manifest))
        running = InCluster(self, run.name)
        threading.Thread(target=running.follow, daemon=True, name=f"watch-{run.name}").start()
        return running

    def _folder(self, run: Run) -> str:
        try:
            return run.root.resolve().relative_to(self.mount.resolve()).as_posix()
        except ValueError as error:
            raise InvalidInput(f"{run.root} does not lie below {self.mount}, where the claim is mounted.") from error

    def watch(self, name: str) -> Iterator[Any]:
        """The Job's status, now and with every change; the iterator may end at any time.

        Of a Job that was deleted before it began a watch says nothing, so at its end the Job is asked for.
        """
        from kubernetes import watch

        batch, _, _ = self._clients
        chosen = {"namespace": self.namespace, "field_selector": f"metadata.name={name}", "timeout_seconds": 60}
        with mapped(f"Watching the Job {name}"):
            for event in watch.Watch().stream(batch.list_namespaced_job, **chosen):
                if event["type"] == "DELETED":
                    event["object"].status.conditions = [_gone()]
                yield event["object"].status
            yield self._status(batch, name)

    def _status(self, batch: Any, name: str) -> Any:
        from kubernetes import client

        try:
            return batch.read_namespaced_job(name, self.namespace).status
        except client.exceptions.ApiException as error:
            if error.status != 404:
                raise
            return client.V1JobStatus(conditions=[_gone()])

    def code(self, name: str, status: Any) -> int | None:
        """Exit status of a Job; None while it has none."""
        for condition in status.conditions or []:
            if condition.status != "True" or condition.type not in ("Complete", "Failed"):
                continue
            return 0 if condition.type == "Complete" else self._failed(name, condition.reason)
        return None

    def _failed(self, name: str, reason: str | None) -> int:
        if reason == "DeadlineExceeded":
            return 124
        for pod in self.pods(name):
            for container in pod.status.container_statuses or []:
                ended = container.state.terminated if container.state else None
                if ended and ended.exit_code:
                    return int(ended.exit_code)
        return 1

    def pods(self, name: str) -> list[Any]:
        """The Job's pods, the first one first."""
        _, core, _ = self._clients
        with contextlib.suppress(Unavailable), mapped(f"Listing the pods of {name}"):
            found = core.list_namespaced_pod(self.namespace, label_selector=f"job-name={name}").items
            return sorted(found, key=lambda pod: str(pod.metadata.creation_timestamp or ""))
        return []

    def log(self, pod: str) -> Iterator[str]:
        """A pod's lines as they come, to its end."""
        _, core, _ = self._clients
        with contextlib.suppress(Unavailable), mapped(f"Reading the log of {pod}"):
            reply = core.read_namespaced_pod_log(pod, self.namespace, follow=True, _preload_content=False)
            rest = b""
            for chunk in reply.stream():
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") + "\n" for line in whole)
            if rest:
                yield rest.decode(errors="replace")

    def remove(self, name: str, grace_s: int) -> None:
        """The Job and its pods; one that is gone is a success."""
        batch, _, _ = self._clients
        with mapped(f"Removing the Job {name}"):
            _unless_gone(
                batch.delete_namespaced_job,
                name,
                self.namespace,
                propagation_policy="Foreground",
                grace_period_seconds=grace_s,
            )


def _gone() -> Any:
    from kubernetes import client

    return client.V1JobCondition(type="Failed", status="True", reason="Deleted")


@contextlib.contextmanager
def mapped(what: str) -> Iterator[None]:
    """The client's errors become ours here."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status in (400, 403, 422):
            raise InvalidInput(f"{what} was refused by the cluster: {error.reason}.") from error
        raise Unavailable(f"{what} failed: {error.status} {error.reason}.") from error
    except (HTTPError, OSError) as error:
        raise Unavailable(f"{what} failed: the cluster does not answer.") from error


def _unless_there(create: Any, *arguments: Any) -> None:
    _ignoring(409, create, *arguments)


def _unless_gone(delete: Any, *arguments: Any, **more: Any) -> None:
    _ignoring(404, delete, *arguments, **more)


def _ignoring(status: int, call: Any, *arguments: Any, **more: Any) -> None:
    from kubernetes.client.exceptions import ApiException

    try:
        call(*arguments, **more)
    except ApiException as error:
        if error.status != status:
            raise
