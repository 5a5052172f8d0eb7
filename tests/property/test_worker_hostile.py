"""Whatever a broker says that parses, the worker runs nothing twice and serves the other one."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import strategies as some
from tests.support.core_rig import Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev

HOSTILE, HONEST = 0, 1
NUMBERS = st.sampled_from([0, 1, 2, 3, (1 << 63) - 1])


def meaningful(part: Any, session: int, draw: Any) -> Any:
    """``part``, its numbers, ids and methods taken from those that mean something."""
    fields: dict[str, Any] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if name in ("task", "seq", "query"):
            fields[name] = draw(NUMBERS)
        elif name == "attempt":
            fields[name] = draw(st.integers(0, 3))
        elif name == "id":
            fields[name] = draw(st.sampled_from(["x", "y"]))
        elif name == "fingerprint":
            fields[name] = draw(st.sampled_from([b"print", b"other"]))
        elif name == "principal":
            fields[name] = "anna"
        elif name == "method":
            fields[name] = draw(st.sampled_from(["quick", "slow", "brief", "none"]))
        elif name == "session":
            fields[name] = draw(st.sampled_from([session, session, session + 1]))
        elif name == "items":
            fields[name] = [meaningful(item, session, draw) for item in value]
    return msgspec.structs.replace(part, **fields)


class Executor:
    """Runs what it is given when it is told to."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.waiting: list[int] = []
        self.begun: set[int] = set()
        self.results: list[wire.Result] = []
        self.gone = False

    def feed(self, event: ev.Event) -> None:
        for action in self.rig.handle(event):
            if isinstance(action, ev.Submit):
                assert self.begun.isdisjoint(run.key for run in action.runs)
                self.waiting.extend(run.key for run in action.runs)
            elif isinstance(action, ev.Recall):
                back = [key for key in self.waiting if key in action.keys]
                self.waiting = [key for key in self.waiting if key not in back]
                self.feed(ev.Recalled(back))
            elif isinstance(action, ev.Exit):
                self.gone = True
            elif isinstance(action, ev.Send) and isinstance(action.message, wire.Results):
                self._note(action.link, action.message)

    def _note(self, link: int, results: wire.Results) -> None:
        if link == HONEST:
            self.results += results.items

    def run(self, count: int) -> None:
        for _ in range(min(count, len(self.waiting))):
            key = self.waiting.pop(0)
            self.begun.add(key)
            self.feed(ev.Progress([ev.Started(key, self.rig.now)], []))
            self.feed(ev.Progress([], [ev.Finished(key, "", 100, b"{}")]))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_a_hostile_broker_takes_nothing_from_the_honest_one(data: st.DataObject) -> None:
    rig = Rig(links=2).join()
    executor = Executor(rig)
    numbers = 100
    for _ in range(data.draw(st.integers(1, 25))):
        step = data.draw(st.sampled_from(["say", "say", "say", "give", "run", "wait"]))
        if step == "say":
            message = data.draw(some.from_brokers)
            if isinstance(message, wire.Shutdown):
                continue  # That ends a worker, and is meant to.
            executor.feed(
                ev.Received(HOSTILE, meaningful(message, rig.sessions[HOSTILE], data.draw))
            )
        elif step == "give":
            numbers += 1
            executor.feed(ev.Received(HONEST, wire.Tasks(rig.sessions[HONEST], [task(numbers)])))
        elif step == "run":
            executor.run(data.draw(st.integers(1, 3)))
        else:
            rig.now += data.draw(st.sampled_from([0.001, 0.01, 0.4]))
            executor.feed(ev.Received(HONEST, wire.Alive()))
            executor.feed(ev.Tick())
    executor.run(1000)
    rig.now += 0.01
    executor.feed(ev.Tick())
    assert not executor.gone
    # What the honest one gave without an id is its own, and is answered once.
    assert sorted(r.task for r in executor.results) == list(range(101, numbers + 1))
