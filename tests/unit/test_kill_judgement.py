"""What the kill loop takes for a broken promise, and what it does not."""

from __future__ import annotations

import pytest

from tests.support.kills import judgement, recovery
from tests.support.kills.entries import Answer, Run, value_of
from tests.support.kills.history import KILL, STOP, Blow, Death, History
from tests.support.kills.judgement import Evidence, gather
from tests.support.kills.plan import Plan
from tests.support.kills.prober import Probe

PLAN = Plan(seed=1, again_within=1.0)
SAFE = next(n for n in range(100) if PLAN.request(n).is_safe)
ONCE = next(n for n in range(100) if not PLAN.request(n).is_safe)


def answer(number: int, at: float, value: str = "1.1", code: str = "", worker: str = "") -> Answer:
    return Answer(number, at - 0.1, at, code, value, worker)


def run(number: int, at: float, pid: int = 1, count: int = 1, ended: bool = True) -> Run:
    return Run(number, pid, count, at, at + 0.01 if ended else None)


def evidence(
    answers: list[Answer], runs: list[Run], history: History | None = None, requests: int = 0
) -> Evidence:
    return gather(PLAN, requests, history or History(), 2, answers, runs)


def broken(found: Evidence) -> set[str]:
    return {name for name, what in judgement.breaches(found).items() if what}


def killed(*blows: Blow, deaths: tuple[Death, ...] = ()) -> History:
    history = History()
    for blow in blows:
        history.struck(blow)
    for death in deaths:
        history.died(death)
    return history


def test_a_request_that_ran_and_was_answered_alike_breaks_nothing() -> None:
    answers = [answer(0, 1.0), answer(0, 2.0)]
    assert broken(evidence(answers, [run(0, 0.9)], requests=1)) == set()


def test_a_request_without_any_answer_is_lost() -> None:
    assert broken(evidence([], [], requests=1)) == {"lost"}


def test_a_request_that_nobody_answered_in_time_is_lost() -> None:
    assert broken(evidence([answer(0, 1.0, "silence", "timeout")], [], requests=1)) == {"lost"}


def test_a_success_without_a_run_is_lost() -> None:
    assert broken(evidence([answer(0, 1.0)], [], requests=1)) == {"lost"}


def test_another_reply_in_the_same_life_of_the_broker_is_a_changed_one() -> None:
    runs = [run(SAFE, 0.9), run(SAFE, 1.5, pid=2)]
    answers = [answer(SAFE, 1.0), answer(SAFE, 2.0, "2.1")]
    # Killed or not: the broker itself remembers.
    history = killed(Blow(KILL, 1, 1.2))
    assert broken(evidence(answers, runs, history)) == {"changed"}


def test_after_a_brokers_death_a_reply_may_change_if_its_worker_is_gone_too() -> None:
    runs = [run(SAFE, 0.9), run(SAFE, 9.5, pid=2)]
    answers = [answer(SAFE, 1.0), answer(SAFE, 10.0, "2.1")]
    death = Death(2.0, 2.1)
    history = killed(Blow(KILL, 1, 3.0), deaths=(death,))
    assert broken(evidence(answers, runs, history)) == set()
    alive = killed(deaths=(death,))
    assert broken(evidence(answers, runs, alive)) == {"changed", "unexplained"}


@pytest.mark.parametrize("later", ["", "worker_lost"])
def test_who_says_that_it_may_have_run_is_not_contradicted_by_a_later_broker(later: str) -> None:
    first = answer(ONCE, 1.0, "lost", "worker_lost", "worker/0")
    second = answer(ONCE, 10.0, value_of(1, 1) if not later else "no worker knows", later)
    history = killed(Blow(STOP, 1, 0.5, 4.0), deaths=(Death(5.0, 5.1),))
    assert broken(evidence([first, second], [run(ONCE, 0.9)], history)) == set()


def test_a_second_run_of_what_may_run_once_is_found_whatever_died() -> None:
    runs = [run(ONCE, 0.9), run(ONCE, 5.0, pid=2)]
    history = killed(Blow(KILL, 1, 1.0), deaths=(Death(2.0, 2.1),))
    assert broken(evidence([answer(ONCE, 6.0, "2.1")], runs, history)) == {"re-executed"}


def test_a_second_run_without_a_kill_is_unexplained() -> None:
    runs = [run(SAFE, 0.9), run(SAFE, 1.0, pid=2)]
    answers = [answer(SAFE, 1.1, "2.1")]
    assert broken(evidence(answers, runs)) == {"unexplained"}
    assert broken(evidence(answers, runs, killed(Blow(KILL, 1, 0.95)))) == set()


def test_a_stopped_worker_may_run_what_it_held_when_it_comes_back() -> None:
    runs = [run(SAFE, 4.0, pid=2), run(SAFE, 6.0, pid=1)]
    history = killed(Blow(STOP, 1, 0.5, 5.5))
    assert broken(evidence([answer(SAFE, 4.1, "2.1")], runs, history)) == set()


def test_each_kill_explains_as_many_worker_lost_as_there_are_slots() -> None:
    answers = [answer(n, 1.0, "lost", "worker_lost", "worker/0") for n in (1, 2, 3)]
    one, two = Blow(KILL, 1, 0.5), Blow(KILL, 2, 0.6)
    assert broken(evidence(answers, [], killed(one))) == {"worker_lost"}
    assert broken(evidence(answers, [], killed(one, two))) == set()


def test_worker_lost_because_nobody_knows_takes_a_brokers_death() -> None:
    answers = [answer(1, 3.0, "no worker knows", "worker_lost")]
    assert broken(evidence(answers, [])) == {"worker_lost"}
    assert broken(evidence(answers, [], killed(deaths=(Death(2.95, 2.99),)))) == set()


def test_any_other_error_is_unserved() -> None:
    assert broken(evidence([answer(1, 3.0, "full", "busy")], [])) == {"unserved"}


def test_a_broker_that_no_worker_came_back_to_in_time_may_say_so() -> None:
    early, late = (answer(1, at, "no worker", "unknown_method") for at in (2.5, 4.0))
    death = Death(1.0, 1.1)
    history = killed(deaths=(death,))
    history.revivals = {death: 5.0}
    assert broken(evidence([late], [], history)) == set()
    assert broken(evidence([early], [], history)) == {"unserved"}, "it has not waited"
    history.revivals = {death: 2.0}
    assert broken(evidence([late], [], history)) == {"unserved"}, "a worker was there"


def test_redelivery_is_from_the_kill_to_the_next_run_of_what_ran() -> None:
    runs = [run(SAFE, 0.9, ended=False), run(SAFE, 1.25, pid=2)]
    history = killed(Blow(KILL, 1, 1.0))
    assert recovery.killed(evidence([], runs, history)) == [0.25]
    ended = [run(SAFE, 0.9), run(SAFE, 1.25, pid=2)]
    assert recovery.killed(evidence([], ended, history)) == [], "it did not run at the kill"


def test_the_first_reply_is_to_what_was_asked_after_the_death() -> None:
    history = killed(deaths=(Death(1.0, 1.25),))
    probes = [Probe(0.5, 1.1), Probe(1.2, 5.0), Probe(1.25, 2.5), Probe(1.5, 2.0)]
    assert recovery.first_replies(history, probes) == [1.0]
    assert recovery.under_way(history, probes) == [pytest.approx(0.1)]


def test_percentiles_are_of_the_nearest_rank() -> None:
    spread = recovery.spread([float(n) for n in range(1, 201)])
    assert (spread.count, spread.p50, spread.p99, spread.longest) == (200, 100.0, 198.0, 200.0)
    assert str(recovery.spread([])) == "never seen"


@pytest.mark.parametrize(
    ("brokers", "waited", "found"),
    [(2, 2.0, set()), (2, 0.5, {"unexplained"}), (1, 2.0, {"unexplained"})],
)
def test_a_client_that_waited_may_have_moved_to_another_broker(
    brokers: int, waited: float, found: set[str]
) -> None:
    asked = Answer(SAFE, 10.0 - waited, 10.0, "", "1.1", "")
    runs = [run(SAFE, 9.9), run(SAFE, 10.1, pid=2)]
    assert broken(evidence([asked], runs, History(brokers))) == found
    lost = Answer(ONCE, 10.0 - waited, 10.0, "worker_lost", "no worker knows", "")
    assert bool(broken(evidence([lost], [], History(brokers)))) == bool(found)


@pytest.mark.parametrize(("brokers", "found"), [(1, {"worker_lost"}), (2, set())])
def test_another_broker_may_not_know_what_a_dead_worker_ran(brokers: int, found: set[str]) -> None:
    history = History(brokers)
    answers = [answer(ONCE, 1.0), answer(ONCE, 3.0, "lost", "worker_lost")]
    runs = [run(ONCE, 0.9)]
    assert "worker_lost" in broken(evidence(answers, runs, history))
    history.struck(Blow(KILL, 1, 2.0))
    assert broken(evidence(answers, runs, history)) >= found
    assert ("worker_lost" in broken(evidence(answers, runs, history))) == bool(found)


@pytest.mark.parametrize(("brokers", "found"), [(1, True), (2, False)])
def test_each_of_two_brokers_remembers_the_run_that_it_heard_of(brokers: int, found: bool) -> None:
    answers = [answer(SAFE, 4.0, "2.1"), answer(SAFE, 7.0, "1.1")]
    runs = [run(SAFE, 0.9), run(SAFE, 3.9, pid=2)]
    assert ("changed" in broken(evidence(answers, runs, History(brokers)))) == found
