"""What becomes of the tasks that a worker is given."""

from __future__ import annotations

from tests.support.core_rig import Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev


def test_tasks_are_run_in_the_order_given() -> None:
    rig = Rig().join()
    rig.give(task(3), task(1), task(2))
    assert rig.runs() == [3, 1, 2]


def test_a_result_names_its_task_and_attempt() -> None:
    rig = Rig().join()
    rig.run(task(7, attempt=3), code="task_failed", body=b"{...}", ran_us=12)
    assert rig.only(wire.Results).items == [wire.Result(7, 3, "task_failed", 12, b"{...}")]


def test_a_task_given_twice_is_run_once() -> None:
    rig = Rig().join()
    rig.give(task(1), task(1))
    assert rig.runs() == [1]
    rig.start(1)
    rig.give(task(1))
    assert rig.runs() == []
    rig.finish(1)
    rig.give(task(1))
    assert rig.runs() == []


def test_a_task_that_was_given_back_may_come_again() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1, "slow"), task(2))
    rig.start(1)
    rig.tick(0.006)
    rig.recalled()
    rig.give(task(2))
    assert rig.runs() == [2]


def test_a_later_attempt_replaces_one_that_waits() -> None:
    rig = Rig().join()
    rig.give(task(1))
    first = rig.keys[1]
    rig.give(task(1, attempt=2))
    assert rig.runs() == [1]
    assert rig.actions(ev.Recall) == [ev.Recall([first])]
    rig.handle(ev.Recalled([first]))
    assert rig.out == []
    rig.start(1)
    rig.finish(1)
    assert rig.results() == [(1, 2)]


def test_a_later_attempt_does_not_stop_one_that_runs() -> None:
    rig = Rig().join()
    rig.give(task(1))
    rig.start(1)
    first = rig.keys[1]
    rig.give(task(1, attempt=2))
    rig.start(1)
    rig.finish(1)
    assert rig.results() == [(1, 2)]
    rig.handle(ev.Progress([], [ev.Finished(first, "", 100, b"{}")]))
    assert rig.results() == [(1, 1)]


def test_an_earlier_attempt_is_ignored() -> None:
    rig = Rig().join()
    rig.give(task(1, attempt=2))
    rig.give(task(1, attempt=1))
    assert rig.runs() == []


def test_a_cancelled_task_that_waits_is_dropped_without_a_word() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1), task(2))
    rig.start(1)
    rig.say(wire.Cancel([wire.Attempt(2, 1)]))
    rig.recalled()
    assert rig.out == []
    rig.finish(1)
    assert rig.results() == [(1, 1)]


def test_a_cancelled_task_of_another_attempt_is_not_dropped() -> None:
    rig = Rig().join()
    rig.give(task(1, attempt=2))
    rig.say(wire.Cancel([wire.Attempt(1, 1), wire.Attempt(99, 1)]))
    assert rig.out == []
    rig.start(1)
    rig.finish(1)
    assert rig.results() == [(1, 2)]


def test_a_cancelled_task_that_runs_finishes_and_is_not_reported() -> None:
    rig = Rig().join()
    rig.give(task(1))
    rig.start(1)
    rig.say(wire.Cancel([wire.Attempt(1, 1)]))
    assert rig.actions(ev.Recall) == []
    rig.finish(1)
    assert rig.out == []


def test_the_same_request_again_joins_the_run() -> None:
    rig = Rig().join()
    rig.give(task(1, "slow", request_id="a"))
    rig.start(1)
    rig.give(task(2, "slow", request_id="a"))
    assert rig.runs() == []
    rig.finish(1)
    assert rig.results() == [(1, 1), (2, 1)]


def test_the_same_request_from_another_broker_joins_the_run() -> None:
    rig = Rig(links=2).join()
    rig.give(task(1, "slow", request_id="a"))
    rig.start(1)
    rig.give(task(50, "slow", request_id="a"), link=1)
    assert rig.runs() == []
    rig.finish(1)
    assert rig.results(0) == [(1, 1)]
    assert rig.results(1) == [(50, 1)]


def test_the_same_request_after_its_end_is_answered_from_memory() -> None:
    rig = Rig().join()
    rig.run(task(1, "slow", request_id="a"), body=b"answer")
    rig.ack(1)
    rig.give(task(2, "slow", attempt=4, request_id="a"))
    assert rig.runs() == []
    assert rig.only(wire.Results).items == [wire.Result(2, 4, "", 100, b"answer")]
    rig.ack(2)
    rig.give(task(3, "slow", request_id="a"))
    assert rig.results() == [(3, 1)]


def test_another_request_under_the_same_id_is_run() -> None:
    rig = Rig().join()
    rig.run(task(1, request_id="a"))
    rig.give(task(2, request_id="a", fingerprint=b"other"))
    assert rig.runs() == [2]


def test_a_request_that_was_told_to_try_again_is_run_again() -> None:
    rig = Rig().join()
    rig.run(task(1, request_id="a"), code="busy")
    rig.give(task(2, request_id="a"))
    assert rig.runs() == [2]
    rig.start(2)
    rig.finish(2)
    rig.ack(2)
    rig.give(task(3, request_id="a"))
    assert rig.results() == [(3, 1)]


def test_what_is_remembered_is_forgotten_in_time() -> None:
    rig = Rig(remember_ms=60_000).join()
    rig.run(task(1, request_id="a"))
    rig.now += 50
    rig.ack(1)
    rig.tick(59)
    rig.welcome()
    rig.give(task(2, request_id="a"))
    assert rig.results() == [(2, 1)]
    rig.ack(1)
    rig.tick(61)
    rig.welcome()
    rig.give(task(3, request_id="a"))
    assert rig.runs() == [3]


def test_what_is_not_acknowledged_is_not_forgotten_in_time() -> None:
    rig = Rig(remember_ms=1000).join()
    rig.run(task(1, request_id="a"))
    rig.tick(1000)
    assert [item.task for item in rig.only(wire.Hello).held] == [1]
    rig.welcome()
    assert rig.results() == [(1, 1)]


def test_what_is_owed_again_is_remembered_until_it_is_acknowledged_again() -> None:
    rig = Rig(remember_ms=60_000).join()
    rig.run(task(1, request_id="a"))
    rig.ack(1)
    rig.give(task(2, request_id="a"))
    rig.tick(61)
    rig.welcome()
    assert rig.results() == [(2, 1)]
    rig.say(wire.WhoHas(9, "quick", "anna", "a", b"print"))
    assert rig.only(wire.Have).state is wire.Possession.DONE


def test_memory_is_bounded_in_bytes_and_drops_the_oldest() -> None:
    rig = Rig(remember_bytes=10_000).join()
    for number, name in enumerate("abc", start=1):
        rig.run(task(number, request_id=name), body=b"x" * 4000)
        rig.ack(number)
    rig.give(task(4, request_id="c"), task(5, request_id="b"), task(6, request_id="a"))
    assert rig.runs() == [6]


def test_what_is_started_and_finished_between_two_looks_is_answered() -> None:
    rig = Rig().join()
    rig.give(task(1))
    rig.finish(1)
    assert rig.results() == [(1, 1)]
    rig.handle(ev.Progress([ev.Started(rig.keys[1], rig.now)], []))
    assert rig.out == []
