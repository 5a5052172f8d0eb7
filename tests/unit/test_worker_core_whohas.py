"""What a worker says when it is asked for an id."""

from __future__ import annotations

from tests.support.core_rig import Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.worker import Possession


def ask(rig: Rig, request_id: str = "a", fingerprint: bytes = b"print", link: int = 0) -> wire.Have:
    rig.say(wire.WhoHas(9, "slow", "anna", request_id, fingerprint), link)
    have = rig.only(wire.Have, link)
    assert have.query == 9
    return have


def test_an_unknown_id_is_not_had() -> None:
    assert ask(Rig().join()) == wire.Have(9, Possession.NONE)


def test_another_principals_id_is_not_had() -> None:
    rig = Rig().join()
    rig.give(task(1, request_id="a"))
    rig.say(wire.WhoHas(9, "slow", "bert", "a", b"print"))
    assert rig.only(wire.Have).state is Possession.NONE


def test_a_task_that_runs_is_had() -> None:
    rig = Rig().join()
    rig.give(task(1, "slow", attempt=2, request_id="a"))
    rig.start(1)
    have = ask(rig)
    assert have.state is Possession.RUNNING
    assert have.held == wire.Held(1, 2, "slow", None, "anna", "a", b"print")
    assert have.result is None


def test_a_task_that_waits_is_had() -> None:
    rig = Rig().join()
    rig.give(task(1, request_id="a"))
    assert ask(rig).state is Possession.RUNNING


def test_another_request_under_the_id_is_said_to_be_another() -> None:
    rig = Rig().join()
    rig.give(task(1, request_id="a"))
    assert ask(rig, fingerprint=b"other") == wire.Have(9, Possession.OTHER)


def test_a_result_is_had_before_and_after_its_acknowledgement() -> None:
    rig = Rig().join()
    rig.run(task(1, request_id="a"), body=b"answer")
    before = ask(rig)
    rig.ack(1)
    after = ask(rig)
    assert before == after
    assert after.state is Possession.DONE
    assert after.held == wire.Held(1, 1, "quick", None, "anna", "a", b"print")
    assert after.result == wire.Result(1, 1, "", 100, b"answer")


def test_a_result_is_had_no_more_when_it_is_forgotten() -> None:
    rig = Rig(remember_ms=60_000).join()
    rig.run(task(1, request_id="a"))
    rig.ack(1)
    rig.tick(59.9)
    assert ask(rig).state is Possession.DONE
    rig.tick(0.2)
    assert ask(rig).state is Possession.NONE


def test_a_broker_that_asked_for_what_runs_gets_the_result_too() -> None:
    rig = Rig(links=2).join()
    rig.give(task(1, "slow", request_id="a"), link=0)
    rig.start(1)
    assert ask(rig, link=1).state is Possession.RUNNING
    assert ask(rig, link=1).state is Possession.RUNNING
    rig.finish(1)
    assert rig.results(0) == [(1, 1)]
    assert rig.results(1) == [(1, 1)]


def test_a_broker_that_asked_hears_of_the_run_in_a_greeting() -> None:
    rig = Rig(links=2).join()
    rig.give(task(1, "slow", request_id="a"), link=0)
    rig.start(1)
    ask(rig, link=1)
    rig.now += 0.1
    rig.say(wire.Resync(), link=1)
    assert [item.task for item in rig.only(wire.Hello, link=1).held] == [1]


def test_a_task_that_two_brokers_wait_for_is_not_given_back_for_slowness() -> None:
    rig = Rig(threads=1, links=2).join()
    rig.give(task(1, "slow"), task(2, "slow", request_id="a"), task(3))
    rig.start(1)
    ask(rig, link=1)
    rig.tick(0.006)
    rig.recalled()
    assert rig.only(wire.Return).items == [wire.Attempt(3, 1)]
    assert rig.sent(wire.Return, link=1) == []


def test_a_leaving_worker_runs_such_a_task_rather_than_have_both_give_it_away() -> None:
    """One was told that it had not begun, and the other found it missing in a HELLO."""
    rig = Rig(threads=1, links=2).join()
    rig.give(task(1, "slow"), task(2, "slow", request_id="a"), task(3))
    rig.start(1)
    ask(rig, link=1)
    rig.say(wire.Shutdown())
    rig.recalled()
    assert rig.sent(wire.Return, link=1) == []
    assert rig.only(wire.Return).items == [wire.Attempt(3, 1)]
    rig.finish(1)
    rig.start(2)
    rig.finish(2)
    assert rig.results() == [(2, 1)]
    assert rig.results(link=1) == [(2, 1)]


def test_a_slot_counts_for_a_broker_only_while_others_alone_wait_for_it() -> None:
    rig = Rig(threads=2, links=2).join()
    rig.give(task(1, "slow", request_id="a"), link=0)
    rig.start(1)
    rig.tick(0.006)
    assert rig.only(wire.Heartbeat, link=1).slots == 1
    ask(rig, link=1)
    rig.tick(0.006)
    assert rig.only(wire.Heartbeat, link=1).slots == 2
