"""Workers that die, fall silent, give tasks back, or answer what is not theirs."""

from __future__ import annotations

import pytest

from tests.support.core import Player, Stage, offer, safe
from vpoller_like.broker import acks
from vpoller_like.broker import events as ev
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.reply import success

# Liveness ------------------------------------------------------------------------------


def test_a_silent_worker_is_given_up() -> None:
    stage = Stage()
    Player(stage)
    stage.ask()
    stage.pass_time(2.9)
    assert stage.core.roster.workers
    stage.pass_time(0.3)
    assert not stage.core.roster.workers
    assert stage.error()["code"] == "worker_lost"
    assert stage.counters["lost_workers"] == 1


def test_a_heartbeat_keeps_a_worker() -> None:
    stage = Stage()
    player = Player(stage)
    stage.pass_time(30, alive=[player])
    assert player.record.label == "w"


@pytest.mark.parametrize(
    "message",
    [
        wire.Results(1, 1, 0, []),
        wire.Return(1, 0, []),
        wire.Have(5, wire.Possession.NONE),
        wire.Drain(),
    ],
)
def test_whatever_a_worker_says_shows_that_it_lives(message: wire.FromWorker) -> None:
    stage = Stage()
    player = Player(stage)
    stage.pass_time(2.5)
    player.says(message)
    stage.pass_time(2.5)
    assert player.instance in stage.core.roster.workers


def test_the_brokers_own_pause_is_not_held_against_its_workers() -> None:
    stage = Stage()
    player = Player(stage)
    stage.now += 60
    stage.tick()
    assert player.instance in stage.core.roster.workers
    stage.pass_time(3.2)
    assert player.instance not in stage.core.roster.workers


def test_after_a_pause_a_worker_was_heard_at_the_latest_now() -> None:
    stage = Stage()
    player = Player(stage)
    stage.now += 60
    player.heartbeat()
    stage.tick()
    assert player.record.last_heard == stage.now


def test_the_broker_shows_each_worker_that_it_lives() -> None:
    stage = Stage()
    players = [Player(stage, name=str(n)) for n in range(2)]
    stage.pass_time(3.1, alive=players)
    for player in players:
        assert len(stage.said(wire.Alive, player.peer)) >= 3


def test_when_connections_close_every_worker_is_spoken_to_once_and_soon() -> None:
    stage = Stage()
    players = [Player(stage, name=str(n)) for n in range(3)]
    stage.tick()
    stage.told.clear()
    for _ in range(5):
        stage.feed(ev.PeerLeft())
    assert not stage.told
    stage.tick()
    assert sorted(t.peer for t in stage.told) == sorted(player.peer for player in players)
    stage.told.clear()
    stage.tick()
    assert not stage.told


def test_a_peer_that_is_gone_and_was_no_worker_changes_nothing() -> None:
    stage = Stage()
    player = Player(stage)
    stage.feed(ev.PeerGone(b"nobody"))
    assert player.instance in stage.core.roster.workers


# Redelivery ----------------------------------------------------------------------------


def test_a_task_that_may_run_twice_is_given_to_another_worker() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), name="1")
    stage.ask()
    assert one.take().attempt == 1
    two = Player(stage, offer(safe("m")), name="2")
    one.dies()
    task = two.take()
    assert task.attempt == 2
    two.done(task)
    assert stage.answer()["success"] == 0
    assert stage.counters["redelivered"] == 1


def test_a_task_that_may_not_run_twice_is_lost_with_its_worker() -> None:
    stage = Stage()
    one, two = Player(stage, name="1"), Player(stage, name="2")
    stage.ask()
    one.dies()
    error = stage.error()
    assert error["code"] == "worker_lost"
    assert not error["retryable"]
    assert error["worker"] == "1"
    assert "may have run" in error["msg"]
    assert not two.inbox


def test_after_so_many_losses_the_task_fails_and_names_them() -> None:
    stage = Stage(max_attempts=3)
    stage_players = [Player(stage, offer(safe("m")), name=str(n)) for n in range(4)]
    stage.ask(meta={"id": "x", "age_ms": 0})
    for player in stage_players[:2]:
        assert player.inbox
        player.dies()
        assert not stage.replies
    stage_players[2].dies()
    reply = stage.answer()
    assert reply["error"]["code"] == "task_failed"
    assert reply["error"]["attempts"] == 3
    assert reply["meta"]["attempts"] == 3
    assert "3 workers" in reply["msg"]
    assert not stage_players[3].inbox


def test_lost_tasks_are_given_again_before_what_came_later_and_in_their_order() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), name="1", slots=3)
    for number in range(5):
        stage.ask(tag=number)
    first = [task.task for task in one.inbox]
    one.dies()
    two = Player(stage, offer(safe("m")), name="2", slots=5)
    assert [task.task for task in two.inbox][:3] == first


def test_meta_tells_how_often_a_task_was_given() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), name="1")
    stage.ask(meta={})
    one.dies()
    Player(stage, offer(safe("m")), name="2").done(ran_us=2500)
    meta = stage.answer()["meta"]
    assert meta["attempts"] == 2
    assert meta["worker"] == "2"
    assert meta["ran_ms"] == 2.5


def test_workers_that_fall_silent_together_count_as_one_loss_each_task() -> None:
    """What the first one held was given to the next, which was given up in the same tick."""
    stage = Stage(max_attempts=2)
    players = [Player(stage, offer(safe("m")), name=str(n)) for n in range(3)]
    stage.ask(meta={})
    stage.pass_time(3.5)
    assert not stage.core.roster.workers
    assert not stage.replies
    players[0].hello(new_peer=True)
    players[0].done()
    assert stage.answer()["meta"]["attempts"] == 2


@pytest.mark.parametrize("method", ["m", safe("m")])
def test_what_never_left_the_broker_is_not_lost(method: str | wire.Method) -> None:
    """A worker's death may be noticed only when the next task is sent to it."""
    stage = Stage(max_attempts=1)
    dead = Player(stage, offer(method), name="dead", slots=3)
    for client in (b"left", b"unsent1", b"unsent2"):
        stage.ask(client=client)
    left, *unsent = dead.inbox
    attempts = [wire.Attempt(task.task, task.attempt) for task in unsent]
    stage.feed(ev.PeerGone(dead.peer, attempts))
    assert stage.error(b"left")["code"] in ("worker_lost", "task_failed")
    assert stage.counters["returned"] == 2
    other = Player(stage, offer(method), name="other", slots=3)
    assert [task.task for task in other.inbox] == [task.task for task in unsent]
    assert left.task not in {task.task for task in other.inbox}
    other.done()
    other.done()
    assert stage.answer(b"unsent1")["success"] == stage.answer(b"unsent2")["success"] == 0
    stage.check()


def test_what_is_said_to_be_unsent_and_is_not_there_is_ignored() -> None:
    stage = Stage()
    one, two = Player(stage, name="1"), Player(stage, name="2")
    stage.ask()
    task = one.inbox[0]
    stage.feed(ev.PeerGone(two.peer, [wire.Attempt(task.task, task.attempt), wire.Attempt(1, 1)]))
    one.done()
    assert stage.answer()["success"] == 0
    stage.check()


# Giving back ---------------------------------------------------------------------------


def test_a_task_given_back_is_the_next_one_again() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), name="1", slots=1, ahead=1)
    for number in range(4):
        stage.ask(client=b"%d" % number, tag=number)
    returned = one.inbox[1]
    one.give_back(returned, slots=0, ahead=0)
    two = Player(stage, offer(safe("m")), name="2", slots=1)
    again = two.take()
    assert again.task == returned.task
    assert again.attempt == 2
    assert stage.counters["returned"] == 1


def test_tasks_given_back_together_keep_their_order() -> None:
    stage = Stage()
    one = Player(stage, slots=4)
    for _ in range(6):
        stage.ask()
    order = [task.task for task in one.inbox]
    one.give_back(*one.inbox[1:4], slots=1)
    two = Player(stage, name="2", slots=5)
    assert [task.task for task in two.inbox][:3] == order[1:]


def test_a_task_given_back_is_no_loss() -> None:
    stage = Stage(max_attempts=1)
    one = Player(stage, offer(safe("m")), name="1")
    stage.ask(meta={})
    for _ in range(5):
        one.give_back(one.take(), slots=0)
        one.heartbeat(slots=1)
    one.done()
    assert stage.answer()["meta"]["attempts"] == 1


def test_a_task_given_back_has_as_many_lives_as_before() -> None:
    stage = Stage(max_attempts=2)
    one = Player(stage, offer(safe("m")), name="1")
    stage.ask()
    for _ in range(3):
        one.give_back(one.take(), slots=0)
        one.heartbeat(slots=1)
    one.dies()
    assert not stage.replies
    Player(stage, offer(safe("m")), name="2").done()
    assert stage.answer()["success"] == 0


def test_a_task_that_may_not_run_twice_survives_being_given_back() -> None:
    stage = Stage()
    one = Player(stage, name="1")
    stage.ask()
    one.give_back(one.take(), slots=0)
    one.dies()
    Player(stage, name="2").done()
    assert stage.answer()["success"] == 0


def test_a_task_given_back_is_not_sent_there_again_at_once() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), slots=1, ahead=2)
    for _ in range(3):
        stage.ask()
    one.give_back(*one.inbox[1:], slots=1, ahead=0)
    assert len(one.inbox) == 1
    assert stage.core.dispatcher.queued == 2
    stage.check()


def test_a_task_named_twice_in_one_return_is_put_back_once() -> None:
    """It was queued twice, and the second one to be taken out ended the broker."""
    stage = Stage()
    one = Player(stage, name="1")
    stage.ask()
    task = one.take()
    one.give_back(task, task, slots=0)
    stage.check()
    two = Player(stage, name="2", slots=4)
    assert len(two.inbox) == 1
    two.done()
    assert stage.answer()["success"] == 0
    stage.check()


def test_a_return_of_what_was_not_held_is_ignored() -> None:
    stage = Stage()
    one, two = Player(stage, name="1"), Player(stage, name="2")
    stage.ask()
    task = one.inbox[0]
    two.give_back(task)
    one.says(wire.Return(1, 0, [wire.Attempt(task.task, 9), wire.Attempt(12345, 1)]))
    stage.check()
    one.done()
    assert stage.answer()["success"] == 0


# Fencing -------------------------------------------------------------------------------


def test_a_result_of_a_superseded_attempt_is_dropped() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")))
    stage.ask()
    old = one.take()
    one.give_back(old)
    new = one.take()
    assert new.attempt == old.attempt + 1
    one.done(old, result="old")
    assert not stage.replies
    one.done(new, result="new")
    assert stage.answer()["result"] == "new"
    assert stage.counters["late_results"] == 1


def test_a_result_from_a_worker_that_does_not_hold_the_task_is_dropped() -> None:
    stage = Stage()
    one, two = Player(stage, name="1"), Player(stage, name="2")
    stage.ask()
    two.done(one.inbox[0], result="forged")
    assert not stage.replies
    one.done(result="real")
    assert stage.answer()["result"] == "real"


@pytest.mark.parametrize(("task", "attempt"), [(0, 0), (1, 1), ((1 << 63) - 1, 1 << 20)])
def test_a_result_with_a_forged_number_is_dropped(task: int, attempt: int) -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    player.says(wire.Results(1, 1, 0, [wire.Result(task, attempt, "", 1, success(1, ""))]))
    assert not stage.replies
    stage.check()


def test_a_task_answered_twice_is_answered_once() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    task = player.take()
    player.done(task, task)
    player.done(task)
    assert len(stage.replies) == 1
    stage.check()


def test_a_late_result_of_a_lost_worker_is_dropped_for_good() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    task = player.take()
    player.dies()
    assert stage.error()["code"] == "worker_lost"
    player.hello(new_peer=True)
    player.done(task, result="late")
    assert not stage.replies


def test_results_are_acknowledged_up_to_the_last_one() -> None:
    stage = Stage()
    player = Player(stage, slots=2)
    stage.ask()
    stage.ask()
    player.done()
    stage.pass_time(acks.PATIENCE / 2)
    player.done()
    stage.tick()
    assert not stage.said(wire.Ack)
    stage.pass_time(acks.PATIENCE / 2 + 0.1)
    assert [ack.seq for ack in stage.said(wire.Ack)] == [2]
    stage.pass_time(2 * acks.PATIENCE, alive=[player])
    assert len(stage.said(wire.Ack)) == 1


def test_many_results_are_acknowledged_with_the_next_tick() -> None:
    stage = Stage()
    player = Player(stage)
    for _ in range(acks.MANY - 1):
        stage.ask()
        player.done()
    stage.tick()
    assert not stage.said(wire.Ack)
    stage.ask()
    player.done()
    stage.tick()
    assert [ack.seq for ack in stage.said(wire.Ack)] == [acks.MANY]
    stage.pass_time(2 * acks.PATIENCE, alive=[player])
    assert len(stage.said(wire.Ack)) == 1


def test_a_large_result_is_acknowledged_with_the_next_tick() -> None:
    """Its worker keeps it until then."""
    stage = Stage()
    player = Player(stage)
    stage.ask()
    player.done(result="x" * acks.LARGE)
    stage.tick()
    assert [ack.seq for ack in stage.said(wire.Ack)] == [1]


def test_a_worker_that_leaves_is_not_kept_waiting_for_what_it_is_owed() -> None:
    stage = Stage()
    player = Player(stage, slots=2)
    stage.ask()
    stage.ask()
    player.done()
    player.drain()
    stage.tick()
    assert [ack.seq for ack in stage.said(wire.Ack)] == [1]
    player.done()
    stage.tick()
    assert [ack.seq for ack in stage.said(wire.Ack)] == [1, 2]


def test_who_is_gone_is_owed_nothing() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    player.done()
    player.bye()
    stage.pass_time(2 * acks.PATIENCE)
    assert not stage.said(wire.Ack)


@pytest.mark.parametrize("body", [b"", b"[1]", b"not json", b'"text"', b"\x81\xa1a\x01"])
def test_a_result_that_is_no_reply_is_told_as_a_failure(body: bytes) -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    player.done(body=body)
    error = stage.error()
    assert error["code"] == "task_failed"
    assert "worker w" in error["msg"]


# Strangers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [wire.Heartbeat(1, 0), wire.Results(1, 1, 0, []), wire.Bye(), wire.Drain()],
)
def test_a_worker_that_is_not_known_is_asked_to_introduce_itself(
    message: wire.FromWorker,
) -> None:
    stage = Stage()
    stage.feed(ev.WorkerSays(b"stranger", message))
    assert [(t.peer, type(t.message)) for t in stage.told] == [(b"stranger", wire.Resync)]


def test_garbage_from_a_stranger_is_answered_resync_and_from_a_worker_counted() -> None:
    stage = Stage()
    player = Player(stage)
    stage.told.clear()
    stage.feed(ev.WorkerGarbled(b"stranger"))
    stage.feed(ev.WorkerGarbled(player.peer))
    assert [t.peer for t in stage.told] == [b"stranger"]
    assert stage.counters["garbled"] == 2


def test_a_worker_of_another_protocol_version_is_sent_away() -> None:
    stage = Stage()
    player = Player(stage, hello=False)
    player.hello(version=wire.VERSION + 1)
    assert len(stage.said(wire.Refused, player.peer)) == 1
    assert not stage.core.roster.workers


def test_a_broker_that_ends_lets_no_worker_wait_for_its_ack() -> None:
    stage = Stage()
    player = Player(stage, slots=2)
    stage.ask()
    stage.ask()
    player.done()
    stage.feed(ev.DrainAsked())
    stage.tick()
    assert [ack.seq for ack in stage.said(wire.Ack)] == [1]
    player.done()
    stage.tick()
    assert [ack.seq for ack in stage.said(wire.Ack)] == [1, 2]
