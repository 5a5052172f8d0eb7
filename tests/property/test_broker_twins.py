"""The compiled broker in lock step with the one in Python: part by part, and as a whole."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.core import offer, request_body, safe
from tests.support.twins import Load, as_they_are, in_python
from vpoller_like.broker import compiled
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import Busy
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.request import parse_head

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled core is not there")

_NAMES = ("core", "events", "fair_queue", "quota", "routing", "task", "timetable")


class Side:
    """One of the two brokers."""

    def __init__(self, load: Load) -> None:
        modules: list[Any] = load("broker", *_NAMES, "worker")
        self.core, self.events, self.fair_queue, self.quota, *rest = modules
        self.routing, self.task, self.timetable, self.worker = rest

    def new_task(self, number: int, share: object = b"", priority: int = 4, due: float = 9) -> Any:
        route = self.routing.Route("m", None, 0.0)
        return self.task.Task(
            number, route, b"", share, Encoding.JSON, 0.0, due, priority, given_at=0.0
        )


BOTH = (Side(as_they_are), Side(in_python))


def said(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``call`` returns, a task or a worker by its name; or the error's type."""
    try:
        found = call(*arguments)
    except Exception as error:
        return type(error).__name__
    return told(found)


def told(found: Any) -> Any:
    for name in ("number", "instance", "method"):
        if hasattr(found, name):
            return getattr(found, name)
    return found


def test_these_are_two() -> None:
    assert BOTH[0].task.Task is not BOTH[1].task.Task
    assert BOTH[0].task.Task.__module__.endswith("_hot")
    assert BOTH[1].task.Task.__module__.endswith("task")


# The parts -----------------------------------------------------------------------------

seeds = st.integers(0, 1 << 32)


@given(seeds)
def test_queues_serve_in_the_same_order(seed: int) -> None:
    seen = []
    for side in BOTH:
        dice, log = random.Random(seed), []
        queue = side.fair_queue.FairQueue()
        tasks = [
            side.new_task(n, dice.randrange(4), dice.randrange(3, 6), dice.choice([0.0, 9.0]))
            for n in range(12)
        ]
        waiting: set[int] = set()
        for _ in range(60):
            task = dice.choice(tasks)
            step = dice.choice([queue.push, queue.push, queue.push_front, queue.remove, None])
            if step is None:
                log.append(said(queue.pop, 1.0))
                waiting.discard(log[-1])
            elif step == queue.remove or task.number not in waiting:
                log.append(said(step, task))
                (waiting.discard if step == queue.remove else waiting.add)(task.number)
            log.append((len(queue), sorted(t.number for t in queue), bool(queue)))
        seen.append(log)
    assert seen[0] == seen[1]


def test_a_task_that_waits_does_not_wait_again() -> None:
    """In two chains at once it would have torn both of them."""
    side = BOTH[0]
    queue, other = side.fair_queue.FairQueue(), side.fair_queue.FairQueue()
    task = side.new_task(1)
    queue.push(task)
    for again in (queue.push, queue.push_front, other.push, other.push_front):
        with pytest.raises(ValueError, match="waits already"):
            again(task)
    with pytest.raises(KeyError):
        other.remove(task)
    assert (len(other), len(queue), list(queue)) == (0, 1, [task])
    assert queue.pop(0.0) is task


class Thing:
    """Something that is due at a time, and no task."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.slot = 0


@given(seeds, st.booleans())
def test_timetables_name_the_same_in_the_same_order(seed: int, of_tasks: bool) -> None:
    seen = []
    for side in BOTH:
        dice, log, now = random.Random(seed), [], 1.0
        table = side.timetable.Timetable()
        things = [side.new_task(n) if of_tasks else Thing(n) for n in range(1, 10)]
        for _ in range(40):
            thing = dice.choice(things)
            step = dice.randrange(4)
            if step < 2:
                due = dice.choice([now + dice.random(), now + 2, float("inf"), float("nan")])
                log.append(said(table.set, thing, due))
            elif step == 2:
                log.append(said(table.cancel, thing))
            else:
                now += dice.random()
                # Who is told of one may take out others, or give up.
                for due_thing in table.pop_due(now):
                    log.append(due_thing.number)
                    if dice.random() < 0.3:
                        table.cancel(dice.choice(things))
                    if dice.random() < 0.3:
                        table.set(dice.choice(things), now + 1)
                    if dice.random() < 0.2:
                        break
            log.append([thing.slot for thing in things])
            log.append(sorted(thing.number for thing in table))
        seen.append(log)
    assert seen[0] == seen[1]


@given(seeds)
def test_quotas_let_in_the_same(seed: int) -> None:
    seen = []
    for side in BOTH:
        dice, log = random.Random(seed), []
        quota = side.quota.Quota(3, 5000)
        for _ in range(60):
            share = dice.choice(["a", b"b", ("worker", b"c")])
            step = dice.choice([quota.take, quota.give_back, quota.hold, quota.release])
            size = [1024] if step in (quota.hold, quota.release) else []
            log.append(said(step, share, *size))
            log.append(quota.has_room(share, dice.choice([1, 1024, 3000])))
            log.append((quota.bytes, quota.peak, quota.peak_bytes, quota.most, bool(quota)))
            log.append((dict(quota._requests), dict(quota._bytes)))
        seen.append(log)
    assert seen[0] == seen[1]


def hello(number: int, offers: list[wire.Offer], slots: int, ahead: int) -> wire.Hello:
    return wire.Hello(wire.VERSION, f"w{number}", f"instance{number}", 1, 7, slots, ahead, offers)


OFFERS = [[offer(safe("m"), "n")], [offer("m", hosts=["h"]), offer(safe("m"), agent="b")]]


class Turns:
    """Two pools, their workers and their routes, on a course that a seed decides."""

    def __init__(self, side: Side, seed: int) -> None:
        self.side, self.dice = side, random.Random(seed)
        self.pools = [side.routing.Pool(b"%d" % n, offers) for n, offers in enumerate(OFFERS)]
        self.workers = [self.worker(n) for n in range(6)]
        self.routes = [side.routing.Route(name, None, 0.0) for name in ("m", "n")]
        for route, pool in ((0, 0), (0, 1), (1, 0)):
            self.routes[route].link(self.pools[pool])

    def worker(self, number: int) -> Any:
        pool, greeting = self.pools[number % 2], hello(number, OFFERS[number % 2], 1, 1)
        worker = pool.workers[greeting.instance] = self.side.worker.Worker(
            b"p", greeting, pool, 0.0
        )
        return worker

    def step(self) -> Any:
        dice = self.dice
        worker, pool, route = dice.choice(self.workers), dice.choice(self.pools), self.routes[0]
        match dice.randrange(7):
            case 0 | 1:
                worker.slots, worker.ahead = dice.randrange(3), dice.randrange(3)
                worker.draining = dice.random() < 0.2
                worker.tasks.clear()
                worker.tasks.update({n: self.side.new_task(n) for n in range(dice.randrange(4))})
                return said(worker.pool.place, worker)
            case 2:
                return said(dice.choice(self.routes).find)
            case 3:
                return said(pool.next_waiting)
            case 4:
                return said(pool.find, "m")
            case 5 if route in pool.quick or route in pool.careful:
                return said(route.ready_again, pool)
            case 6 if dice.random() < 0.2:
                return said(worker.pool.remove, worker)
        return None

    def state(self) -> list[Any]:
        found: list[Any] = [(worker.free_slots, worker.room) for worker in self.workers]
        for pool in self.pools:
            found.append((pool.slots, list(pool._free), list(pool._spare)))
            found.append([[route.method for route in lane] for lane in (pool.quick, pool.careful)])
        return found


@given(seeds)
def test_pools_and_routes_take_the_same_turns(seed: int) -> None:
    ours, theirs = (Turns(side, seed) for side in BOTH)
    for _ in range(80):
        assert ours.step() == theirs.step()
        assert ours.state() == theirs.state()


# The whole -----------------------------------------------------------------------------

#: What a fault is planted in: called by both at the same moments. The compiled one does without
#: some calls of ``mark`` and ``may_have_run``.
_HOOKS = {
    "dispatcher": ("over_quota", "queue_is_full", "too_late", "is_too_large", "without_envelope"),
    "admission": ("repeated", "rare_route", "seek"),
}


class Course:
    """One core, on a course that a seed alone decides; all that it says and counts is kept."""

    def __init__(self, side: Side, seed: int) -> None:
        self.side, self.dice, self.now = side, random.Random(seed), 0.0
        tokens = iter(range(1 << 20))
        self.core = side.core.BrokerCore(
            BrokerSettings(
                grace_ms=1000,
                queue_length=6,
                queue_bytes=16_384,
                max_in_flight=8,
                max_reply=2048,
                remember_bytes=4096,
                remember_ms=5000,
                route_memory_ms=4000,
                default_deadline_ms=3000,
            ),
            now=0.0,
            epoch=1,
            new_token=lambda: b"%d" % next(tokens),
        )
        self.given: list[wire.Assignment] = []
        self.tokens: list[bytes] = []
        self.log: list[Any] = []
        self.sequence = 0

    def run(self, steps: int) -> list[Any]:
        ways = [self.ask] * 8 + [self.results] * 5 + [self.hello] * 2
        ways += [self.tick] * 3 + [self.give_back, self.plain, self.leave]
        for _ in range(steps):
            self.now += self.dice.choice([0.0, 0.01, 0.4])
            broken = self.plant_a_fault() if self.dice.random() < 0.1 else None
            self.feed(*self.dice.choice(ways)())
            if broken is not None:
                del vars(broken[0])[broken[1]]
        self.feed(self.side.events.StopAsked())
        return self.log

    def plant_a_fault(self) -> tuple[Any, str]:
        part = self.dice.choice(sorted(_HOOKS))
        name = self.dice.choice(_HOOKS[part])
        place = getattr(self.core, part)

        error = self.dice.choice([LookupError("planted"), Busy("planted")])

        def fail(*_: object) -> None:
            raise error

        vars(place)[name] = fail
        return place, name

    def feed(self, *events: Any) -> None:
        actions = self.core.handle_all(
            events, self.now, lambda error, _: self.log.append(type(error).__name__)
        )
        for action in actions:
            self.log.append(self.fields(action))
        core, flow = self.core, self.core.dispatcher
        self.log.append(core.counters.as_dict())
        self.log.append((flow.queued, flow.queued_bytes, flow.longest_queue, len(core.memory)))
        quota = flow.quota
        self.log.append((dict(quota._requests), dict(quota._bytes), quota.peak_bytes))
        self.log.append([self.state(task) for task in flow.live.values()])
        self.log.append(sorted(task.number for task in flow.timetable))

    def state(self, task: Any) -> tuple[Any, ...]:
        holder = None if task.worker is None else task.worker.instance
        times = (task.arrived, task.deadline, task.given_at, task.slot)
        counts = (task.attempt, task.losses, task.priority, len(task.waiters))
        return (task.number, task.state.value, task.body, task.encoding, holder, times, counts)

    def fields(self, action: Any) -> tuple[Any, ...]:
        kind = type(action).__name__
        if kind == "Give":
            self.given.extend(action.items)
            return (kind, action.peer, action.session, list(action.items))
        if kind == "AskPlain":
            self.tokens.append(action.token)
        if kind == "Reply":
            return (kind, action.envelope, action.body, action.index)
        return (kind, *action)

    # What happens

    def ask(self) -> Iterable[Any]:
        dice = self.dice
        meta: dict[str, Any] = {"priority": dice.randrange(3, 6)}
        if dice.random() < 0.6:
            meta["id"] = f"id{dice.randrange(12)}"
        if dice.random() < 0.5:
            meta["age_ms"] = dice.choice([0, 0, 300, 20_000])
        if dice.random() < 0.3:
            meta["deadline_ms"] = dice.choice([0, 100, 1500, 1e12])
        encoding = dice.choice([Encoding.JSON, Encoding.JSON, Encoding.MSGPACK])
        body = request_body(
            dice.choice(["m", "m", "n", "p"]),
            dice.choice([None, None, "h", "g"]),
            dice.choice([None, meta, meta]),
            encoding,
            x="x" * dice.choice([0, 0, 3000]),
        )
        envelope = (dice.choice([b"c1", b"c2", b"c3"]), b"%d" % dice.randrange(1 << 20), b"")
        principal = dice.choice(["", "", "alice"])
        yield self.side.events.Request(
            envelope, body, parse_head(body), principal, dice.choice([None, None, 3])
        )

    def says(self, message: Any, number: int | None = None) -> Iterable[Any]:
        number = self.dice.randrange(4) if number is None else number
        yield self.side.events.WorkerSays(b"peer%d" % number, message)

    def hello(self) -> Iterable[Any]:
        number, dice = self.dice.randrange(4), self.dice
        held = [
            wire.Held(a.task, a.attempt, a.method, a.hostname, a.principal, a.id, a.fingerprint)
            for a in dice.sample(self.given, min(2, len(self.given)))
        ]
        if dice.random() < 0.2:
            foreign = (1 << 63) - 1 - dice.randrange(3)
            held.append(wire.Held(foreign, 1 << 20, "m", None, "", "id1", b"mark"))
        greeting = hello(number, OFFERS[number % 2], dice.randrange(3), dice.randrange(3))
        greeting = type(greeting)(**{**as_dict(greeting), "held": held})
        return self.says(greeting, number)

    def results(self) -> Iterable[Any]:
        dice, self.sequence = self.dice, self.sequence + 1
        bodies = [
            b'{"success":0}',
            b"{}",
            b' {"a":1 } ',
            b"text",
            b"",
            b"\x81\xa1a\x01",
            b"{" * 3000,
        ]
        items = [
            wire.Result(
                a.task,
                a.attempt,
                dice.choice(["", "", "task_failed", "busy"]),
                dice.choice([0, 1500, (1 << 53) - 1]),
                dice.choice(bodies),
            )
            for a in dice.sample(self.given, min(3, len(self.given)))
        ]
        # Whoever it was given to: what is not the worker's is too late.
        for number in range(4):
            slots, ahead = dice.randrange(3), dice.randrange(3)
            yield from self.says(wire.Results(self.sequence, slots, ahead, items), number)

    def give_back(self) -> Iterable[Any]:
        items = [
            wire.Attempt(a.task, a.attempt)
            for a in self.dice.sample(self.given, min(3, len(self.given)))
        ]
        return self.says(wire.Return(1, 1, items))

    def leave(self) -> Iterable[Any]:
        dice = self.dice
        if dice.random() < 0.5:
            return self.says(dice.choice([wire.Bye(), wire.Drain()]))
        return [self.side.events.PeerGone(b"peer%d" % dice.randrange(4), ())]

    def plain(self) -> Iterable[Any]:
        events, dice = self.side.events, self.dice
        if self.tokens and dice.random() < 0.5:
            return [events.PlainReply(dice.choice(self.tokens), b'{"success":0}')]
        return [events.PlainPeers(dice.randrange(2))]

    def tick(self) -> Iterable[Any]:
        self.now += self.dice.choice([0.1, 1.0])
        return [self.side.events.Tick()]


def as_dict(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in type(message).__struct_fields__}


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_cores_say_and_count_the_same_with_faults_in_between(seed: int) -> None:
    compiled_log, plain_log = (Course(side, seed).run(60) for side in BOTH)
    for ours, theirs in zip(compiled_log, plain_log, strict=False):
        assert ours == theirs
    assert len(compiled_log) == len(plain_log)
