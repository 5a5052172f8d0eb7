"""The little of HTTP/1.1 that a scrape takes: one GET for each connection.

Nothing that a client does holds up another one: who is slow in asking, or in taking its
answer, costs a connection for a while, and where they all are taken the one that has been
asking for the longest is closed for the next. h11 does the parsing. A server of its own stays
because none of uvicorn, hypercorn, aiohttp and prometheus_client's bounds its connections so or
gives up an answer that is not taken: that part, most of the class, would be ours on them, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import msgspec

log = logging.getLogger("vpoller.exporter")

#: Bytes that a request's line and headers may have together.
MAX_HEAD = 16 << 10
#: Parameters that a request may have.
MAX_PARAMETERS = 50
#: Seconds for a client to send its request, and to take its answer.
ASKING_SECONDS = 5.0
TAKING_SECONDS = 30.0
#: Less than this is sent as it is; bytes.
_WORTH_PACKING = 1400
#: The fastest level: metrics are much the same text again and again.
_PACKING = 1

TEXT = "text/plain; charset=utf-8"


class Request(msgspec.Struct, frozen=True):
    """A GET or HEAD; headers' names are in lower case, and each parameter's values listed."""

    path: str
    parameters: dict[str, list[str]]
    headers: dict[str, str]
    method: str = "GET"


class Response(msgspec.Struct, frozen=True):
    """What goes back."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: dict[str, str] = {}


class Refusal(Exception):
    """A request that is answered with this status and sentence."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.response = Response(status, f"{sentence}\n".encode(), headers=headers)


Answer = Callable[[Request], Awaitable[Response]]
#: Says whether a client at this address may ask.
Admits = Callable[[str], bool]


class HttpServer:
    """Answers each connection's request by ``answer``, of at most ``limit`` connections at once."""

    def __init__(self, answer: Answer, admits: Admits, limit: int) -> None:
        self._answer = answer
        self._admits = admits
        self._limit = limit
        self._all: set[asyncio.Task[None]] = set()
        #: Those that have not asked yet, the oldest first.
        self._asking: dict[asyncio.Task[None], None] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address that was bound. Raises ``OSError``."""
        self._server = await asyncio.start_server(self._connected, host, port, backlog=256)
        address = self._server.sockets[0].getsockname()
        return address[0], address[1]

    async def close(self, patience: float) -> None:
        """Accept nothing more; what was asked may be answered for so many seconds."""
        assert self._server is not None
        self._server.close()
        for task in self._asking:
            task.cancel()
        if self._all:
            _, late = await asyncio.wait(self._all, timeout=patience)
            for task in late:
                task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = writer.get_extra_info("peername")
        # A client that has gone already has no address any more.
        if not peer or not self._admits(peer[0]) or not self._make_room():
            writer.transport.abort()
            return
        self._all.add(task)
        self._asking[task] = None
        try:
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await self._serve(task, reader, writer)
        finally:
            self._all.discard(task)
            self._asking.pop(task, None)
            writer.transport.abort()

    def _make_room(self) -> bool:
        """Have one connection fewer than the limit, if one of them has not asked yet."""
        if len(self._all) < self._limit:
            return True
        oldest = next(iter(self._asking), None)
        if oldest is None:
            return False
        del self._asking[oldest]
        oldest.cancel()
        return True

    async def _serve(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        event = None
        try:
            event = await _read(reader)
            self._asking.pop(task, None)
            response = await self._answered(_request(event))
        except Refusal as refusal:
            response = refusal.response
        except EOFError:
            return
        has_body = event is None or event.method != b"HEAD"
        await _send(writer, _encoded(response, has_body))

    async def _answered(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Refusal:
            raise
        except Exception:
            log.exception("a request for %s could not be answered", request.path)
            raise Refusal(500, "this should not have happened; see the exporter's log") from None


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Return when the kernel has taken all: before, closing would lose some of it."""
    writer.transport.set_write_buffer_limits(0)
    writer.write(data)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TAKING_SECONDS):
            await writer.drain()
            writer.close()
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> h11.Request:
    """Return the request that comes in; raise ``Refusal``, or ``EOFError`` if none comes."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    try:
        async with asyncio.timeout(ASKING_SECONDS):
            event = await _next_event(connection, reader)
    except TimeoutError:
        raise Refusal(408, f"no whole request came within {ASKING_SECONDS:g} s") from None
    except h11.RemoteProtocolError as error:
        raise Refusal(error.error_status_hint, f"no request of HTTP/1.1: {error}") from error
    if not isinstance(event, h11.Request):
        raise EOFError
    return event


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(MAX_HEAD))
    return event


def _request(event: h11.Request) -> Request:
    method = event.method.decode("ascii")
    if method not in ("GET", "HEAD"):
        raise Refusal(405, f"{method}: this reads only, so ask with GET", Allow="GET, HEAD")
    try:
        target = urlsplit(event.target.decode("ascii"))
        parameters = parse_qs(
            target.query,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as error:
        raise Refusal(400, f"the address cannot be read: {error}") from error
    headers: dict[str, str] = {}
    for name, value in event.headers:
        key, text = name.decode("ascii"), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return Request(target.path, parameters, headers, method)


def _encoded(response: Response, has_body: bool) -> bytes:
    """Return the response as bytes."""
    headers = {
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "Cache-Control": "no-store",
        "Vary": "Accept, Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **response.headers,
    }
    status = HTTPStatus(response.status)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    start = f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode("latin-1")
    return start + response.body if has_body else start


def packed(response: Response, headers: Mapping[str, str]) -> Response:
    """Return the response compressed, where the request's headers allow it and it is worth it."""
    accepted = [each.strip().lower() for each in headers.get("accept-encoding", "").split(",")]
    if "gzip" not in accepted or len(response.body) < _WORTH_PACKING:
        return response
    return msgspec.structs.replace(
        response,
        body=gzip.compress(response.body, _PACKING),
        headers={**response.headers, "Content-Encoding": "gzip"},
    )
