"""The exporter's HTTP server, in this process, before clients that are not as they should be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

pytest.importorskip("h11")

from vpoller_like.gateway import http
from vpoller_like.gateway.http import HttpServer, Request, Response

GET = b"GET /metrics?a=1&a=2&b= HTTP/1.1\r\nHost: x\r\nAccept: one\r\naccept: two\r\n\r\n"

Port = int
Test = Callable[[Port], Awaitable[None]]


async def echo(request: Request) -> Response:
    return Response(200, repr((request.path, request.parameters, request.headers)).encode())


def serving(test: Test, *, limit: int = 8, admitted: bool = True) -> None:
    async def run() -> None:
        server = HttpServer(echo, lambda _: admitted, limit)
        _, port = await server.start("127.0.0.1", 0)
        try:
            await asyncio.wait_for(test(port), 20)
        finally:
            await server.close(1.0)

    asyncio.run(run())


async def connect(port: Port) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def ask(port: Port, *parts: bytes) -> bytes:
    """Send the parts one after the other and return all that comes back."""
    reader, writer = await connect(port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_a_request_is_read_in_whatever_pieces_it_comes() -> None:
    async def test(port: Port) -> None:
        reply = await ask(port, GET[:7], GET[7:40], GET[40:])
        assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"('/metrics', {'a': ['1', '2'], 'b': ['']}" in reply
        assert b"'accept': 'one,two'" in reply

    serving(test)


def test_who_may_not_ask_is_not_answered() -> None:
    async def test(port: Port) -> None:
        assert await ask(port, GET) == b""

    serving(test, admitted=False)


def test_who_does_not_ask_in_time_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ASKING_SECONDS", 0.2)

    async def test(port: Port) -> None:
        # It is the whole request that has to come in time, not the next byte of it.
        reader, writer = await connect(port)
        reply = asyncio.ensure_future(_rest(reader))
        while not reply.done():
            writer.write(b"G")
            await asyncio.sleep(0.02)
        # A byte more may have reset the connection before the answer was read.
        assert (await reply)[:13] in (b"HTTP/1.1 408 ", b"")
        writer.close()
        reader, writer = await connect(port)
        assert (await _rest(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()

    serving(test)


def test_who_asks_and_goes_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def test(port: Port) -> None:
        for data in (b"", b"GET", GET):
            _, writer = await connect(port)
            writer.write(data)
            writer.transport.abort()
        assert (await ask(port, GET)).startswith(b"HTTP/1.1 200 ")

    serving(test)
    assert caplog.text == ""


def test_the_one_that_has_been_asking_longest_makes_room() -> None:
    async def test(port: Port) -> None:
        idle = [await connect(port) for _ in range(3)]
        assert (await ask(port, GET)).startswith(b"HTTP/1.1 200 ")
        # The first one was closed for it; the others are still there.
        assert await _ended(idle[0][0])
        idle[1][1].write(GET)
        assert (await idle[1][0].read()).startswith(b"HTTP/1.1 200 ")
        for _, writer in idle:
            writer.close()

    serving(test, limit=3)


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


def test_an_answer_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TAKING_SECONDS", 0.2)

    async def large(_: Request) -> Response:
        return Response(200, bytes(64 << 20))

    async def test(port: Port) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(GET)
        await asyncio.sleep(0.6)
        assert len(await _rest(reader)) < 64 << 20
        writer.close()

    monkeypatch.setitem(globals(), "echo", large)
    serving(test)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    parts = []
    try:
        while part := await reader.read(1 << 20):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


def test_a_fault_of_our_own_is_an_answer_without_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Request) -> Response:
        raise ZeroDivisionError("secret")

    async def test(port: Port) -> None:
        reply = await ask(port, GET)
        assert reply.startswith(b"HTTP/1.1 500 ")
        assert b"secret" not in reply

    monkeypatch.setitem(globals(), "echo", broken)
    serving(test)
    assert "ZeroDivisionError: secret" in caplog.text
