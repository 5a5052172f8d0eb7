"""The client for programs that wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vpoller_like.client.base import NetworkClient
from vpoller_like.client.call import message_of
from vpoller_like.client.lone import Lone
from vpoller_like.client.outcome import Envelope, result_of
from vpoller_like.client.pipeline import Pipeline
from vpoller_like.client.source import Source
from vpoller_like.client.waiting import wait


class VPollerClient(NetworkClient):
    """Asks a broker, or the next one where that fails.

    ``endpoint`` is a broker's frontend or a list of them; ``timeout`` is milliseconds per
    try; ``retries`` is how often a request is sent in all; ``max_request`` is the largest
    request in bytes.

    To brokers that ask for a key, ``key`` is this client's: the name of a key in the
    directory ``keys`` (by default ``~/.config/vpoller/keys``), or the path of a ``.key``
    file. ``server_key`` is the brokers' public key: a name there, the path of a ``.pub``
    file, or its 40 characters.

    Raises ``ConfigError`` where one of them is wrong.

    Any number of threads may use one client, and so may a process forked from its own.
    """

    def run(self, msg: dict[str, Any]) -> Envelope:
        """Send the request ``msg`` and return the reply's envelope.

        Nothing that a broker or the network does raises: a failure is an envelope too, and
        so is a request that cannot be written or is too large. Raises ``TypeError`` where
        ``msg`` is not a dict, ``RuntimeError`` after :meth:`close`.
        """
        lone = Lone(self._own(), self._policy, msg)
        try:
            while lone.envelope is None:
                lone.wait()
                lone.turn()
            return lone.envelope
        finally:
            lone.close()

    def call(self, method: str, /, hostname: str | None = None, **params: Any) -> Any:
        """Run ``method`` with these parameters and return its result.

        Raises the :class:`~vpoller_like.errors.RequestError` that the reply tells of, or
        :class:`~vpoller_like.errors.NoAnswer`.
        """
        return result_of(self.run(message_of(method, hostname, params)))

    def map(
        self, requests: Iterable[dict[str, Any]] | Source, window: int = 64
    ) -> Iterator[Envelope]:
        """Send many requests and yield their envelopes in the requests' order.

        ``requests`` is drawn from as replies come in, with at most ``window`` unanswered.
        What can be sent at one moment goes as one message; each request is tried on its own
        nevertheless, as :meth:`run` does. Nothing is sent again while the caller is busy with
        an envelope, or ``requests`` with the next one: an iterable that waits for what a
        request does holds back requests that were drawn with it (give a ``Source`` instead).
        """
        return _stream(Pipeline(self._flight(), requests, window))

    def close(self) -> None:
        """Close all connections; what other threads have under way ends by itself."""
        self._close()

    def __enter__(self) -> VPollerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stream(pipeline: Pipeline) -> Iterator[Envelope]:
    with pipeline:
        while not pipeline.is_finished:
            envelope = pipeline.turn()
            if envelope is not None:
                yield envelope
            elif not pipeline.is_finished:
                wait(pipeline.filenos(), pipeline.patience())
