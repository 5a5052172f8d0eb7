"""The client for asyncio programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from vpoller_like.client.base import NetworkClient
from vpoller_like.client.call import message_of
from vpoller_like.client.lone import Lone
from vpoller_like.client.outcome import Envelope, result_of
from vpoller_like.client.pipeline import Pipeline
from vpoller_like.client.source import Source
from vpoller_like.transport.aio import readable


class AsyncVPollerClient(NetworkClient):
    """Asks a broker, or the next one where that fails; any number of tasks at once.

    ``endpoint`` is a broker's frontend or a list of them; ``timeout`` is milliseconds per
    try; ``retries`` is how often a request is sent in all; ``max_request`` is the largest
    request in bytes.

    To brokers that ask for a key, ``key`` is this client's: the name of a key in the
    directory ``keys`` (by default ``~/.config/vpoller/keys``), or the path of a ``.key``
    file. ``server_key`` is the brokers' public key: a name there, the path of a ``.pub``
    file, or its 40 characters.

    Raises ``ConfigError`` where one of them is wrong.

    A cancelled call closes its connection. The client is not bound to an event loop.
    """

    async def run(self, msg: dict[str, Any]) -> Envelope:
        """Send the request ``msg`` and return the reply's envelope.

        Nothing that a broker or the network does raises: a failure is an envelope too, and
        so is a request that cannot be written or is too large. Raises ``TypeError`` where
        ``msg`` is not a dict, ``RuntimeError`` after :meth:`close`.
        """
        lone = Lone(self._own(), self._policy, msg)
        try:
            while lone.envelope is None:
                await _wait(lone)
                lone.turn()
            return lone.envelope
        finally:
            lone.close()

    async def call(self, method: str, /, hostname: str | None = None, **params: Any) -> Any:
        """Run ``method`` with these parameters and return its result.

        Raises the :class:`~vpoller_like.errors.RequestError` that the reply tells of, or
        :class:`~vpoller_like.errors.NoAnswer`.
        """
        return result_of(await self.run(message_of(method, hostname, params)))

    def map(
        self, requests: Iterable[dict[str, Any]] | Source, window: int = 64
    ) -> AsyncIterator[Envelope]:
        """Send many requests and yield their envelopes in the requests' order.

        ``requests`` is drawn from as replies come in, with at most ``window`` unanswered.
        What can be sent at one moment goes as one message; each request is tried on its own
        nevertheless, as :meth:`run` does. Nothing is sent again while the caller is busy with
        an envelope, or ``requests`` with the next one: an iterable that waits for what a
        request does holds back requests that were drawn with it (give a ``Source`` instead).
        """
        return _stream(Pipeline(self._flight(), requests, window))

    async def close(self) -> None:
        """Close all connections; what other tasks have under way ends by itself."""
        self._close()

    async def __aenter__(self) -> AsyncVPollerClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _stream(pipeline: Pipeline) -> AsyncIterator[Envelope]:
    with pipeline:
        while not pipeline.is_finished:
            if pipeline.is_due:
                # Where replies come faster than they are used, other tasks live too.
                await asyncio.sleep(0)
            envelope = pipeline.turn()
            if envelope is not None:
                yield envelope
            elif not pipeline.is_finished:
                await _wait(pipeline)


async def _wait(waiting: Lone | Pipeline) -> None:
    """Wait until there may be something to do."""
    await readable(waiting.filenos(), waiting.patience())
