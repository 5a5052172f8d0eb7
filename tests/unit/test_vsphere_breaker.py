"""A vCenter that is dead or hangs is left alone, tried now and then, and let in again."""

from __future__ import annotations

import errno
import itertools
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any
from xml.parsers.expat import ExpatError

import pytest

pytest.importorskip("pyVmomi")

from pyVmomi import vim, vmodl

from vpoller_like.errors import RequestError
from workers.vsphere.faults import NotYet, Sign, explain, sign_of
from workers.vsphere.session.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker
from workers.vsphere.session.connection import ConnectTimeout, Target
from workers.vsphere.session.guard import Guard
from workers.vsphere.session.slots import Slots, TooManyCalls
from workers.vsphere.session.tls import Trust

TARGET = Target("vc01", 443, Trust(), 10.0, 30.0)


def silence() -> ConnectTimeout:
    return ConnectTimeout("timed out", 10.0)


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Host:
    """Answers, or fails with ``error``; counts who knocks."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.knocks = 0

    def knock(self) -> None:
        self.knocks += 1
        self.call()

    def call(self) -> str:
        if self.error is not None:
            raise self.error
        return "answer"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("vc01", clock, jitter=lambda: 0.0)


def guard_of(host: Host, breaker: Breaker, clock: Clock, slots: int = 4) -> Guard:
    return Guard(breaker, Slots(slots, patience=0.01), host.knock, clock)


def refused(call: Callable[[], Any]) -> NotYet:
    with pytest.raises(NotYet) as raised:
        call()
    return raised.value


def pauses(breaker: Breaker, clock: Clock, failures: int) -> list[float]:
    """Let so many tries fail; return the pause after each."""
    breaker.failed(silence())
    found = []
    for _ in range(failures):
        found.append(refused(breaker.refuse).retry_in)
        clock.now += found[-1]
        assert breaker.admit()
        breaker.failed(silence(), tried=True)
    return found


# The breaker ---------------------------------------------------------------------------


def test_a_dead_host_is_left_alone_until_its_next_try(breaker: Breaker, clock: Clock) -> None:
    assert not breaker.admit()
    breaker.failed(silence())
    assert breaker.state == "open"
    clock.now += FIRST_PAUSE / 4
    error = refused(breaker.admit)
    assert (error.age, error.retry_in) == (FIRST_PAUSE / 4, FIRST_PAUSE * 3 / 4)
    clock.now += FIRST_PAUSE
    assert breaker.admit()
    assert breaker.state == "half-open"


def test_one_at_a_time_tries_it(breaker: Breaker, clock: Clock) -> None:
    breaker.failed(silence())
    clock.now += FIRST_PAUSE
    assert breaker.admit()
    assert refused(breaker.admit).retry_in == 0
    breaker.answered()
    assert breaker.state == "closed"
    assert not breaker.admit()


def test_the_pause_doubles_up_to_its_limit(breaker: Breaker, clock: Clock) -> None:
    found = pauses(breaker, clock, 12)
    assert found[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert found[-1] == LONGEST_PAUSE
    assert all(one <= other for one, other in itertools.pairwise(found))


def test_jitter_takes_off_at_most_a_half(clock: Clock) -> None:
    breaker = Breaker("vc01", clock, jitter=lambda: 0.999)
    found = pauses(breaker, clock, 12)
    assert FIRST_PAUSE / 2 <= found[0] < FIRST_PAUSE
    assert LONGEST_PAUSE / 2 <= found[-1] < LONGEST_PAUSE


def test_after_an_answer_the_pauses_start_anew(breaker: Breaker, clock: Clock) -> None:
    pauses(breaker, clock, 5)
    breaker.answered()
    assert pauses(breaker, clock, 1) == [FIRST_PAUSE]


def test_calls_that_began_before_it_opened_do_not_lengthen_the_pause(breaker: Breaker) -> None:
    for _ in range(8):
        breaker.failed(silence())
    assert refused(breaker.refuse).retry_in == FIRST_PAUSE


def test_age_is_that_of_the_latest_failure_and_down_the_whole(
    breaker: Breaker, clock: Clock
) -> None:
    pauses(breaker, clock, 2)
    clock.now += 1
    error = refused(breaker.refuse)
    assert error.age == 1
    assert error.down == 1 + FIRST_PAUSE + 2 * FIRST_PAUSE


def test_the_refusal_says_what_failed_how_long_ago_and_when_it_is_tried(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.failed(silence())
    clock.now += FIRST_PAUSE / 4
    told = explain(refused(breaker.refuse), TARGET, "root")
    assert isinstance(told, RequestError)
    assert told.message.startswith("vCenter vc01:443 could not be connected within 10 s")
    assert told.message.endswith("; that was 0 s ago, and the next try is in 1 s")
    assert told.details == {
        "reason": "timeout",
        "host": "vc01",
        "age_s": 0.2,
        "down_s": 0.2,
        "retry_in_s": 0.8,
    }


@pytest.mark.parametrize(
    ("error", "sign"),
    [
        (silence(), Sign.DEAD),
        (ConnectionRefusedError(), Sign.DEAD),
        (OSError(errno.EHOSTUNREACH, "no route"), Sign.DEAD),
        (TimeoutError(), Sign.DOUBTFUL),
        (ConnectionResetError(), Sign.DOUBTFUL),
        (HTTPException("503 Service Unavailable"), Sign.DOUBTFUL),
        (vim.fault.InvalidLogin(), Sign.ALIVE),
        (vmodl.fault.InvalidArgument(), Sign.ALIVE),
        (ExpatError("no element found"), Sign.DOUBTFUL),
        (ssl.SSLEOFError(8, "EOF"), Sign.DOUBTFUL),
        (socket.gaierror(socket.EAI_AGAIN, "no server answers"), Sign.DEAD),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), None),
        (ssl.SSLCertVerificationError(), None),
        (KeyError("ours"), None),
    ],
)
def test_what_a_failure_says_of_the_host(error: Exception, sign: Sign | None) -> None:
    assert sign_of(error) is sign


# The guard -----------------------------------------------------------------------------


def test_after_the_first_refused_connection_requests_fail_at_once(
    breaker: Breaker, clock: Clock
) -> None:
    host = Host(ConnectionRefusedError())
    guard = guard_of(host, breaker, clock)
    with pytest.raises(ConnectionRefusedError):
        guard.run(host.call)
    called: list[int] = []
    for _ in range(5):
        assert isinstance(
            refused(lambda: guard.run(lambda: called.append(1))).__cause__, ConnectionRefusedError
        )
    assert called == []
    assert host.knocks == 0


def test_a_host_that_is_back_is_let_in_by_the_next_try(breaker: Breaker, clock: Clock) -> None:
    host = Host(silence())
    guard = guard_of(host, breaker, clock)
    with pytest.raises(ConnectTimeout):
        guard.run(host.call)
    clock.now += FIRST_PAUSE
    refused(lambda: guard.run(host.call))
    host.error = None
    clock.now += 2 * FIRST_PAUSE
    assert guard.run(host.call) == "answer"
    assert host.knocks == 2
    assert breaker.state == "closed"


def test_a_request_too_heavy_for_a_living_host_hurts_nobody_else(
    breaker: Breaker, clock: Clock
) -> None:
    host = Host()
    guard = guard_of(host, breaker, clock)

    def heavy() -> None:
        clock.now += 30
        raise TimeoutError

    with pytest.raises(TimeoutError):
        guard.run(heavy)
    assert breaker.state == "closed"
    assert host.knocks == 1


def test_others_answers_speak_for_a_host_without_asking_it(breaker: Breaker, clock: Clock) -> None:
    host = Host()
    guard = guard_of(host, breaker, clock)

    def heavy() -> None:
        clock.now += 15
        guard.run(host.call)
        clock.now += 15
        raise TimeoutError

    with pytest.raises(TimeoutError):
        guard.run(heavy)
    assert (breaker.state, host.knocks) == ("closed", 0)


def test_a_call_without_an_answer_from_a_deaf_host_opens_the_breaker(
    breaker: Breaker, clock: Clock
) -> None:
    host = Host(silence())
    guard = guard_of(host, breaker, clock)

    def unanswered() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        guard.run(unanswered)
    assert breaker.state == "open"
    assert host.knocks == 1
    # What the knock met says more of the host than what the call met.
    assert isinstance(refused(lambda: guard.run(host.call)).__cause__, ConnectTimeout)


@pytest.mark.parametrize(
    "error", [vmodl.fault.InvalidArgument(), vim.fault.InvalidLogin(), KeyError("ours")]
)
def test_a_fault_of_one_request_leaves_the_breaker_closed(
    breaker: Breaker, clock: Clock, error: Exception
) -> None:
    host = Host(error)
    guard = guard_of(host, breaker, clock)
    for _ in range(5):
        with pytest.raises(type(error)):
            guard.run(host.call)
    assert (breaker.state, host.knocks) == ("closed", 0)


def test_a_host_found_with_another_certificate_is_not_called_dead(
    breaker: Breaker, clock: Clock
) -> None:
    host = Host(silence())
    guard = guard_of(host, breaker, clock)
    with pytest.raises(ConnectTimeout):
        guard.run(host.call)
    host.error = ssl.SSLCertVerificationError()
    clock.now += FIRST_PAUSE
    with pytest.raises(ssl.SSLCertVerificationError):
        guard.run(host.call)
    assert breaker.state == "closed"


def test_a_try_that_is_interrupted_does_not_block_the_next(breaker: Breaker, clock: Clock) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    breaker.failed(silence())
    clock.now += FIRST_PAUSE
    guard = Guard(breaker, Slots(1, patience=0.01), interrupted, clock)
    with pytest.raises(KeyboardInterrupt):
        guard.run(lambda: None)
    clock.now += 2 * FIRST_PAUSE
    assert guard_of(Host(), breaker, clock).run(lambda: "answer") == "answer"


def test_no_more_calls_than_allowed_are_under_way(breaker: Breaker, clock: Clock) -> None:
    guard = Guard(breaker, Slots(3, patience=20.0), Host().knock, clock)
    lock, now, most = threading.Lock(), 0, 0
    together = threading.Barrier(3)

    def call() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        # Three must meet here, or none comes through.
        together.wait(20)
        with lock:
            now -= 1

    with ThreadPoolExecutor(9) as threads:
        list(threads.map(lambda _: guard.run(call), range(9)))
    assert most == 3


def test_who_waits_too_long_for_a_slot_is_told_so(breaker: Breaker, clock: Clock) -> None:
    host = Host()
    guard = guard_of(host, breaker, clock, slots=1)
    with pytest.raises(TooManyCalls) as raised:
        guard.run(lambda: guard.run(host.call))
    told = explain(raised.value, TARGET, "root")
    assert told is not None
    assert told.details["reason"] == "busy"
    assert "1 calls to vCenter vc01:443 were under way" in told.message
    assert guard.run(host.call) == "answer"


def test_who_waited_for_a_slot_while_the_host_died_does_not_call_it(
    breaker: Breaker, clock: Clock
) -> None:
    slots = Slots(1, patience=20.0)
    guard = Guard(breaker, slots, Host().knock, clock)
    called: list[int] = []
    with ThreadPoolExecutor(1) as threads:
        with slots.taken():
            waiting = threads.submit(guard.run, lambda: called.append(1))
            while not slots._free._cond._waiters:  # type: ignore[attr-defined]
                pass
            breaker.failed(silence())
        assert isinstance(waiting.exception(20), NotYet)
    assert called == []


def test_forgiving_lets_the_next_call_through(breaker: Breaker, clock: Clock) -> None:
    guard = guard_of(Host(), breaker, clock)
    breaker.failed(silence())
    guard.forgive()
    assert guard.run(lambda: "answer") == "answer"
