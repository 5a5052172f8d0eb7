"""An id that the broker may have forgotten is asked for among the workers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core import Player, Stage, finished, held_run, offer, request_body, safe
from vpoller_like.broker.state import State
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.worker import Possession

MOVED = {"id": "x", "moved": True}
BODY = request_body(meta=MOVED)


def seeking(*offers: wire.Offer, workers: int = 1, **settings: Any) -> tuple[Stage, list[Player]]:
    """A stage whose client c has asked for an id that is not known."""
    stage = Stage(**settings)
    players = [Player(stage, *offers, name=str(n + 1)) for n in range(workers)]
    stage.ask_raw(BODY)
    return stage, players


# When to ask ---------------------------------------------------------------------------


def test_a_first_try_is_not_looked_for() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(meta={"id": "x", "age_ms": 0})
    assert not stage.said(wire.WhoHas)
    assert len(player.inbox) == 1


def test_an_id_that_was_tried_at_another_broker_is_looked_for() -> None:
    _, (player,) = seeking()
    query = player.asked()
    assert (query.id, query.method, query.principal) == ("x", "m", "")
    assert not player.inbox


def test_all_workers_of_the_method_are_asked_and_no_others() -> None:
    stage = Stage()
    ours = [Player(stage, offer("m"), name="1"), Player(stage, offer("m", "n"), name="2")]
    other = Player(stage, offer("n"), name="3")
    stage.ask_raw(BODY)
    assert all(stage.said(wire.WhoHas, player.peer) for player in ours)
    assert not stage.said(wire.WhoHas, other.peer)


@pytest.mark.parametrize(("age_ms", "sought"), [(100, False), (8000, False), (13_000, True)])
def test_an_id_older_than_the_broker_is_looked_for(age_ms: int, sought: bool) -> None:
    stage = Stage()
    player = Player(stage)
    stage.pass_time(10, alive=[player])
    stage.ask(meta={"id": "x", "age_ms": age_ms})
    assert bool(stage.said(wire.WhoHas)) is sought


@pytest.mark.parametrize(("uptime", "sought"), [(10, True), (59, True), (61, False)])
def test_an_id_of_unknown_age_is_looked_for_while_the_broker_is_young(
    uptime: int, sought: bool
) -> None:
    stage = Stage()
    player = Player(stage)
    stage.pass_time(uptime, alive=[player])
    stage.ask(meta={"id": "x"})
    assert bool(stage.said(wire.WhoHas)) is sought


def test_an_id_older_than_the_newest_eviction_is_looked_for() -> None:
    stage = Stage(remember_bytes=2048)
    player = Player(stage)
    stage.pass_time(100, alive=[player])
    for number in range(3):
        stage.ask(meta={"id": str(number), "age_ms": 0})
        player.done(result="x" * 1500)
    assert stage.core.memory.evicted
    stage.pass_time(1, alive=[player])
    stage.ask(meta={"id": "0", "age_ms": 2000})
    assert player.asked().id == "0"


# What is found -------------------------------------------------------------------------


def test_a_run_that_is_found_is_joined_and_not_begun_again() -> None:
    stage, (player,) = seeking()
    held = held_run("x", BODY)
    player.have(player.asked(), Possession.RUNNING, held)
    assert not player.inbox
    assert stage.counters["whohas_found"] == 1
    player.says(wire.Results(1, 1, 0, [finished(held, "found")]))
    assert stage.answer()["result"] == "found"
    stage.check()


def test_a_result_that_is_found_is_the_answer_and_is_remembered() -> None:
    stage, (player,) = seeking()
    held = held_run("x", BODY)
    player.have(player.asked(), Possession.DONE, held, finished(held, "found"))
    assert stage.answer()["result"] == "found"
    stage.ask_raw(BODY)
    assert stage.answer()["result"] == "found"
    stage.check()


def test_the_worker_that_had_a_result_still_has_its_room() -> None:
    stage, (player,) = seeking()
    held = held_run("x", BODY)
    player.have(player.asked(), Possession.DONE, held, finished(held))
    stage.ask(client=b"next")
    assert len(player.inbox) == 1
    stage.check()


def test_a_run_that_is_found_takes_up_a_slot() -> None:
    stage, (player,) = seeking()
    player.have(player.asked(), Possession.RUNNING, held_run("x", BODY))
    stage.ask(client=b"next")
    assert not player.inbox
    stage.check()


def test_one_worker_that_knows_is_enough() -> None:
    stage, players = seeking(workers=3)
    players[0].have(players[0].asked())
    held = held_run("x", BODY)
    players[1].have(players[1].asked(), Possession.DONE, held, finished(held, "found"))
    players[2].have(players[2].asked())
    assert stage.answer()["result"] == "found"


def test_a_client_that_asks_while_it_is_looked_for_joins() -> None:
    stage, (player,) = seeking()
    stage.ask_raw(BODY, b"second")
    held = held_run("x", BODY)
    player.have(player.asked(), Possession.DONE, held, finished(held, "found"))
    assert stage.answer()["result"] == stage.answer(b"second")["result"] == "found"


def test_an_id_that_a_worker_used_for_another_body_is_refused() -> None:
    stage, (player,) = seeking()
    player.have(player.asked(), Possession.OTHER)
    assert stage.error()["code"] == "id_reused"


# What is not found ---------------------------------------------------------------------


def test_an_id_that_nobody_knows_runs_where_that_is_safe() -> None:
    stage, (player,) = seeking(offer(safe("m")))
    player.have(player.asked())
    player.done()
    assert stage.answer()["success"] == 0
    assert stage.counters["whohas_missing"] == 1


def test_an_id_that_nobody_knows_is_lost_where_it_is_not() -> None:
    stage, (player,) = seeking()
    player.have(player.asked())
    error = stage.error()
    assert error["code"] == "worker_lost"
    assert "may have run" in error["msg"]
    assert not player.inbox


def test_a_task_that_was_looked_for_may_run_past_its_deadline() -> None:
    """Its deadline stayed in the timetable, and ended the broker when it came."""
    stage = Stage()
    player = Player(stage, offer(safe("m")))
    stage.ask(meta={**MOVED, "deadline_ms": 500})
    player.have(player.asked())
    task = player.take()
    stage.pass_time(2, alive=[player])
    player.done(task)
    assert stage.answer()["success"] == 0


def test_a_worker_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    stage, players = seeking(offer(safe("m")), workers=2)
    players[0].have(players[0].asked())
    stage.pass_time(2.9, alive=players)
    assert stage.live(State.SEEKING) == 1
    stage.pass_time(0.3, alive=players)
    assert stage.live(State.SEEKING) == 0
    assert sum(len(player.inbox) for player in players) == 1


def test_a_worker_that_dies_while_asked_is_not_waited_for() -> None:
    stage, players = seeking(offer(safe("m")), workers=2)
    players[0].have(players[0].asked())
    players[1].dies()
    players[0].done()
    assert stage.answer()["success"] == 0


def test_while_its_only_worker_restarts_an_id_is_still_looked_for() -> None:
    stage, (player,) = seeking()
    player.dies()
    stage.pass_time(10)
    assert not stage.replies
    player.hello(new_peer=True)
    held = held_run("x", BODY)
    player.have(player.asked(), Possession.DONE, held, finished(held, "found"))
    assert stage.answer()["result"] == "found"


def test_a_worker_that_comes_back_late_has_time_to_answer() -> None:
    """The patience with those asked first was over, and it was not heard."""
    stage, (player,) = seeking()
    player.dies()
    stage.pass_time(10)
    player.hello(new_peer=True)
    stage.pass_time(1, alive=[player])
    held = held_run("x", BODY)
    player.have(player.asked(), Possession.DONE, held, finished(held, "found"))
    assert stage.answer()["result"] == "found"


def test_a_search_that_outlives_its_deadline_says_that_it_may_have_run() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(meta={**MOVED, "deadline_ms": 500})
    stage.pass_time(0.6, alive=[player])
    error = stage.error()
    assert error["code"] == "worker_lost"
    assert "may have run" in error["msg"]
    stage.check()


def test_an_answer_past_the_deadline_lets_nothing_run() -> None:
    stage = Stage()
    player = Player(stage, offer(safe("m")))
    stage.ask(meta={**MOVED, "deadline_ms": 10})
    stage.now += 0.02
    player.have(player.asked())
    assert not player.inbox
    assert stage.error()["code"] == "worker_lost"
    stage.check()


# Liars ---------------------------------------------------------------------------------


def lies() -> dict[str, wire.Have]:
    held, other = held_run("x", BODY), held_run("y", BODY)
    return {
        "another id": wire.Have(0, Possession.DONE, other, finished(other)),
        "another principal": wire.Have(
            0, Possession.RUNNING, held_run("x", BODY, principal="somebody")
        ),
        "another body": wire.Have(
            0, Possession.RUNNING, held_run("x", request_body(meta=MOVED, other=1))
        ),
        "nothing said of what": wire.Have(0, Possession.RUNNING),
        "a result that is not there": wire.Have(0, Possession.DONE, held),
    }


@pytest.mark.parametrize("what", sorted(lies()))
def test_an_answer_to_another_question_counts_as_not_knowing(what: str) -> None:
    stage, (player,) = seeking()
    lie = lies()[what]
    player.says(wire.Have(player.asked().query, lie.state, lie.held, lie.result))
    assert stage.error()["code"] == "worker_lost"
    stage.check()


def test_a_worker_cannot_claim_a_task_of_another_one() -> None:
    stage = Stage()
    victim, liar = Player(stage, name="1"), Player(stage, name="2")
    stage.ask(client=b"victim")
    task = victim.inbox[0]
    stage.ask_raw(BODY)
    victim.have(victim.asked())
    liar.have(liar.asked(), Possession.RUNNING, held_run("x", BODY, task=task.task))
    stage.check()
    assert stage.error()["code"] == "worker_lost"
    victim.done()
    assert stage.answer(b"victim")["success"] == 0


def test_an_answer_from_a_worker_that_was_not_asked_is_ignored() -> None:
    stage = Stage()
    asked = Player(stage, name="1")
    other = Player(stage, offer("n"), name="2")
    stage.ask_raw(BODY)
    held = held_run("x", BODY)
    other.have(asked.asked(), Possession.DONE, held, finished(held))
    other.says(wire.Have(999, Possession.NONE))
    assert not stage.replies


def test_an_answer_that_comes_too_late_is_ignored() -> None:
    stage, (player,) = seeking(offer(safe("m")))
    query = player.asked()
    stage.pass_time(3.2, alive=[player])
    held = held_run("x", BODY)
    player.have(query, Possession.DONE, held, finished(held, "late"))
    player.done(result="run")
    assert stage.answer()["result"] == "run"
    stage.check()


# A broker that has just started --------------------------------------------------------


def test_workers_that_come_back_in_the_grace_are_asked() -> None:
    stage = Stage(grace=True)
    stage.ask_raw(BODY)
    stage.pass_time(0.5)
    player = Player(stage)
    held = held_run("x", BODY)
    player.have(player.asked(), Possession.DONE, held, finished(held, "found"))
    assert stage.answer()["result"] == "found"


def test_in_the_grace_one_worker_that_does_not_know_decides_nothing() -> None:
    stage = Stage(grace=True)
    one = Player(stage, name="1")
    stage.ask_raw(BODY)
    one.have(one.asked())
    stage.pass_time(1, alive=[one])
    assert not stage.replies
    two = Player(stage, name="2")
    held = held_run("x", BODY)
    two.have(two.asked(), Possession.DONE, held, finished(held, "found"))
    assert stage.answer()["result"] == "found"


def test_after_the_grace_those_asked_decide() -> None:
    stage = Stage(grace=True)
    player = Player(stage)
    stage.ask_raw(BODY)
    player.have(player.asked())
    stage.pass_time(1.9, alive=[player])
    assert not stage.replies
    stage.pass_time(0.2, alive=[player])
    assert stage.error()["code"] == "worker_lost"


def test_a_method_that_nobody_serves_after_the_grace_is_unknown() -> None:
    stage = Stage(grace=True)
    stage.ask_raw(BODY)
    stage.pass_time(2.2)
    assert stage.error()["code"] == "unknown_method"


def test_workers_that_brought_the_run_along_need_not_be_asked() -> None:
    stage = Stage(grace=True)
    held = held_run("x", BODY)
    player = Player(stage, hello=False)
    player.hello(held)
    stage.ask_raw(BODY)
    assert not stage.said(wire.WhoHas)
    player.says(wire.Results(1, 1, 0, [finished(held, "brought")]))
    assert stage.answer()["result"] == "brought"
