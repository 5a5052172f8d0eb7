"""A worker's core with a clock that the test sets, an executor that the test plays, and
brokers that it speaks for."""

from __future__ import annotations

from typing import Any, TypeVar

from vpoller_like.config import WorkerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev
from vpoller_like.worker.core import Identity, WorkerCore

A = TypeVar("A", bound=ev.Action)
M = TypeVar("M", bound=wire.FromWorker)

OFFER = wire.Offer(
    agent="test",
    methods=[
        wire.Method(name="quick", retry_safe=True),
        wire.Method(name="slow"),
        wire.Method(name="brief", timeout_ms=1000),
    ],
)


def task(
    number: int,
    method: str = "quick",
    attempt: int = 1,
    request_id: str | None = None,
    fingerprint: bytes = b"print",
    body: bytes = b"{}",
) -> wire.Assignment:
    """Return a task for the worker."""
    mark = None if request_id is None else fingerprint
    return wire.Assignment(number, attempt, method, None, "anna", request_id, mark, body)


class Rig:
    """``out`` is what the core wanted done by the last call, ``now`` the time in seconds."""

    def __init__(self, threads: int = 2, links: int = 1, **settings: Any) -> None:
        backends = [f"tcp://127.0.0.1:{index + 1}" for index in range(links)]
        self.settings = WorkerSettings(backends=backends, threads=threads, **settings)
        self.core = WorkerCore(self.settings, Identity("node/0", "0123456789", 42), [OFFER])
        self.now = 1000.0
        self.out: list[ev.Action] = []
        self.sessions = [0] * links
        self.keys: dict[int, int] = {}

    # What happens ----------------------------------------------------------------------

    def handle(self, event: ev.Event) -> list[ev.Action]:
        """Give an event to the core."""
        self.out = self.core.handle(event, self.now)
        for action in self.out:
            if isinstance(action, ev.Send) and isinstance(action.message, wire.Hello):
                self.sessions[action.link] = action.message.session
            elif isinstance(action, ev.Submit):
                self.keys.update((run.item.task, run.key) for run in action.runs)
        return self.out

    def tick(self, after: float = 0.0) -> list[ev.Action]:
        """Let time pass, in seconds, and say so."""
        self.now += after
        return self.handle(ev.Tick())

    def say(self, message: wire.FromBroker, link: int = 0) -> list[ev.Action]:
        """A broker says something."""
        return self.handle(ev.Received(link, message))

    def welcome(self, link: int = 0, epoch: str = "first") -> list[ev.Action]:
        """A broker answers HELLO."""
        return self.say(
            wire.Welcome(version=1, epoch=epoch, heartbeat_ms=1000, liveness_ms=3000), link
        )

    def join(self) -> Rig:
        """Greet all brokers and be welcomed."""
        self.tick()
        for link in range(len(self.sessions)):
            self.welcome(link)
        return self

    def give(self, *items: wire.Assignment, link: int = 0) -> list[ev.Action]:
        """A broker gives tasks."""
        return self.say(wire.Tasks(self.sessions[link], list(items)), link)

    def ack(self, seq: int, link: int = 0) -> list[ev.Action]:
        """A broker acknowledges."""
        return self.say(wire.Ack(seq), link)

    def start(self, *numbers: int) -> list[ev.Action]:
        """Threads begin with these tasks."""
        started = [ev.Started(self.keys[number], self.now) for number in numbers]
        return self.handle(ev.Progress(started, []))

    def finish(
        self, *numbers: int, code: str = "", body: bytes = b"{}", ran_us: int = 100
    ) -> list[ev.Action]:
        """Threads are done with these tasks."""
        finished = [ev.Finished(self.keys[number], code, ran_us, body) for number in numbers]
        return self.handle(ev.Progress([], finished))

    def run(self, *items: wire.Assignment, link: int = 0, **how: Any) -> list[ev.Action]:
        """A broker gives tasks, and threads do them."""
        self.give(*items, link=link)
        self.start(*(item.task for item in items))
        return self.finish(*(item.task for item in items), **how)

    def recalled(self) -> list[ev.Action]:
        """The executor gives back all that the core has just asked for."""
        keys = [key for action in self.actions(ev.Recall) for key in action.keys]
        assert keys, f"nothing was recalled: {self.out}"
        return self.handle(ev.Recalled(keys))

    # What came of it -------------------------------------------------------------------

    def actions(self, kind: type[A]) -> list[A]:
        """Return the last call's actions of this kind."""
        return [action for action in self.out if isinstance(action, kind)]

    def sent(self, kind: type[M], link: int = 0) -> list[M]:
        """Return what the last call sent to a broker, of this kind."""
        return [
            action.message
            for action in self.actions(ev.Send)
            if action.link == link and isinstance(action.message, kind)
        ]

    def only(self, kind: type[M], link: int = 0) -> M:
        """Return the one message of this kind that the last call sent to a broker."""
        (message,) = self.sent(kind, link)
        return message

    def results(self, link: int = 0) -> list[tuple[int, int]]:
        """Return the task and attempt of each result that the last call sent."""
        packs = self.sent(wire.Results, link)
        return [(item.task, item.attempt) for pack in packs for item in pack.items]

    def runs(self) -> list[int]:
        """Return the tasks that the last call gave to the executor."""
        return [run.item.task for action in self.actions(ev.Submit) for run in action.runs]
