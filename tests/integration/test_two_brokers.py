"""Workers and clients that have two brokers, one of which dies under load."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

from tests.support.fabric import Fabric, eventually
from tests.support.kills.asker import Settings
from tests.support.kills.entries import Answer, ledgers, read_answers, read_runs
from tests.support.kills.fleet import Fleet, running
from tests.support.kills.history import Death, History
from tests.support.kills.judgement import Evidence, breaches, gather, lost_with_broker
from tests.support.kills.plan import Plan
from vpoller_like.client import VPollerClient

REQUESTS = 1500
#: Seconds of one try: more than what anybody should have to wait.
TIMEOUT = 3.0


def _settings(fleet: Fleet, plan: Plan) -> Settings:
    return Settings(
        endpoints=fleet.frontends,
        plan=plan,
        first=0,
        step=1,
        requests=REQUESTS,
        rate=500,
        file=str(fleet.place / "0.answers"),
        timeout=1000 * TIMEOUT,
        retries=10,
    )


def _answered(file: Path) -> list[Answer]:
    return list(read_answers(file)) if file.exists() else []


def _judged(fleet: Fleet, plan: Plan, history: History) -> Evidence:
    answers = _answered(fleet.place / "0.answers")
    runs = [run for path in ledgers(fleet.place) for run in read_runs(path)]
    return gather(plan, REQUESTS, history, fleet.slots, answers, runs)


def _strike(fleet: Fleet, history: History, asker: subprocess.Popen[bytes], file: Path) -> None:
    eventually(lambda: _answered(file), "requests are answered")
    at = time.monotonic()
    fleet.kill_broker(0)
    history.died(Death(at, time.monotonic()))
    assert asker.wait(100) == 0


def test_one_of_two_brokers_dies_and_nobody_loses_or_waits_for_anything() -> None:
    plan, history = Plan(seed=7, again_within=1.0), History(brokers=2)
    with running(brokers=2, supervisors=1, processes=3, threads=2) as fleet:
        settings = _settings(fleet, plan)
        with fleet.asking([settings]) as (asker,):
            _strike(fleet, history, asker, Path(settings.file))
        evidence = _judged(fleet, plan, history)
    found = breaches(evidence)
    assert not any(found.values()), found
    # What the dead broker had not given away yet nobody knows of: at most its queue.
    assert len(lost_with_broker(evidence)) <= settings.window
    answers = [answer for each in evidence.answers.values() for answer in each]
    assert max(answer.received - answer.sent for answer in answers) < TIMEOUT
    (death,) = history.deaths
    assert any(answer.sent < death.at < answer.received for answer in answers)


def test_an_id_that_one_broker_answered_is_not_run_again_by_the_other(tmp_path: Path) -> None:
    ids = [f"once-{number}" for number in range(8)]
    with Fabric() as first, Fabric() as other:
        first.start_worker(processes=3, backends=[first.backend, other.backend])
        eventually(lambda: len(other.workers()) == 3, "the workers serve the other broker too")
        with VPollerClient([first.frontend, other.frontend], retries=10) as client:
            # So long that the other broker has been there for all of an id's life.
            time.sleep(1.5)
            asked = time.monotonic()
            before = [client.run(_once(tmp_path, each, age_ms=0)) for each in ids]
            first.kill_broker()
            age_ms = 1000 * (time.monotonic() - asked)
            # Backwards: dealt out in turn, they would come to who has run them by chance.
            after = [client.run(_once(tmp_path, each, age_ms)) for each in reversed(ids)]
    assert [reply["success"] for reply in before] == [0] * len(ids), before
    first_results = [reply["result"] for reply in before]
    assert [reply.get("result") for reply in reversed(after)] == first_results
    assert len((tmp_path / "runs").read_text().split()) == len(ids)


def _once(place: Path, request_id: str, age_ms: float) -> dict[str, Any]:
    """Return a request that may run once, and was first asked ``age_ms`` ago."""
    meta = {"id": request_id, "age_ms": age_ms}
    return {"method": "probe.count", "file": str(place / "runs"), "meta": meta}
