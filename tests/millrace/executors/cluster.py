"""A server that speaks as much of the Kubernetes API as a Job needs: create, watch, pods, logs, delete, preemption.

Pods are processes of this machine that run the fake container in the folder that the claim's subPath names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .conftest import IMAGES

Raw = dict[str, Any]


@dataclass
class Pod:
    name: str
    process: subprocess.Popen[bytes]
    said: list[bytes] = field(default_factory=list)
    phase: str = "Running"
    code: int | None = None

    def raw(self) -> Raw:
        state = {"terminated": {"exitCode": self.code}} if self.code is not None else {"running": {}}
        container = {"name": "train", "image": "i", "imageID": "i", "ready": True, "restartCount": 0, "state": state}
        meta = {"name": self.name, "creationTimestamp": f"2026-01-01T00:00:{self.name[-2:]}Z"}
        return {"metadata": meta, "status": {"phase": self.phase, "containerStatuses": [container]}}


@dataclass
class State:
    """Everything that the cluster holds, under one condition that watchers wait on."""

    mount: Path
    changed: threading.Condition = field(default_factory=threading.Condition)
    jobs: dict[str, Raw] = field(default_factory=dict)
    pods: dict[str, list[Pod]] = field(default_factory=dict)
    policies: list[Raw] = field(default_factory=list)
    deleted: list[Raw] = field(default_factory=list)
    blind: bool = False
    """Watches end without a word, as they do after their time where nothing changes."""
    refusing: bool = False
    """Watches are forbidden."""

    def create(self, job: Raw) -> bool:
        with self.changed:
            name = job["metadata"]["name"]
            if name in self.jobs:
                return False
            self.jobs[name] = {**job, "status": {"active": 1}}
            self.pods[name] = []
            self._run(name)
            self.changed.notify_all()
        return True

    def _run(self, name: str) -> None:
        spec = self.jobs[name]["spec"]["template"]["spec"]
        root = self.mount / spec["containers"][0]["volumeMounts"][0]["subPath"]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(IMAGES.parent), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "fake_images.common.main", "lora", "train", "--root", str(root)]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, start_new_session=True)
        pod = Pod(f"{name}-{len(self.pods[name]):02}", process)
        self.pods[name].append(pod)
        threading.Thread(target=self._follow, args=(name, pod), daemon=True).start()

    def _follow(self, name: str, pod: Pod) -> None:
        assert pod.process.stdout is not None
        for line in pod.process.stdout:
            with self.changed:
                pod.said.append(line)
                self.changed.notify_all()
        code = pod.process.wait()
        with self.changed:
            pod.code = code if code >= 0 else 128 - code
            pod.phase = "Succeeded" if code == 0 else "Failed"
            preempted = pod.name in self.preempted
            if name in self.jobs and preempted:
                self._run(name)  # a disruption is no failure: the Job makes another pod
            elif name in self.jobs:
                kind = "Complete" if code == 0 else "Failed"
                self.jobs[name]["status"] = {"conditions": [{"type": kind, "status": "True"}]}
            self.changed.notify_all()

    preempted: set[str] = field(default_factory=set)

    def preempt(self, name: str) -> None:
        with self.changed:
            pod = self.pods[name][-1]
            self.preempted.add(pod.name)
        os.killpg(pod.process.pid, signal.SIGKILL)

    def delete(self, name: str) -> bool:
        with self.changed:
            job = self.jobs.pop(name, None)
            if job is None:
                return False
            self.deleted.append(job)
            for pod in self.pods[name]:
                if pod.code is None:
                    os.killpg(pod.process.pid, signal.SIGKILL)
            self.changed.notify_all()
        return True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, mount: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = State(mount)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        state, body = self.server.state, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/networkpolicies"):
            there = any(p["metadata"]["name"] == body["metadata"]["name"] for p in state.policies)
            state.policies.append(body)
            self._say(409 if there else 201, body)
        else:
            self._say(201 if state.create(body) else 409, body)

    def do_DELETE(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        gone = self.server.state.delete(urlsplit(self.path).path.rsplit("/", 1)[1])
        self._say(200 if gone else 404, {"kind": "Status", "status": "Success"})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/jobs") and self.server.state.refusing:
            self._say(403, {"kind": "Status", "status": "Failure", "code": 403})
        elif url.path.endswith("/jobs"):
            self._watch(query["fieldSelector"].partition("=")[2])
        elif "/jobs/" in url.path:
            job = self.server.state.jobs.get(url.path.rsplit("/", 1)[1])
            self._say(200 if job else 404, job or {"kind": "Status", "status": "Failure", "code": 404})
        elif url.path.endswith("/log"):
            self._log(url.path.split("/")[-2])
        else:
            name = query["labelSelector"].partition("=")[2]
            self._say(200, {"kind": "PodList", "items": [pod.raw() for pod in self.server.state.pods.get(name, [])]})

    def _watch(self, name: str) -> None:
        state = self.server.state
        self._stream()
        before = None
        with state.changed:
            while not state.blind:
                job = state.jobs.get(name)
                event = {"type": "MODIFIED" if job else "DELETED", "object": job or state.deleted[-1]}
                if event != before:
                    self._chunk(json.dumps(event).encode() + b"\n")
                    before = json.loads(json.dumps(event))
                if not job or job["status"].get("conditions"):
                    break
                state.changed.wait(5)
        self._chunk(b"")

    def _log(self, pod_name: str) -> None:
        state = self.server.state
        pod = next(p for pods in state.pods.values() for p in pods if p.name == pod_name)
        self._stream()
        sent = 0
        with state.changed:
            while True:
                for line in pod.said[sent:]:
                    self._chunk(line)
                sent = len(pod.said)
                if pod.code is not None:
                    break
                state.changed.wait(5)
        self._chunk(b"")

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, body: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        self.wfile.flush()

    def _say(self, status: int, body: Raw) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass
