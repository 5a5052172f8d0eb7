"""Requests for plain REP workers, of which the broker knows nothing but their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.events import Action, AskPlain
from vpoller_like.broker.state import State
from vpoller_like.broker.task import Task
from vpoller_like.errors import BadRequest, Busy, DeadlineExceeded, ProtocolError, TaskFailed
from vpoller_like.protocol.encoding import Encoding, transcode


class NoPlainAnswer(DeadlineExceeded):
    """A plain worker did not answer in time; the request may have run."""

    # Unlike a deadline in the queue: nobody knows whether it ran.
    retryable: ClassVar[bool] = False


class PlainDesk:
    """Fans requests out to plain workers, each under a token that cannot be guessed.

    There is no liveness here: a worker that dies with a request is noticed by the
    request's deadline alone.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        counters: Counters,
        out: list[Action],
        *,
        new_token: Callable[[], bytes],
    ) -> None:
        self._dispatcher = dispatcher
        self._counters = counters
        self._out = out
        self._new_token = new_token
        self._asked: dict[bytes, Task] = {}
        self._tokens: dict[int, bytes] = {}
        self.peers = 0

    def __len__(self) -> int:
        """Return how many requests are with plain workers."""
        return len(self._asked)

    def ask(self, task: Task, now: float) -> None:
        """Send ``task``, which the dispatcher has opened, to a plain worker."""
        body = task.body or b""
        if task.encoding is Encoding.MSGPACK:
            try:
                body = transcode(body, Encoding.JSON)
            except ProtocolError as error:
                message = f"the request cannot be written as JSON for a plain worker: {error}"
                self._dispatcher.fail(task, BadRequest(message), now)
                return
        token = self._new_token()
        task.state = State.PLAIN
        task.given_at = now
        # Nobody needs it again: it is never given a second time. Not None, which is a task
        # whose body is still to come.
        task.body = b""
        task.waiters = [waiter.without_body() for waiter in task.waiters]
        self._asked[token] = task
        self._tokens[task.number] = token
        self._counters.plain += 1
        self._dispatcher.timetable.set(task, self._dispatcher.plain_due(task))
        self._out.append(AskPlain(token, body))

    def replied(self, token: bytes, body: bytes, now: float) -> None:
        """A plain worker has answered; an answer that is not waited for is dropped."""
        task = self._asked.get(token)
        if task is None:
            self._counters.late_results += 1
            return
        self.forget(task)
        if self._dispatcher.is_too_large(task, body, now):
            return
        if task.encoding is Encoding.MSGPACK:
            try:
                body = transcode(body, Encoding.MSGPACK)
            except ProtocolError as error:
                message = f"the plain worker's reply cannot be written as MessagePack: {error}"
                self._dispatcher.fail(task, TaskFailed(message), now)
                return
        self._dispatcher.finish_bare(task, body, now)

    def garbled(self, token: bytes, now: float) -> None:
        """A plain worker has answered with several frames."""
        self._counters.garbled += 1
        task = self._asked.get(token)
        if task is None:
            return
        self.forget(task)
        message = "the plain worker's reply is not one frame; let it send one"
        self._dispatcher.fail(task, TaskFailed(message), now)

    def refused(self, token: bytes, now: float) -> None:
        """No plain worker can take the request."""
        task = self._asked.get(token)
        if task is None:
            return
        self.forget(task)
        self._counters.busy += 1
        error = Busy("all plain workers are full; try again later", retry_after_ms=1000)
        self._dispatcher.fail(task, error, now)

    def expire(self, task: Task, now: float) -> None:
        """No answer has come in time."""
        self.forget(task)
        self._counters.expired += 1
        message = "no plain worker answered in time; the request may have run"
        self._dispatcher.fail(task, NoPlainAnswer(message), now)

    def forget(self, task: Task) -> None:
        """Wait no more for the answer to ``task``."""
        del self._asked[self._tokens.pop(task.number)]
