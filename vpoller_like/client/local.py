"""The client that needs no broker: agents in this process."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from vpoller_like.agent import Agent, AgentHost, load_agents
from vpoller_like.client.call import message_of
from vpoller_like.client.outcome import Envelope, result_of
from vpoller_like.client.policy import new_id
from vpoller_like.client.source import Request, Source, source
from vpoller_like.client.waiting import wait
from vpoller_like.clock import monotonic
from vpoller_like.errors import RequestError
from vpoller_like.protocol.reply import ReplyMeta, failure_fields


class LocalClient:
    """Runs requests on agents in this process, one after the other per thread.

    ``agents`` holds agents, entry-point names of installed ones, or both; ``settings`` has
    a section for each name, as ``[agents.NAME]`` has in a configuration. The agents are
    set up at once, and torn down by :meth:`close`; hosts that come later are not seen.
    Raises ``AgentError`` or ``ConfigError`` where an agent cannot be loaded or set up.
    """

    def __init__(
        self,
        agents: Sequence[Agent | str],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._host = AgentHost(_loaded(agents, settings or {}))
        self._host.setup()
        self._finalizer = weakref.finalize(self, self._host.teardown)

    def run(self, msg: dict[str, Any]) -> Envelope:
        """Run the request ``msg`` and return its envelope, the same as a broker's.

        What a task raises is an envelope too. Raises ``TypeError`` where ``msg`` is not a
        dict, ``RuntimeError`` after :meth:`close`.
        """
        self._require_open()
        if not isinstance(msg, dict):
            raise TypeError(f"a request is a dict, not {type(msg).__name__}")
        started = monotonic()
        envelope = self._host.call(msg)
        if isinstance(msg.get("meta"), dict):
            envelope["meta"] = _meta(msg["meta"], monotonic() - started)
        return envelope

    def call(self, method: str, /, hostname: str | None = None, **params: Any) -> Any:
        """Run ``method`` with these parameters and return its result.

        Raises the :class:`~vpoller_like.errors.RequestError` that the envelope tells of.
        """
        return result_of(self.run(message_of(method, hostname, params)))

    def map(
        self, requests: Iterable[dict[str, Any]] | Source, window: int = 64
    ) -> Iterator[Envelope]:
        """Run many requests and yield their envelopes in order.

        Each is run when its envelope is asked for; ``window`` is there for the sake of the
        other clients, and says nothing here.
        """
        if window < 1:
            raise ValueError(f"window: expected a number of requests above 0, got {window!r}")
        self._require_open()
        return (self._answer(request) for request in _drawn(source(requests)))

    def _answer(self, request: Request) -> Envelope:
        return failure_fields(request) if isinstance(request, RequestError) else self.run(request)

    def close(self) -> None:
        """Tear the agents down."""
        self._finalizer()

    def _require_open(self) -> None:
        if not self._finalizer.alive:
            raise RuntimeError("the client is closed; make a new one")

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _loaded(
    agents: Sequence[Agent | str], settings: Mapping[str, Mapping[str, Any]]
) -> list[Agent]:
    loaded: list[Agent] = []
    for each in [agents] if isinstance(agents, str) else agents:
        loaded.extend(load_agents([each], settings) if isinstance(each, str) else [each])
    return loaded


def _drawn(arriving: Source) -> Iterator[Request]:
    while not arriving.is_exhausted:
        requests = arriving.draw(1)
        if not requests and not arriving.is_exhausted:
            wait(arriving.filenos(), math.inf)
        yield from requests


def _meta(asked: dict[str, Any], seconds: float) -> dict[str, Any]:
    named = asked.get("id")
    meta = ReplyMeta(id=named or new_id(), attempts=1, ran_ms=round(seconds * 1000, 3))
    fields: dict[str, Any] = msgspec.to_builtins(meta)
    return fields
