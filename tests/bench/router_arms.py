"""One arm of the router's benchmark, in a process of its own: `python router_arms.py <arm>`, driven over its pipes.

The first line in is the job as JSON: the mock's address, the model, its messages and the rewrite that it will answer.
Then each line "<calls> <threads>" is answered by a line of JSON: nanoseconds of every call and of CPU for all of them.
The arms of peers import nothing of ours, so that this file runs in the peers' environment as well.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Job = dict[str, Any]
Call = Callable[[], str]
"""One request, from the text to the rewrite."""
WARM = 40
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-bench"}


# --- the provider -----------------------------------------------------------------------------------------------------
class _Wire(asyncio.Protocol):
    """OpenAI's wire in as little work as it can be: the text must be in the body, and the answer stands ready."""

    def __init__(self, job: Job) -> None:
        self.needle = json.dumps(job["text"]).encode()[1:-1]
        message = {"role": "assistant", "content": job["rewrite"], "refusal": None}
        usage = {"prompt_tokens": 420, "completion_tokens": 110, "total_tokens": 530}
        reply = {"id": "c1", "object": "chat.completion", "created": 1, "model": job["model"], "usage": usage}
        reply["choices"] = [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]
        self.good, self.bad = _http(200, reply), _http(400, {"error": {"message": "where is the text?"}})
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if found:
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
            )
            if len(body) >= length:
                self.buffer = body[length:]
                self.transport.write(self.good if self.needle in body else self.bad)


def _http(status: int, body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def mock(job: Job, say: Callable[[Any], None]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Wire(job), "127.0.0.1", 0)
    say(server.sockets[0].getsockname()[1])
    await server.serve_forever()


# --- the arms: each prepares once and gives a maker of calls, one for each thread -------------------------------------
def bare(job: Job) -> Callable[[], Call]:
    return _posting(job["host"], job["port"], "/v1/chat/completions", job, {})


def portkey(job: Job) -> Callable[[], Call]:
    told = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://{job['host']}:{job['port']}/v1"}
    return _posting(job["host"], job["portkey"], "/v1/chat/completions", job, told)


def _posting(host: str, port: int, path: str, job: Job, more: dict[str, str]) -> Callable[[], Call]:
    body = json.dumps({"model": job["model"], "messages": job["messages"]}).encode()

    def maker() -> Call:
        connection = HTTPConnection(host, port)

        def call() -> str:
            connection.request("POST", path, body, HEADERS | more)
            content = connection.getresponse().read()
            return str(json.loads(content)["choices"][0]["message"]["content"])

        return call

    return maker


def openai_sdk(job: Job) -> Callable[[], Call]:
    return lambda: _sdk(job)


def _sdk(job: Job) -> Call:
    import openai

    client = openai.OpenAI(api_key="sk-bench", base_url=f"http://{job['host']}:{job['port']}/v1", max_retries=0)

    def call() -> str:
        reply = client.chat.completions.create(model=job["model"], messages=job["messages"], timeout=20)
        return str(reply.choices[0].message.content)

    return call


def fastapi_openai(job: Job) -> Callable[[], Call]:
    """The least that could stand in our place: the same event, one route, one SDK call, no feature at all."""
    from fastapi import FastAPI
    from mangum import Mangum
    from pydantic import BaseModel

    class Request(BaseModel):
        text: str

    class Response(BaseModel):
        text: str

    app = FastAPI()
    ask = _sdk(job)

    def humanize(request: Request) -> Response:
        return Response(text=ask())

    humanize.__annotations__.update(request=Request, **{"return": Response})
    app.post("/api/humanize")(humanize)
    return _through(Mangum(app, lifespan="off"), job)


def millrace(job: Job) -> Callable[[], Call]:
    from tests.bench.bench_router import stand_up

    return _through(stand_up(job), job)


def _through(handler: Any, job: Job) -> Callable[[], Call]:
    import orjson  # who calls API Gateway makes the event and reads the reply: as little of both as can be

    def maker() -> Call:
        asyncio.set_event_loop(asyncio.new_event_loop())
        asked = event(job["text"])

        def call() -> str:
            reply = handler(asked, _CONTEXT)
            if reply["statusCode"] != 200:
                raise SystemExit(f"the gateway answered {reply}")
            answer = orjson.loads(reply["body"])
            if answer.get("model_id", job["model"]) == "rules":
                raise SystemExit(f"the rules answered: {answer['reasons']}")
            return str(answer["text"])

        return call

    return maker


def litellm_sdk(job: Job) -> Callable[[], Call]:
    import litellm

    litellm.suppress_debug_info = True
    base = f"http://{job['host']}:{job['port']}/v1"

    def call() -> str:
        reply = litellm.completion(
            model="openai/" + job["model"], messages=job["messages"], api_base=base, api_key="sk-bench", timeout=20
        )
        return str(reply.choices[0].message.content)

    return lambda: call


def tensorzero(job: Job) -> Callable[[], Call]:
    os.environ["OPENAI_API_KEY"] = "sk-bench"
    from tensorzero import TensorZeroGateway

    gateway = TensorZeroGateway.build_embedded(config_file=job["tensorzero"])
    system, user = (message["content"] for message in job["messages"])
    asked = {"system": system, "messages": [{"role": "user", "content": user}]}

    def call() -> str:
        return str(gateway.inference(model_name="bench", input=asked).content[0].text)

    return lambda: call


ARMS: dict[str, Callable[[Job], Callable[[], Call]]] = {
    "bare": bare,
    "openai": openai_sdk,
    "fastapi": fastapi_openai,
    "millrace": millrace,
    "litellm": litellm_sdk,
    "tensorzero": tensorzero,
    "portkey": portkey,
}
_CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn:aws:lambda:x", aws_request_id="r1"
)


def event(text: str) -> dict[str, Any]:
    """API Gateway's payload 2.0 behind the authorizer."""
    http = {"method": "POST", "path": "/api/humanize", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"}
    caller = {"tenant": "bench", "tier": "ENTERPRISE", "roles": "editor,operator,reader"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/api/humanize",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "api.example.com"},
        "requestContext": {"http": http, "authorizer": {"lambda": caller}, "stage": "$default", "requestId": "r1"},
        "body": json.dumps({"text": text}),
        "isBase64Encoded": False,
    }


# --- being driven -----------------------------------------------------------------------------------------------------
def block(calls: list[Call], each: int) -> dict[str, Any]:
    """`each` calls by every one of `calls` at a time: the nanoseconds of each and of CPU and wall time for all."""
    taken: list[list[int]] = [[] for _ in calls]

    def work(number: int) -> None:
        for _ in range(each):
            began = time.perf_counter_ns()
            calls[number]()
            taken[number].append(time.perf_counter_ns() - began)

    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    if len(calls) == 1:
        work(0)
    else:
        threads = [threading.Thread(target=_looped, args=(work, number)) for number in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {
        "ns": [ns for row in taken for ns in row],
        "cpu_ns": time.process_time_ns() - cpu,
        "wall_ns": time.perf_counter_ns() - wall,
    }


def _looped(work: Callable[[int], None], number: int) -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())
    work(number)


def main() -> None:
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer

    def say(told: Any) -> None:
        pipe.write(json.dumps(told) + "\n")

    name, job = sys.argv[1], json.loads(sys.stdin.readline())
    if name == "mock":
        return asyncio.run(mock(job, say))
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).parent]
    maker = ARMS[name](job)
    calls = [maker()]
    said = calls[0]()
    for _ in range(WARM):
        calls[0]()
    say({"said": said})
    for line in sys.stdin:
        each, threads = map(int, line.split())
        while len(calls) < threads:
            calls.append(maker())
        say(block(calls[:threads], each))


if __name__ == "__main__":
    main()
