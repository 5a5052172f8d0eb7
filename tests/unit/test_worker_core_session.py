"""How a worker meets its brokers, and meets them again."""

from __future__ import annotations

import itertools

import pytest

from tests.support.core_rig import OFFER, Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev


def held(hello: wire.Hello) -> list[tuple[int, int, str | None]]:
    return [(item.task, item.attempt, item.id) for item in hello.held]


def test_a_worker_greets_every_broker_at_once() -> None:
    rig = Rig(threads=3, links=2)
    rig.tick()
    for link in (0, 1):
        hello = rig.only(wire.Hello, link)
        assert (hello.label, hello.instance, hello.pid) == ("node/0", "0123456789", 42)
        assert (hello.version, hello.session, hello.slots, hello.ahead) == (1, 1, 3, 0)
        assert hello.offers == [OFFER]
        assert hello.held == []


def test_a_greeting_that_nobody_answers_is_repeated_each_second() -> None:
    rig = Rig()
    rig.tick()
    rig.tick(0.9)
    assert rig.sent(wire.Hello) == []
    rig.tick(0.1)
    assert rig.only(wire.Hello).session == 2


def test_a_greeting_that_could_not_be_sent_is_tried_again_soon() -> None:
    rig = Rig()
    hello = rig.tick()[0]
    assert isinstance(hello, ev.Send)
    rig.handle(ev.Unsent(0, hello.message))
    assert rig.core.next_due(rig.now) == pytest.approx(rig.now + 0.1)
    rig.tick(0.1)
    assert rig.only(wire.Hello).session == 2


def test_a_welcomed_worker_greets_no_more_and_shows_that_it_lives() -> None:
    rig = Rig().join()
    for _ in range(5):
        rig.say(wire.Alive())
        rig.tick(1.0)
        assert rig.sent(wire.Hello) == []
        assert rig.only(wire.Heartbeat) == wire.Heartbeat(2, 0)


def test_heartbeats_come_as_often_as_the_broker_wants() -> None:
    rig = Rig()
    rig.tick()
    rig.say(wire.Welcome(version=1, epoch="e", heartbeat_ms=200, liveness_ms=700))
    assert rig.core.next_due(rig.now) == pytest.approx(rig.now + 0.2)
    rig.tick(0.19)
    assert rig.sent(wire.Heartbeat) == []
    rig.tick(0.01)
    assert rig.sent(wire.Heartbeat) != []
    rig.tick(0.51)
    assert rig.only(wire.Hello).session == 2


def test_heartbeats_go_on_while_tasks_run() -> None:
    rig = Rig().join()
    rig.give(task(1, "slow"))
    rig.start(1)
    for _ in range(10):
        rig.say(wire.Alive())
        rig.tick(1.0)
        assert rig.only(wire.Heartbeat).slots == 2


def test_a_silent_broker_is_greeted_again() -> None:
    rig = Rig().join()
    rig.tick(2.9)
    assert rig.sent(wire.Hello) == []
    rig.tick(0.1)
    assert rig.only(wire.Hello).session == 2


def test_a_broker_that_does_not_know_the_worker_hears_all_that_it_holds() -> None:
    rig = Rig(threads=1).join()
    rig.run(task(1, request_id="a"))
    rig.give(task(2), task(3, attempt=2, request_id="c"))
    rig.start(2)
    rig.now += 0.1
    rig.say(wire.Resync())
    hello = rig.only(wire.Hello)
    assert hello.session == 2
    assert held(hello) == [(1, 1, "a"), (2, 1, None), (3, 2, "c")]
    assert hello.held[0].principal == "anna"
    assert hello.held[0].fingerprint == b"print"


def test_what_is_acknowledged_is_not_held() -> None:
    rig = Rig().join()
    rig.run(task(1, request_id="a"))
    rig.ack(1)
    rig.now += 0.1
    rig.say(wire.Resync())
    assert rig.only(wire.Hello).held == []


def test_a_resync_while_a_greeting_is_under_way_starts_no_other() -> None:
    rig = Rig().join()
    rig.now += 0.1
    rig.say(wire.Resync())
    rig.now += 0.5
    rig.say(wire.Resync())
    assert rig.out == []
    rig.tick(0.1)
    assert rig.out == []


def test_many_resyncs_at_once_do_not_silence_a_worker_whose_greeting_was_lost() -> None:
    """A partition's end brings an answer to each heartbeat that was held up by it."""
    rig = Rig().join()
    for _ in range(6):
        rig.say(wire.Resync())
    times = []
    for _ in range(50):
        rig.tick(0.1)
        times += [rig.now] * len(rig.sent(wire.Hello))
    assert len(times) >= 2


def test_a_broker_that_asks_for_greetings_on_and_on_gets_twenty_a_second() -> None:
    rig = Rig().join()
    greetings = 0
    for _ in range(1000):
        rig.now += 0.001
        rig.say(wire.Resync())
        greetings += len(rig.sent(wire.Hello))
        rig.tick()
        greetings += len(rig.sent(wire.Hello))
        rig.welcome()
    assert 15 <= greetings <= 21


def test_tasks_of_an_earlier_session_are_dropped() -> None:
    rig = Rig().join()
    rig.now += 0.1
    rig.say(wire.Resync())
    rig.welcome()
    rig.say(wire.Tasks(1, [task(1)]))
    assert rig.out == []
    rig.say(wire.Tasks(2, [task(1)]))
    assert rig.runs() == [1]


def test_unacknowledged_results_are_sent_again_after_the_next_welcome() -> None:
    rig = Rig().join()
    rig.run(task(1))
    rig.run(task(2))
    rig.ack(1)
    rig.run(task(3))
    rig.now += 0.1
    rig.say(wire.Resync())
    assert rig.results() == []
    rig.welcome()
    assert rig.results() == [(2, 1), (3, 1)]
    assert rig.only(wire.Results).seq == 1


def test_no_results_are_sent_before_the_welcome() -> None:
    rig = Rig().join()
    rig.give(task(1))
    rig.start(1)
    rig.now += 0.1
    rig.say(wire.Resync())
    rig.finish(1)
    rig.tick(0.5)
    assert rig.results() == []
    rig.welcome()
    assert rig.results() == [(1, 1)]


def test_a_result_that_could_not_be_sent_is_sent_after_the_next_welcome() -> None:
    rig = Rig().join()
    rig.run(task(1))
    rig.handle(ev.Unsent(0, rig.only(wire.Results)))
    rig.tick(0.1)
    assert held(rig.only(wire.Hello)) == [(1, 1, None)]
    rig.welcome()
    assert rig.results() == [(1, 1)]


def test_an_acknowledgement_of_the_session_before_counts_for_nothing() -> None:
    rig = Rig().join()
    rig.run(task(1))
    rig.now += 0.1
    rig.say(wire.Resync())
    rig.ack(1)
    rig.welcome()
    assert rig.results() == [(1, 1)]


def test_a_broker_with_its_memory_intact_keeps_everything() -> None:
    rig = Rig(threads=1).join()
    rig.run(task(1))
    rig.give(task(2), task(3))
    rig.start(2)
    rig.now += 0.1
    rig.say(wire.Resync())
    rig.welcome()
    assert rig.actions(ev.Recall) == []
    rig.start(3)
    rig.finish(2, 3)
    assert rig.results() == [(2, 1), (3, 1)]


def test_after_a_broker_lost_its_memory_what_has_no_id_is_dropped() -> None:
    rig = Rig(threads=1).join()
    rig.run(task(1), task(2, request_id="b"))
    rig.give(task(3), task(4), task(5, request_id="e"))
    rig.start(3)
    rig.now += 0.001
    rig.say(wire.Resync())
    rig.now += 0.1
    rig.tick()
    rig.welcome(epoch="second")
    (recall,) = rig.actions(ev.Recall)
    assert recall.keys == [rig.keys[4]]
    rig.recalled()
    assert rig.sent(wire.Return) == []
    rig.start(5)
    rig.finish(3, 5)
    assert (3, 1) not in rig.results()


def test_after_a_broker_lost_its_memory_what_has_an_id_is_answered() -> None:
    rig = Rig(threads=1).join()
    rig.run(task(1), task(2, request_id="b"))
    rig.give(task(3, request_id="c"))
    rig.start(3)
    rig.now += 0.1
    rig.say(wire.Resync())
    rig.welcome(epoch="second")
    assert rig.results() == [(2, 1)]
    rig.finish(3)
    assert rig.results() == [(3, 1)]


def test_what_an_unwanted_run_used_is_free_for_a_new_task_of_the_same_number() -> None:
    rig = Rig(threads=2).join()
    rig.give(task(1))
    rig.start(1)
    rig.now += 0.1
    rig.say(wire.Resync())
    rig.welcome(epoch="second")
    old = rig.keys[1]
    rig.give(task(1))
    assert rig.runs() == [1]
    rig.handle(ev.Progress([], [ev.Finished(old, "", 100, b"old")]))
    assert rig.results() == []
    rig.finish(1)
    assert rig.results() == [(1, 1)]


def test_brokers_are_met_each_for_itself() -> None:
    rig = Rig(links=2)
    rig.tick()
    rig.welcome(link=1)
    rig.tick(1.0)
    assert [rig.sent(wire.Hello, link) != [] for link in (0, 1)] == [True, False]
    rig.run(task(1), link=1)
    assert rig.results(link=1) == [(1, 1)]
    assert rig.results(link=0) == []


def test_a_broker_that_refuses_is_asked_again_less_and_less_often() -> None:
    rig = Rig().join()
    began = rig.now
    rig.say(wire.Refused("its key is not authorised"))
    hellos = []
    while rig.now < began + 120.0:
        rig.tick(0.5)
        if rig.sent(wire.Hello):
            hellos.append(rig.now - began)
            rig.say(wire.Refused("its key is not authorised"))
    pauses = [later - sooner for sooner, later in itertools.pairwise([0.0, *hellos])]
    assert pauses == sorted(pauses)
    assert pauses[0] >= 1.0
    assert pauses[-1] == 30.0


def test_a_refusal_ends_nothing_at_another_broker() -> None:
    rig = Rig(links=2)
    rig.tick()
    rig.welcome(link=0)
    rig.welcome(link=1)
    rig.give(task(1), link=1)
    rig.start(1)
    rig.say(wire.Refused("its key is not authorised"), 0)
    assert rig.actions(ev.Exit) == []
    rig.finish(1)
    assert rig.results(link=1) == [(1, 1)]
    rig.run(task(2), link=1)
    assert rig.results(link=1) == [(2, 1)]
