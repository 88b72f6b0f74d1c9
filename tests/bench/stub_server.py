"""A DynamoDB that only counts: a process of its own, so that its CPU is not that of who is measured."""

from __future__ import annotations

import asyncio
import sys

_COUNTED = {b"PutItem": b'"Item"', b"BatchWriteItem": b'"PutRequest"', b"BatchExecuteStatement": b'"Statement"'}


class Counting(asyncio.Protocol):
    items = 0
    requests = 0

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            name = self._buffer[:end].partition(b"DynamoDB_20120810.")[2].partition(b"\r\n")[0]
            self._buffer = self._buffer[end + 4 + length :]
            self._reply(self._answer(name, body))

    def _answer(self, name: bytes, body: bytes) -> bytes:
        if not name:  # asked by the bench itself
            return b'{"items": %d, "requests": %d}' % (Counting.items, Counting.requests)
        count = body.count(_COUNTED[name]) if name in _COUNTED else 0
        Counting.items += count
        Counting.requests += 1
        if name == b"BatchExecuteStatement":
            return b'{"Responses":[' + b",".join([b'{"TableName":"t"}'] * count) + b"]}"
        return {b"BatchWriteItem": b'{"UnprocessedItems":{}}', b"UpdateItem": b'{"Attributes":{}}'}.get(name, b"{}")

    def _reply(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Counting, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
