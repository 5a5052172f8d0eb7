"""The broker's containers, held against the simplest thing that does the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vpoller_like.broker.events import Give
from vpoller_like.broker.fair_queue import FairQueue
from vpoller_like.broker.figures import GRAIN, REMEMBERED_BYTES, SLACK
from vpoller_like.broker.memory import Memory, Remembered
from vpoller_like.broker.packs import Packs
from vpoller_like.broker.routing import Route
from vpoller_like.broker.task import Task
from vpoller_like.broker.timetable import Timetable
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.protocol.reply import ReplyMeta
from vpoller_like.protocol.worker import Assignment, Attempt

ROUTE = Route("m", None, 0.0)


def task(number: int, share: int, priority: int) -> Task:
    return Task(
        number,
        ROUTE,
        b"",
        share=b"%d" % share,
        encoding=Encoding.JSON,
        arrived=0.0,
        deadline=0.0,
        priority=priority,
    )


# The queue -----------------------------------------------------------------------------

arrivals = st.lists(st.tuples(st.integers(0, 4), st.integers(3, 5)), min_size=1, max_size=40)


def queue_of(pairs: list[tuple[int, int]]) -> tuple[FairQueue, list[Task]]:
    queue = FairQueue()
    tasks = [task(number, *pair) for number, pair in enumerate(pairs)]
    for item in tasks:
        queue.push(item)
    return queue, tasks


@given(arrivals)
def test_everything_comes_out_once_by_priority_and_each_share_in_its_order(
    pairs: list[tuple[int, int]],
) -> None:
    queue, tasks = queue_of(pairs)
    out = [queue.pop(0.0) for _ in range(len(queue))]
    assert not queue
    assert sorted(t.number for t in out) == [t.number for t in tasks]
    assert [t.priority for t in out] == sorted((t.priority for t in tasks), reverse=True)
    lines: dict[tuple[bytes, int], list[int]] = defaultdict(list)
    for item in out:
        lines[(item.share, item.priority)].append(item.number)
    assert all(numbers == sorted(numbers) for numbers in lines.values())


@given(arrivals)
def test_of_n_that_wait_none_is_passed_over_n_times(pairs: list[tuple[int, int]]) -> None:
    queue, _ = queue_of([(share, 4) for share, _ in pairs])
    passed: dict[bytes, int] = defaultdict(int)
    everybody = len({item.share for item in queue})
    while queue:
        waiting = {item.share for item in queue}
        served = queue.pop(0.0).share
        passed[served] = 0
        for share in waiting - {served}:
            passed[share] += 1
            assert passed[share] < everybody


@given(arrivals, st.data())
def test_what_is_taken_out_is_gone_and_the_rest_is_not(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    queue, tasks = queue_of(pairs)
    gone = data.draw(st.sets(st.sampled_from(range(len(tasks)))))
    for number in gone:
        queue.remove(tasks[number])
    assert {item.number for item in queue} == set(range(len(tasks))) - gone
    assert len(queue) == len(tasks) - len(gone)
    assert {queue.pop(0.0).number for _ in range(len(queue))} == set(range(len(tasks))) - gone


@given(arrivals)
def test_what_is_put_back_is_the_next_one_again(pairs: list[tuple[int, int]]) -> None:
    queue, _ = queue_of(pairs)
    first = queue.pop(0.0)
    queue.push_front(first)
    assert queue.pop(0.0) is first


@given(arrivals)
def test_what_comes_too_late_is_nobodys_turn(pairs: list[tuple[int, int]]) -> None:
    queue, _ = queue_of([(share, 4) for share, _ in pairs])
    first = queue.pop(1.0)
    left = [item for item in queue if item.share == first.share]
    if left:
        assert queue.pop(1.0) is left[0]


# The timetable -------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 9), st.floats(0, 20)),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0.0)),
        st.tuples(st.just("wait"), st.just(0), st.floats(0, 5)),
    ),
    max_size=60,
)


class Thing:
    """Something that is due at a time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.slot = 0


@settings(max_examples=200)
@given(steps)
def test_each_thing_is_due_at_its_time_and_once(script: list[tuple[str, int, float]]) -> None:
    timetable: Timetable[Thing] = Timetable()
    things = [Thing(number) for number in range(10)]
    due: dict[int, float] = {}
    now = 0.0
    for step, number, value in script:
        if step == "set":
            due[number] = now + value
            timetable.set(things[number], now + value)
        elif step == "cancel":
            due.pop(number, None)
            timetable.cancel(things[number])
        else:
            now += value
            popped = [thing.number for thing in timetable.pop_due(now)]
            assert len(popped) == len(set(popped))
            assert all(due[item] <= now for item in popped), "too early"
            for item in popped:
                del due[item]
            assert all(when > now - 2 * GRAIN for when in due.values()), "too late"
        assert {thing.number for thing in timetable} == set(due)
        assert len(timetable._order) <= 2 * len(timetable._buckets) + SLACK + 1
    list(timetable.pop_due(now + 100))
    assert not timetable._order
    assert not timetable._buckets
    assert not list(timetable)


def test_what_is_due_and_was_not_taken_is_still_due() -> None:
    timetable: Timetable[Thing] = Timetable()
    things = [Thing(number) for number in range(5)]
    for thing in things:
        timetable.set(thing, 1.0)
    first = next(timetable.pop_due(2.0))
    timetable.cancel(things[3])
    assert [t.number for t in (first, *timetable.pop_due(2.0))] == [0, 1, 2, 4]
    assert not timetable._order
    assert not timetable._buckets


@given(st.integers(1, 400))
def test_what_was_cancelled_leaves_no_place_behind(count: int) -> None:
    timetable: Timetable[Thing] = Timetable()
    for number in range(count):
        thing = Thing(number)
        timetable.set(thing, 1000.0 * number)
        timetable.cancel(thing)
    assert len(timetable._order) <= SLACK + 1
    assert not timetable._buckets


# Memory --------------------------------------------------------------------------------


def entry(size: int, arrived: float, finished: float) -> Remembered:
    return Remembered(b"", b"x" * size, Encoding.JSON, ReplyMeta(), arrived, finished)


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 5), st.floats(0, 3)), max_size=30))
def test_the_memory_is_bounded_and_knows_what_it_may_have_forgotten(
    items: list[tuple[int, float, float]],
) -> None:
    memory = Memory(0.0, 10.0, 8000, 1000)
    now = 0.0
    arrived: dict[tuple[str, str], float] = {}
    for number, (size, pause, ran) in enumerate(items):
        now += pause
        key = ("", str(number))
        arrived[key] = max(0.0, now - ran)
        memory.put(key, entry(size, arrived[key], now))
        memory.expire(now)
        kept = [k for k in arrived if k in memory]
        assert memory.bytes <= 8000
        assert len(memory) == len(kept)
        for forgotten in arrived.keys() - set(kept):
            assert memory.may_have_forgotten(arrived[forgotten] - 0.001)
    memory.expire(now + 10.0)
    assert (len(memory), memory.bytes) == (0, 0)


@given(st.lists(st.integers(0, 3000), max_size=30))
def test_the_oldest_replies_make_room_and_peaks_are_what_there_was_of_them(
    sizes: list[int],
) -> None:
    memory = Memory(0.0, 10.0, 8000, 5)
    kept: list[int] = []
    most, most_bytes = 0, 0
    for number, size in enumerate(sizes):
        memory.put(("", str(number)), entry(size, number, number))
        kept.append(size + REMEMBERED_BYTES)
        while len(kept) > 5 or sum(kept) > 8000:
            kept.pop(0)
        most, most_bytes = max(most, len(kept)), max(most_bytes, sum(kept))
        youngest = range(number + 1 - len(kept), number + 1)
        assert [n for n in range(number + 1) if ("", str(n)) in memory] == list(youngest)
        assert (memory.bytes, memory.evicted) == (sum(kept), number + 1 - len(kept))
        assert (memory.peak, memory.peak_bytes) == (most, most_bytes)


def test_what_is_remembered_twice_is_there_once_and_goes_with_the_first() -> None:
    """It was in the order twice; the second time the tick failed, and all that came after it."""
    memory = Memory(0.0, 10.0, 8000, 5)
    memory.put(("", "x"), entry(100, 0.0, 0.0))
    memory.put(("", "y"), entry(100, 0.0, 0.0))
    memory.put(("", "x"), entry(300, 0.0, 1.0))
    assert (len(memory), memory.bytes) == (2, 400 + 2 * REMEMBERED_BYTES)
    memory.expire(20.0)
    assert (len(memory), memory.bytes) == (0, 0)


def test_a_reply_larger_than_the_memory_is_forgotten_at_once() -> None:
    memory = Memory(0.0, 10.0, 2048, 1000)
    memory.put(("", "x"), entry(4000, 5.0, 6.0))
    assert (len(memory), memory.bytes, memory.evicted) == (0, 0, 1)
    assert memory.may_have_forgotten(4.9)
    assert REMEMBERED_BYTES > 0


# Packs ---------------------------------------------------------------------------------


def giving(peer: int, number: int, size: int) -> Give:
    body = b"x" * size
    return Give(b"%d" % peer, 1, [Assignment(number, 1, "m", None, "", None, None, body)])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from([0, 10, MAX_PACK // 3, MAX_PACK, MAX_PACK * 2])
        ),
        max_size=20,
    )
)
def test_packs_keep_the_order_and_close_when_they_are_full(gives: list[tuple[int, int]]) -> None:
    packs = Packs()
    for number, (peer, size) in enumerate(gives):
        packs.add(giving(peer, number, size))
    got: dict[bytes, list[int]] = defaultdict(list)
    for peer_id, tasks in packs.take():
        got[peer_id].extend(item.task for item in tasks.items)
        assert tasks.items
        assert sum(len(item.body) for item in tasks.items[:-1]) < MAX_PACK
    for peer in range(3):
        sent = [number for number, (to, _) in enumerate(gives) if to == peer]
        assert got[b"%d" % peer] == sent
    assert list(packs.take()) == []


def test_what_was_given_is_not_changed_by_what_is_given_later() -> None:
    packs = Packs()
    first, second = giving(1, 1, 1), giving(1, 2, 1)
    packs.add(first)
    packs.add(second)
    assert [item.task for _, tasks in packs.take() for item in tasks.items] == [1, 2]
    assert [item.task for item in first.items] == [1]


def test_what_is_withdrawn_is_not_sent() -> None:
    packs = Packs()
    for number in range(4):
        packs.add(giving(number % 2, number, 1))
    assert packs.withdraw(b"0") == [Attempt(0, 1), Attempt(2, 1)]
    assert packs.withdraw(b"0") == []
    assert [peer for peer, _ in packs.take()] == [b"1"]


def test_tasks_of_two_sessions_are_sent_apart() -> None:
    packs = Packs()
    first, second = giving(1, 1, 1), giving(1, 2, 1)
    packs.add(first)
    packs.add(Give(second.peer, 2, second.items))
    taken: Callable[[], Any] = packs.take
    assert [(tasks.session, len(tasks.items)) for _, tasks in taken()] == [(1, 1), (2, 1)]
