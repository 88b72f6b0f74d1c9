"""Models, endpoint configurations and endpoints: an endpoint is a serving container that answers /ping.

An update starts the new container first and swaps when it answers (blue/green); when it does not, the old one stays
and the endpoint says why. A container that goes first gives the answers it was asked for. What was InService before a
restart is started again.
"""

from __future__ import annotations

import http.client
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..ports import free_port
from ..settings import ACCOUNT, Twin
from . import container, namespace, objects
from .container import Container
from .errors import AwsError, invalid, not_found
from .logs import LogStream
from .request import NAME, REASON_CHARS
from .store import Record, Store

PING_S = 2.0
STARTUP_S = 300.0
"""Unless the variant says otherwise (ContainerStartupHealthCheckTimeoutInSeconds)."""
INVOKE_S = 60.0
RESTART_S = 1.0
"""Before a container that died is started again."""
MAX_BODY_BYTES = 25 * 1024 * 1024
PORT = 8080
ALIVE = ("Creating", "InService", "Updating")


@dataclass
class Server:
    """One serving container."""

    container: Container
    root: Path
    port: int
    isolated: bool
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    _asked: int = 0
    _answered: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def call(self) -> Iterator[namespace.Connection]:
        """A connection for one request; until it is given back, `drain` waits. `enter` first."""
        try:
            with closing(self.connection(INVOKE_S)) as connection:
                yield connection
        finally:
            with self._answered:
                self._asked -= 1
                self._answered.notify_all()

    def enter(self) -> None:
        """One more request; under the lock that this server was found with, so that none comes after a swap."""
        with self._answered:
            self._asked += 1

    def drain(self, limit_s: float) -> None:
        """Wait until every request has its answer."""
        with self._answered:
            self._answered.wait_for(lambda: self._asked == 0, limit_s)

    def connection(self, timeout_s: float) -> namespace.Connection:
        pid = self.container.process.pid if self.isolated else None
        return namespace.Connection(self.port, pid, timeout_s)

    def answers(self) -> bool:
        try:
            with closing(self.connection(PING_S)) as connection:
                connection.request("GET", "/ping")
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def retire(self, grace_s: float) -> None:
        """Stop once what was asked is answered, at most as long as an answer may take."""
        self.drain(INVOKE_S)
        self.stop(grace_s)

    def stop(self, grace_s: float) -> None:
        self.container.stop(grace_s)
        shutil.rmtree(self.root, ignore_errors=True)


class Endpoints:
    """Everything that serves."""

    def __init__(self, twin: Twin, s3: Any, logs: Any) -> None:
        self.twin = twin
        self.s3 = s3
        self.logs = logs
        self.models = Store(twin.state / "sagemaker/models")
        self.configs = Store(twin.state / "sagemaker/endpoint-configs")
        self.store = Store(twin.state / "sagemaker/endpoints")
        self._servers: dict[str, Server] = {}
        self._retiring: list[Server] = []
        """Asked for nothing new any more, and not stopped yet."""
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def resume(self) -> None:
        """After a restart: serve again what served."""
        shutil.rmtree(self.twin.state / "endpoints", ignore_errors=True)
        for record in self.store.all():
            name = record["EndpointName"]
            if record["EndpointStatus"] in ALIVE:
                self.store.update(name, EndpointStatus="Creating", LastModifiedTime=time.time())
                self._launch(name, record["EndpointConfigName"])
            elif record["EndpointStatus"] == "Deleting":
                self.store.remove(name)

    # --- models and configurations ----------------------------------------------------------------------------------
    def create_model(self, request: Record) -> Record:
        name = _name(request, "ModelName")
        primary = request.get("PrimaryContainer") or (request.get("Containers") or [None])[0]
        if not primary:
            raise invalid("A model needs a PrimaryContainer.")
        container.name_of(self.twin, primary.get("Image", ""))
        source = primary.get("ModelDataSource", {}).get("S3DataSource", {})
        if source and (source.get("S3DataType") != "S3Prefix" or source.get("CompressionType") != "None"):
            raise invalid("The twin serves uncompressed models: S3DataType S3Prefix, CompressionType None.")
        if source and not source.get("S3Uri", "").endswith("/"):
            raise invalid("S3Uri of an S3Prefix ends with '/'.")
        return self._add(self.models, "Model", name, request, {"PrimaryContainer": primary})

    def create_config(self, request: Record) -> Record:
        name = _name(request, "EndpointConfigName")
        variants = request.get("ProductionVariants") or []
        if len(variants) != 1:
            raise invalid("The twin serves one production variant an endpoint.")
        if self.models.get(variants[0].get("ModelName", "")) is None:
            raise not_found(f'Could not find model "{variants[0].get("ModelName")}".')
        return self._add(self.configs, "EndpointConfig", name, request, {})

    def _add(self, store: Store, kind: str, name: str, request: Record, more: Record) -> Record:
        arn = self._arn({"Model": "model", "EndpointConfig": "endpoint-config"}[kind], name)
        record = {**request, **more, f"{kind}Arn": arn, "CreationTime": time.time()}
        if not store.add(name, record):
            raise invalid(f"Cannot create already existing {kind} {arn}.")
        return {f"{kind}Arn": arn}

    def describe_model(self, request: Record) -> Record:
        return _existing(self.models, request, "ModelName", "model")

    def describe_config(self, request: Record) -> Record:
        return _existing(self.configs, request, "EndpointConfigName", "endpoint configuration")

    def delete_model(self, request: Record) -> Record:
        self.models.remove(self.describe_model(request)["ModelName"])
        return {}

    def delete_config(self, request: Record) -> Record:
        self.configs.remove(self.describe_config(request)["EndpointConfigName"])
        return {}

    # --- endpoints --------------------------------------------------------------------------------------------------
    def create(self, request: Record) -> Record:
        name = _name(request, "EndpointName")
        config = self.describe_config(request)["EndpointConfigName"]
        now = time.time()
        arn = self._arn("endpoint", name)
        record = {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": config,
            "EndpointStatus": "Creating",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if not self.store.add(name, record):
            raise invalid(f"Cannot create already existing endpoint {arn}.")
        self._launch(name, config)
        return {"EndpointArn": arn}

    def update(self, request: Record) -> Record:
        record = self.describe(request)
        config = self.describe_config(request)["EndpointConfigName"]
        name = record["EndpointName"]
        with self.store.lock:
            status = (self.store.get(name) or {})["EndpointStatus"]
            if status not in ("InService", "Failed"):
                raise invalid(f"Cannot update in-progress endpoint {record['EndpointArn']}: it is {status}.")
            self.store.update(name, EndpointStatus="Updating", FailureReason=None, LastModifiedTime=time.time())
        self._launch(name, config)
        return {"EndpointArn": record["EndpointArn"]}

    def describe(self, request: Record) -> Record:
        record = _existing(self.store, request, "EndpointName", "endpoint")
        config = self.configs.get(record["EndpointConfigName"])
        variants = config["ProductionVariants"] if config and record["EndpointStatus"] == "InService" else []
        record["ProductionVariants"] = [
            {
                "VariantName": v["VariantName"],
                "CurrentInstanceCount": 1,
                "DesiredInstanceCount": 1,
                "CurrentWeight": 1.0,
            }
            for v in variants
        ]
        return record

    def delete(self, request: Record) -> Record:
        name = self.describe(request)["EndpointName"]
        with self.store.lock:
            if (self.store.get(name) or {}).get("EndpointStatus") in (None, "Deleting"):
                return {}  # whoever came first removes the record, and never one that is made later
            self.store.update(name, EndpointStatus="Deleting")
        with self._lock:
            server = self._servers.pop(name, None)
            self._retiring += [server] if server else []

        def finish() -> None:
            if server is not None:
                self._retire(server)
            self.store.remove(name)

        threading.Thread(target=finish, daemon=True).start()
        return {}

    def list(self, request: Record) -> Record:
        wanted = [
            {k: r[k] for k in ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")}
            for r in sorted(self.store.all(), key=lambda r: r["CreationTime"], reverse=True)
            if request.get("StatusEquals") in (None, r["EndpointStatus"])
            and request.get("NameContains", "") in r["EndpointName"]
        ]
        start, limit = int(request.get("NextToken") or 0), int(request.get("MaxResults") or 10)
        more = {"NextToken": str(start + limit)} if start + limit < len(wanted) else {}
        return {"Endpoints": wanted[start : start + limit], **more}

    def shut_down(self) -> None:
        """Stop every server; the records stay, so that the next start serves them again."""
        self._closed.set()
        with self._lock:
            servers = [*self._servers.values(), *self._retiring]
        for server in servers:
            server.container.kill()

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:sagemaker:{self.twin.region}:{ACCOUNT}:{kind}/{name.lower()}"

    # --- processes --------------------------------------------------------------------------------------------------
    def _launch(self, name: str, config: str) -> None:
        threading.Thread(target=self._bring_up, args=(name, config), daemon=True, name=f"endpoint-{name}").start()

    def _bring_up(self, name: str, config_name: str) -> None:
        """Start, wait for /ping, swap. The thread stays with its container and restarts it when it dies."""
        try:
            server = self._start(name, config_name)
        except (AwsError, ClientError, BotoCoreError, OSError, KeyError) as error:
            self._refuse(name, str(error))
            return
        with self._lock:
            wanted = (self.store.get(name) or {}).get("EndpointStatus") in ALIVE and not self._closed.is_set()
            old = self._servers.get(name)
            if wanted:
                self._servers[name] = server
                self._retiring += [old] if old else []
        if not wanted:
            server.stop(0.0)
            return
        self.store.update(
            name,
            EndpointStatus="InService",
            EndpointConfigName=config_name,
            FailureReason=None,
            LastModifiedTime=time.time(),
        )
        if old is not None:
            threading.Thread(target=self._retire, args=(old,), daemon=True).start()
        server.container.wait()
        with self._lock:
            mine = self._servers.get(name) is server and not self._closed.is_set()
            if mine:
                del self._servers[name]
        if mine:
            self._closed.wait(RESTART_S)
            self._launch(name, config_name)

    def _retire(self, server: Server) -> None:
        server.retire(self.twin.stop_grace_s)
        with self._lock:
            self._retiring.remove(server)

    def _refuse(self, name: str, reason: str) -> None:
        with self._lock:
            served = name in self._servers
        if self.store.get(name) is not None:
            status = "InService" if served else "Failed"
            self.store.update(
                name, EndpointStatus=status, FailureReason=reason[:REASON_CHARS], LastModifiedTime=time.time()
            )

    def _start(self, name: str, config_name: str) -> Server:
        config = self.configs.get(config_name) or {}
        variant = config["ProductionVariants"][0]
        model = self.models.get(variant["ModelName"])
        if model is None:
            raise not_found(f'Could not find model "{variant["ModelName"]}".')
        primary = model["PrimaryContainer"]
        root = self.twin.state / "endpoints" / f"{name}-{uuid.uuid4().hex[:8]}"
        (root / "model").mkdir(parents=True)
        source = primary.get("ModelDataSource", {}).get("S3DataSource")
        if source and objects.download(self.s3, source["S3Uri"], root / "model") == 0:
            raise invalid(f"Could not find model data at {source['S3Uri']}.")
        isolated = bool(model.get("EnableNetworkIsolation")) and namespace.isolation_reachable()
        port = PORT if isolated else free_port()
        env = {**primary.get("Environment", {}), "SAGEMAKER_BIND_TO_PORT": str(port)}
        image = container.name_of(self.twin, primary["Image"])
        server = Server(container.serve(self.twin, name, image, root, env, isolated=isolated), root, port, isolated)
        log = LogStream(self.logs, f"/aws/sagemaker/Endpoints/{name}", f"{variant['VariantName']}/{root.name}")
        if model.get("EnableNetworkIsolation") and not isolated:
            log.write("Network isolation needs root on Linux here: this container keeps the host's network.")
        threading.Thread(target=_read, args=(server, log), daemon=True).start()
        self._await(server, float(variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_S)))
        return server

    def _await(self, server: Server, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        why = f"did not answer /ping with 200 within {limit_s:.0f} s"
        while time.monotonic() < deadline and not self._closed.is_set():
            if (code := server.container.wait(0.1)) is not None:
                why = f"ended with exit code {code}"
                break
            if server.answers():
                return
        server.stop(0.0)
        said = " ".join(server.last_lines)
        raise invalid(f"The primary container {why}. {said}".strip())

    # --- the runtime ------------------------------------------------------------------------------------------------
    @contextmanager
    def invoke(self, name: str, headers: dict[str, str], body: bytes) -> Iterator[tuple[str, Iterator[bytes]]]:
        """(content type, the answer as it comes). Raises ModelError when the container fails or takes over 60 s."""
        if len(body) > MAX_BODY_BYTES:
            raise invalid(f"Request body of {len(body)} bytes is over {MAX_BODY_BYTES}.")
        with self._lock:
            if server := self._servers.get(name):
                server.enter()
        if server is None:
            record = self.store.get(name)
            if record is None:
                raise invalid(f"Endpoint {name} of account {ACCOUNT} not found.")
            raise invalid(f"Endpoint {name} is {record['EndpointStatus']}; it serves when it is InService.")
        with server.call() as connection:
            try:
                connection.request("POST", "/invocations", body, headers)
                answer = connection.getresponse()
                refused = answer.read().decode(errors="replace") if answer.status >= 400 else ""
            except (OSError, http.client.HTTPException) as error:
                raise _model_error(500, f"{type(error).__name__}: {error}", name) from error
            if answer.status >= 400:
                raise _model_error(answer.status, refused, name)
            yield answer.headers.get("Content-Type", "application/octet-stream"), iter(lambda: answer.read1(65536), b"")


def _model_error(status: int, text: str, name: str) -> AwsError:
    message = f'Received error ({status}) from primary with message "{text[:REASON_CHARS]}". See the logs of {name}.'
    return AwsError("ModelError", message, 424, OriginalStatusCode=status, OriginalMessage=text[:REASON_CHARS])


def _read(server: Server, log: LogStream) -> None:
    for line in server.container.lines():
        server.last_lines.append(line.strip())
        log.write(line)
    log.close()


def _name(request: Record, field_name: str) -> str:
    name = str(request.get(field_name, ""))
    if not NAME.match(name):
        raise invalid(f"{field_name} {name!r} fails to satisfy {NAME.pattern}.")
    return name


def _existing(store: Store, request: Record, field_name: str, what: str) -> Record:
    name = str(request.get(field_name, ""))
    record = store.get(name)
    if record is None:
        raise not_found(f'Could not find {what} "{name}".')
    return record
