"""Two vCenters behind one worker, of which one hangs: the other's clients do not notice."""

from __future__ import annotations

import contextlib
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.support.fabric import Fabric, eventually
from tests.support.vcsim import Simulator, running

pytest.importorskip("pyVmomi")

from vpoller_like.client import VPollerClient

#: Seconds after which a connection or a call to a vCenter is given up here.
LIMIT = 0.7
#: Seconds between two requests to the one that is well, and to the other by each client.
RHYTHM, PACE = 0.01, 0.04
#: More clients of the one that hangs than a worker has threads for both.
CLIENTS = 8
ROUNDS = 3
#: Seconds of a quiet time and of one with a vCenter that hangs; longer than both limits
#: together, so that calls under way, the breaker's opening and a first try are part of it.
QUIET, TROUBLE = 0.8, 2.0
#: Seconds. What is below is as good as nothing on a machine that has other things to do.
FLOOR = 0.15
PATIENCE_MS = 20_000


class Reply(NamedTuple):
    """What a client got, and the seconds from when it was due."""

    seconds: float
    envelope: dict[str, Any]


class Story:
    """What was seen in all rounds."""

    def __init__(self) -> None:
        self.quiet: list[Reply] = []
        self.troubled: list[Reply] = []
        self.hanging: list[Reply] = []
        #: Of each round, the quiet time's p99 and that of the trouble.
        self.p99s: list[tuple[float, float]] = []
        self.sessions: list[tuple[int, int]] = []
        self.sessions_left: tuple[int, int] | None = None


def client_of(fabric: Fabric, timeout: int = PATIENCE_MS) -> VPollerClient:
    return VPollerClient(fabric.frontend, timeout=timeout, retries=1)


def request(vcenter: Simulator) -> dict[str, Any]:
    return {"method": "vm.get", "hostname": vcenter.host, "name": "DC0_C0_RP0_VM0"}


def asked_in_rhythm(fabric: Fabric, vcenter: Simulator, seconds: float) -> list[Reply]:
    """Ask at fixed times. Who has to wait makes those behind wait too, and that counts."""
    replies: list[Reply] = []
    with client_of(fabric) as client:
        start = time.monotonic()
        for number in range(int(seconds / RHYTHM)):
            due = start + number * RHYTHM
            time.sleep(max(0.0, due - time.monotonic()))
            envelope = client.run(request(vcenter))
            replies.append(Reply(time.monotonic() - due, envelope))
    return replies


def asked_until(fabric: Fabric, vcenter: Simulator, end: threading.Event) -> list[Reply]:
    replies: list[Reply] = []
    with client_of(fabric) as client:
        while not end.wait(PACE):
            started = time.monotonic()
            envelope = client.run(request(vcenter))
            replies.append(Reply(time.monotonic() - started, envelope))
    return replies


@contextlib.contextmanager
def crowd(fabric: Fabric, vcenter: Simulator, found: list[Reply]) -> Iterator[None]:
    """Let clients ask ``vcenter`` all the time of the block."""
    end = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as threads:
        asking = [threads.submit(asked_until, fabric, vcenter, end) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            end.set()
        for each in asking:
            found += each.result()


def answers(fabric: Fabric, vcenter: Simulator, timeout: int = PATIENCE_MS) -> bool:
    with client_of(fabric, timeout) as client:
        return bool(client.run(request(vcenter))["success"] == 0)


def tell(story: Story, fabric: Fabric, ill: Simulator, well: Simulator) -> None:
    """Let ``ill`` hang and come back, several times, while ``well`` is asked."""
    for _ in range(ROUNDS):
        eventually(lambda: answers(fabric, ill) and answers(fabric, well), "both answer")
        quiet = asked_in_rhythm(fabric, well, QUIET)
        ill.freeze()
        try:
            with crowd(fabric, ill, story.hanging):
                troubled = asked_in_rhythm(fabric, well, TROUBLE)
        finally:
            ill.thaw()
        story.quiet += quiet
        story.troubled += troubled
        story.p99s.append((p99(quiet), p99(troubled)))
        eventually(lambda: answers(fabric, ill), "it is used again after its thaw")
        story.sessions.append((ill.sessions(), well.sessions()))


def settings(vcenter: Simulator, seconds: float = LIMIT) -> str:
    limit = int(seconds * 1000)
    return f"{vcenter.settings}timeout_ms = {limit}\nconnect_timeout_ms = {limit}\n"


@pytest.fixture(scope="module")
def story() -> Story:
    told = Story()
    with running(vms=10) as ill, running(vms=10, listen="127.0.0.2:0") as well:
        with Fabric() as fabric:
            (fabric.place / "vpoller.toml").write_text(settings(ill) + settings(well))
            fabric.start_worker(threads=4, agents="vsphere")
            tell(told, fabric, ill, well)
        told.sessions_left = (ill.sessions(), well.sessions())
    return told


def p99(replies: list[Reply]) -> float:
    return statistics.quantiles([reply.seconds for reply in replies], n=100)[-1]


def test_all_requests_to_the_other_are_answered(story: Story) -> None:
    everything = story.quiet + story.troubled
    assert {reply.envelope["success"] for reply in everything} == {0}


def test_the_others_p99_stays_within_twice_its_quiet_value(story: Story) -> None:
    # In one round at least: a machine that stands still for others is in the way of some, but
    # one that waits for the other vCenter does so in each.
    assert any(bad <= 2 * max(quiet, FLOOR) for quiet, bad in story.p99s), story.p99s


def test_requests_to_the_one_that_hangs_are_answered_with_an_error(story: Story) -> None:
    errors = [reply.envelope["error"] for reply in story.hanging if reply.envelope["success"]]
    assert {error["reason"] for error in errors} == {"timeout"}
    assert len(errors) >= CLIENTS


def test_most_of_these_errors_are_immediate_and_tell_their_age(story: Story) -> None:
    told = [reply for reply in story.hanging if "age_s" in reply.envelope.get("error", {})]
    assert len(told) > len(story.hanging) / 2
    assert all(reply.envelope["error"]["retry_in_s"] >= 0 for reply in told)
    assert statistics.median(reply.seconds for reply in told) < LIMIT / 2


def test_one_session_is_used_throughout_and_none_is_left(story: Story) -> None:
    assert story.sessions == [(1, 1)] * ROUNDS
    assert story.sessions_left == (0, 0)


def test_a_worker_ends_by_itself_while_calls_hang_and_logs_out_where_it_can() -> None:
    with running(vms=10) as ill, running(vms=10, listen="127.0.0.2:0") as well, Fabric() as fabric:
        patient = settings(ill, 30.0) + settings(well, 30.0)
        (fabric.place / "vpoller.toml").write_text(patient)
        worker = fabric.start_worker(threads=2, agents="vsphere", settings={"drain_ms": 100})
        assert answers(fabric, ill)
        assert answers(fabric, well)
        ill.freeze()
        try:
            with ThreadPoolExecutor(2) as threads:
                asking = [threads.submit(answers, fabric, ill, 1000) for _ in range(2)]
                eventually(lambda: fabric.status()["running"] == 2, "both calls hang")
                worker.send(signal.SIGTERM)
                assert worker.wait() == 0
                assert not any(each.result() for each in asking)
        finally:
            ill.thaw()
        assert "killing it" not in fabric.logs()
        assert well.sessions() == 0
        assert ill.sessions() <= 1
