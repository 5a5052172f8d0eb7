"""A worker's processes and a backend that the test plays, over real sockets."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_backend import FakeBackend
from tests.support.running_worker import RunningWorker
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.worker import Possession


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as fake:
        yield fake


@pytest.fixture
def worker(backend: FakeBackend, tmp_path: Path) -> Iterator[RunningWorker]:
    with RunningWorker(tmp_path, backend.endpoint) as running:
        yield running


def answer(result: wire.Result) -> object:
    reply = json.loads(result.body)
    assert reply["success"] == 0, reply
    return reply["result"]


def test_a_worker_introduces_itself(backend: FakeBackend, worker: RunningWorker) -> None:
    hello = backend.expect(wire.Hello)
    assert hello.label == "test/0"
    assert [hello.pid] == worker.children()
    assert (hello.slots, hello.ahead, hello.held) == (1, 0, [])
    (offer,) = hello.offers
    assert offer.agent == "tally"
    methods = {method.name: method for method in offer.methods}
    assert methods["tally.quick"].retry_safe
    assert methods["tally.stuck"].timeout_ms == 1000


@pytest.mark.usefixtures("worker")
def test_tasks_are_run_and_their_results_come_back(backend: FakeBackend) -> None:
    peer, hello = backend.expect_from(wire.Hello)
    backend.give(peer, backend.task("tally.quick"), backend.task("tally.quick"))
    first, second = backend.results(2)
    assert (first.task, first.attempt, first.code) == (1, 1, "")
    assert second.task == 2
    assert answer(first) == answer(second) == hello.pid


@pytest.mark.usefixtures("worker")
def test_what_is_wrong_with_a_request_is_its_answer(backend: FakeBackend) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    backend.give(
        peer,
        backend.task("tally.nothing"),
        backend.task("tally.quick", seconds="soon"),
        wire.Assignment(3, 1, "tally.quick", None, "", None, None, b"\xff garbage"),
        backend.task("tally.quick", number=4),
    )
    codes = [result.code for result in backend.results(4)]
    assert codes == ["unknown_method", "invalid_params", "bad_request", ""]


@pytest.mark.usefixtures("worker")
def test_what_is_no_message_does_no_harm(backend: FakeBackend) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    for frames in ([b""], [b"\x82"], [b"\x82", b"\xc1"], [b"x", b"y", b"z"], [b"\x82"] * 50):
        backend._socket.send_multipart([peer, *frames])
    backend.give(peer, backend.task("tally.quick"))
    assert answer(backend.results(1)[0])


def test_a_reply_beyond_the_limit_is_refused(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint, max_reply=1024):
        peer, _ = backend.expect_from(wire.Hello)
        backend.give(peer, backend.task("tally.text", length=2000))
        assert backend.results(1)[0].code == "too_large"


@pytest.mark.usefixtures("worker")
def test_a_worker_that_is_not_known_any_more_says_what_it_holds(
    backend: FakeBackend, tmp_path: Path
) -> None:
    peer, first = backend.expect_from(wire.Hello)
    count = str(tmp_path / "count")
    backend.acknowledges = False
    backend.give(peer, backend.task("tally.quick", "done"))
    (done,) = backend.results(1)
    backend.give(peer, backend.task("tally.run", "runs", file=count, seconds=1.5))
    backend.say(peer, wire.Resync())
    hello = backend.expect(wire.Hello)
    assert (hello.session, hello.instance) == (first.session + 1, first.instance)
    assert [(item.task, item.id) for item in hello.held] == [(1, "done"), (2, "runs")]
    again, runs = backend.results(2)
    assert again == done
    assert runs.task == 2
    assert Path(count).read_text() == "|"


@pytest.mark.usefixtures("worker")
def test_a_task_asked_for_again_after_the_broker_forgot_it_runs_once(
    backend: FakeBackend, tmp_path: Path
) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    count = str(tmp_path / "count")
    backend.give(peer, backend.task("tally.run", "a", file=count))
    (first,) = backend.results(1)
    backend.give(peer, backend.task("tally.run", "a", file=count))
    (second,) = backend.results(1)
    assert second.task != first.task
    assert second.body == first.body
    assert Path(count).read_text() == "|"


@pytest.mark.usefixtures("worker")
def test_what_waits_behind_a_slow_task_is_given_back(backend: FakeBackend) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    backend.give(peer, backend.task("tally.quick", seconds=1.0), backend.task("tally.quick"))
    returned = backend.expect(wire.Return)
    assert returned.items == [wire.Attempt(2, 1)]
    assert (returned.slots, returned.ahead) == (1, 0)
    assert [item.task for item in backend.results(1)] == [1]


@pytest.mark.usefixtures("worker")
def test_quick_results_are_not_held_behind_a_slow_task(backend: FakeBackend) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    quick = [backend.task("tally.quick") for _ in range(5)]
    backend.give(peer, *quick, backend.task("tally.quick", seconds=5.0))
    began = time.monotonic()
    assert [item.task for item in backend.results(5)] == [1, 2, 3, 4, 5]
    assert time.monotonic() - began < 4.0


@pytest.mark.usefixtures("worker")
def test_quick_tasks_are_taken_ahead(backend: FakeBackend) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    most, done = 0, 0
    while not most and done < 200:
        backend.give(peer, *(backend.task("tally.quick") for _ in range(5)))
        given = done + 5
        while done < given:
            results = backend.expect(wire.Results)
            done += len(results.items)
            most = max(most, results.ahead)
    assert 0 < most <= 256


@pytest.mark.usefixtures("worker")
def test_heartbeats_go_on_while_tasks_run(backend: FakeBackend) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    backend.give(peer, backend.task("tally.quick", seconds=2.0))
    for _ in range(8):
        backend.expect(wire.Heartbeat)
    assert not any(isinstance(message, wire.Results) for _, message in backend.heard)
    assert backend.results(1)[0].task == 1


@pytest.mark.usefixtures("worker")
def test_an_id_is_known_while_it_runs_and_after_its_acknowledgement(
    backend: FakeBackend,
) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    question = wire.WhoHas(5, "tally.quick", "", "a", b"print")
    backend.say(peer, question)
    assert backend.expect(wire.Have) == wire.Have(5, Possession.NONE)
    backend.give(peer, backend.task("tally.quick", "a", seconds=0.5))
    backend.say(peer, question)
    assert backend.expect(wire.Have).state is Possession.RUNNING
    (result,) = backend.results(1)
    backend.say(peer, wire.Ack(1))
    backend.say(peer, question)
    have = backend.expect(wire.Have)
    assert have.state is Possession.DONE
    assert have.result == result
    backend.say(peer, wire.WhoHas(6, "tally.quick", "", "a", b"other"))
    assert backend.expect(wire.Have).state is Possession.OTHER


def test_a_worker_meets_a_broker_that_starts_after_it(tmp_path: Path) -> None:
    with FakeBackend() as early:
        endpoint = early.endpoint
    with RunningWorker(tmp_path, endpoint) as running:
        time.sleep(1.0)
        with FakeBackend(endpoint) as late:
            assert [late.expect(wire.Hello).pid] == running.children()


def test_a_broker_that_comes_back_gets_what_it_waits_for(tmp_path: Path) -> None:
    count = str(tmp_path / "count")
    with FakeBackend() as first:
        endpoint = first.endpoint
        first.liveness_ms = 500
        with RunningWorker(tmp_path, endpoint):
            peer, _ = first.expect_from(wire.Hello)
            task = first.task("tally.run", "a", number=77, file=count, seconds=1.0)
            first.give(peer, task)
            first.expect(wire.Heartbeat)
            first.close()
            with FakeBackend(endpoint, epoch="second") as second:
                held: list[wire.Held] = []
                while not held:
                    held = second.expect(wire.Hello).held
                assert [(item.task, item.id) for item in held] == [(77, "a")]
                assert second.results(1)[0].task == 77
    assert Path(count).read_text() == "|"


def test_two_brokers_are_served_by_one_worker(backend: FakeBackend, tmp_path: Path) -> None:
    with (
        FakeBackend() as other,
        RunningWorker(tmp_path, backend.endpoint, other.endpoint, threads=2),
    ):
        here, hello = backend.expect_from(wire.Hello)
        there, same = other.expect_from(wire.Hello)
        assert hello.instance == same.instance
        backend.give(here, backend.task("tally.quick", "a", number=1, seconds=1.0))
        while backend.expect(wire.Heartbeat).ahead:
            pass
        while other.expect(wire.Heartbeat).slots != 1:
            pass
        other.give(there, other.task("tally.quick", number=2))
        assert other.results(1)[0].task == 2
        other.say(there, wire.WhoHas(1, "tally.quick", "", "a", b"print"))
        assert other.expect(wire.Have).state is Possession.RUNNING
        assert backend.results(1) == other.results(1)


def test_a_worker_serves_on_when_one_of_two_brokers_is_gone(
    backend: FakeBackend, tmp_path: Path
) -> None:
    other = FakeBackend()
    with RunningWorker(tmp_path, backend.endpoint, other.endpoint):
        peer, _ = backend.expect_from(wire.Hello)
        other.expect(wire.Hello)
        other.close()
        for _ in range(5):
            backend.give(peer, backend.task("tally.quick"))
            backend.results(1)
            backend.expect(wire.Heartbeat)


def test_an_idle_worker_costs_next_to_nothing(backend: FakeBackend, worker: RunningWorker) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    backend.give(peer, backend.task("tally.quick"))
    backend.results(1)
    (child,) = worker.children()
    before = _cpu_seconds(child)
    for _ in range(20):
        backend.expect(wire.Heartbeat)
    assert _cpu_seconds(child) - before < 0.5


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
