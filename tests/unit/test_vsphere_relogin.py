"""Logging in again, and passwords refused, with a vCenter made of plain objects."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pyVmomi")

from pyVmomi import vim, vmodl

from workers.vsphere.faults import Closed, NotYet, loss_of
from workers.vsphere.session.flight import SingleFlight
from workers.vsphere.session.refusal import FIRST_PAUSE, LONGEST_PAUSE, LOOK_SECONDS, Refusal
from workers.vsphere.session.session import Session


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class VCenter:
    """Logs in, or fails with what it is given, and counts."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0
        self.closed: list[int] = []

    def log_in(self) -> Any:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        number = self.tries
        return SimpleNamespace(number=number, close=lambda: self.closed.append(number))


def failing(*failures: Exception) -> Any:
    """Return work that raises ``failures`` one after the other, then tells its login."""
    left = list(failures)

    def work(login: Any) -> int:
        if left:
            raise left.pop(0)
        return int(login.number)

    return work


def test_nothing_is_opened_before_it_is_needed() -> None:
    vcenter = VCenter()
    session = Session(vcenter.log_in)
    assert vcenter.tries == 0
    assert session.run(failing()) == 1
    assert session.run(failing()) == 1
    assert vcenter.tries == 1


def test_a_lost_session_is_replaced_and_the_old_one_logged_out() -> None:
    vcenter = VCenter()
    session = Session(vcenter.log_in)
    assert session.run(failing(vim.fault.NotAuthenticated())) == 2
    assert vcenter.closed == [1]


def test_a_lost_connection_is_replaced_within_the_session() -> None:
    vcenter = VCenter()
    assert Session(vcenter.log_in).run(failing(ConnectionResetError())) == 1
    assert vcenter.closed == []


def test_a_restarted_vcenter_costs_both_and_is_mended() -> None:
    vcenter = VCenter()
    work = failing(ConnectionResetError(), vim.fault.NotAuthenticated())
    assert Session(vcenter.log_in).run(work) == 2


@pytest.mark.parametrize("error", [vim.fault.NotAuthenticated(), ConnectionResetError()])
def test_what_is_lost_twice_is_not_tried_a_third_time(error: Exception) -> None:
    vcenter = VCenter()
    session = Session(vcenter.log_in)
    with pytest.raises(type(error)):
        session.run(failing(error, error))
    assert session.run(failing()) >= 1


@pytest.mark.parametrize("error", [TimeoutError(), vmodl.fault.InvalidArgument(), KeyError("x")])
def test_what_another_try_does_not_mend_is_raised_at_once(error: Exception) -> None:
    vcenter = VCenter()
    with pytest.raises(type(error)):
        Session(vcenter.log_in).run(failing(error))
    assert vcenter.tries == 1


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        socket.gaierror(socket.EAI_NONAME, "unknown"),
        ssl.SSLCertVerificationError(),
        ssl.SSLError(1, "WRONG_VERSION_NUMBER"),
        OSError(errno.EHOSTUNREACH, "no route"),
    ],
)
def test_a_connection_that_was_never_there_is_not_tried_twice(error: Exception) -> None:
    vcenter = VCenter(error)
    with pytest.raises(type(error)):
        Session(vcenter.log_in).run(failing())
    assert vcenter.tries == 1


def test_a_view_that_is_gone_is_a_lost_session() -> None:
    view = vim.view.ContainerView("session[1]view")
    assert loss_of(vmodl.fault.ManagedObjectNotFound(obj=view)) is not None
    machine = vim.VirtualMachine("vm-1")
    assert loss_of(vmodl.fault.ManagedObjectNotFound(obj=machine)) is None


def test_a_connection_that_is_lost_while_logging_in_is_replaced_too() -> None:
    vcenter = VCenter(ConnectionResetError())
    assert Session(vcenter.log_in).run(failing()) == 2
    assert vcenter.closed == []


def test_a_refused_password_is_not_repeated_for_a_minute() -> None:
    clock = Clock()
    refusal = Refusal(clock)
    refusal.note("old", vim.fault.InvalidLogin())
    clock.now += FIRST_PAUSE - 1
    with pytest.raises(NotYet) as raised:
        refusal.checked(lambda: "old")
    assert (raised.value.age, raised.value.retry_in) == (FIRST_PAUSE - 1, 1)
    assert isinstance(raised.value.__cause__, vim.fault.InvalidLogin)
    clock.now += 2
    assert refusal.checked(lambda: "old") == "old"


def tries(seconds: int) -> list[float]:
    """Return when a process tries a password that stays wrong."""
    clock = Clock()
    refusal, found = Refusal(clock), []
    for _ in range(seconds):
        with contextlib.suppress(NotYet):
            refusal.checked(lambda: "old")
            refusal.note("old", vim.fault.InvalidLogin())
            found.append(clock.now - 1000.0)
        clock.now += 1
    return found


def test_several_processes_with_a_wrong_password_do_not_keep_the_account_locked() -> None:
    found = tries(3600)
    assert found[:3] == [0, FIRST_PAUSE, 3 * FIRST_PAUSE]
    assert found[-1] - found[-2] == LONGEST_PAUSE
    # A vCenter locks it after five tries in 180 s, for 300 s. These are of four processes.
    assert all(later - sooner >= 180 for sooner, later in itertools.pairwise(found[2:]))


def test_another_password_that_is_refused_too_starts_the_pauses_anew() -> None:
    clock = Clock()
    refusal = Refusal(clock)
    for _ in range(5):
        refusal.note("old", vim.fault.InvalidLogin())
    refusal.note("new", vim.fault.InvalidLogin())
    clock.now += FIRST_PAUSE
    assert refusal.checked(lambda: "new") == "new"


def test_a_changed_password_is_tried_though_the_old_one_was_refused() -> None:
    clock = Clock()
    refusal = Refusal(clock)
    refusal.note("old", vim.fault.InvalidLogin())
    clock.now += LOOK_SECONDS
    assert refusal.checked(lambda: "new") == "new"


def test_a_slow_source_of_passwords_is_not_asked_by_every_request() -> None:
    clock, reads = Clock(), []

    def read() -> str:
        reads.append(clock.now)
        return "old"

    refusal = Refusal(clock)
    refusal.note("old", vim.fault.InvalidLogin())
    for _ in range(10):
        clock.now += 1
        with pytest.raises(NotYet):
            refusal.checked(read)
    assert len(reads) == 10 / LOOK_SECONDS


def test_a_forgotten_refusal_lets_the_same_password_be_tried() -> None:
    refusal = Refusal(Clock())
    refusal.note("old", vim.fault.InvalidLogin())
    refusal.forget()
    assert refusal.checked(lambda: "old") == "old"


def test_closing_logs_out_once_and_the_next_task_logs_in_again() -> None:
    vcenter = VCenter()
    session = Session(vcenter.log_in)
    session.login()
    session.close()
    session.close()
    assert vcenter.closed == [1]
    assert session.run(failing()) == 2


def test_a_login_that_is_done_after_closing_is_logged_out() -> None:
    gate, entered = threading.Event(), threading.Event()
    vcenter = VCenter()

    def slow() -> Any:
        entered.set()
        gate.wait(10)
        return vcenter.log_in()

    session = Session(slow)
    with ThreadPoolExecutor(2) as threads:
        late = threads.submit(session.run, failing())
        assert entered.wait(10)
        closing = threads.submit(session.close)
        while not session._closings:
            pass
        gate.set()
        closing.result(10)
        with pytest.raises(Closed):
            late.result(10)
    assert vcenter.closed == [1]


def test_work_that_outlives_the_closing_does_not_log_in_again() -> None:
    vcenter = VCenter()
    session = Session(vcenter.log_in)

    def closed_meanwhile(_: Any) -> None:
        session.close()
        raise vim.fault.NotAuthenticated

    with pytest.raises(Closed):
        session.run(closed_meanwhile)
    assert (vcenter.tries, vcenter.closed) == (1, [1])


def test_who_comes_after_the_closing_does_not_share_the_login_from_before() -> None:
    gate, entered = threading.Event(), threading.Event()
    vcenter = VCenter()

    def first_is_slow() -> Any:
        if not entered.is_set():
            entered.set()
            gate.wait(10)
        return vcenter.log_in()

    session = Session(first_is_slow)
    with ThreadPoolExecutor(3) as threads:
        before = threads.submit(session.run, failing())
        assert entered.wait(10)
        closing = threads.submit(session.close)
        while not session._closings:
            pass
        after = threads.submit(session.run, failing())
        gate.set()
        closing.result(10)
        assert isinstance(before.exception(10), Closed)
        assert after.result(10) == 2
    assert vcenter.closed == [1]


def test_threads_share_one_login() -> None:
    gate = threading.Event()
    vcenter = VCenter()

    def slow() -> Any:
        gate.wait(10)
        return vcenter.log_in()

    session = Session(slow)
    with ThreadPoolExecutor(8) as threads:
        outcomes = [threads.submit(session.run, failing()) for _ in range(8)]
        gate.set()
        assert {outcome.result(10) for outcome in outcomes} == {1}
    assert vcenter.tries == 1


def test_a_thread_that_comes_late_to_the_login_finds_it_made() -> None:
    vcenter = VCenter()
    session = Session(vcenter.log_in)
    login = session.login()
    # It saw no login yet, and comes to open one when another thread has just done so.
    assert session._open(0) is login
    assert vcenter.tries == 1


def test_who_waits_for_work_shares_its_failure() -> None:
    gate, entered, runs = threading.Event(), threading.Event(), []
    flight: SingleFlight[None] = SingleFlight()

    def work() -> None:
        runs.append(1)
        entered.set()
        gate.wait(10)
        raise OSError("gone")

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(flight.do, work)
        assert entered.wait(10)
        others = [threads.submit(flight.do, work) for _ in range(3)]
        while sum(other.running() for other in others) < 3:
            pass
        gate.set()
        errors = [each.exception(10) for each in [first, *others]]
    assert all(isinstance(error, OSError) for error in errors)
    assert len(runs) < 4
    flight.settle()


def test_a_failure_in_a_lost_session_is_none_of_the_next_one() -> None:
    gate, entered = threading.Event(), threading.Event()
    flight: SingleFlight[str] = SingleFlight()

    def lost() -> str:
        entered.set()
        gate.wait(10)
        raise vim.fault.NotAuthenticated

    with ThreadPoolExecutor(2) as threads:
        old = threads.submit(flight.do, lost, "old session")
        assert entered.wait(10)
        new = threads.submit(flight.do, lambda: "found", "new session")
        while not new.running():
            pass
        gate.set()
        assert new.result(10) == "found"
        assert isinstance(old.exception(10), vim.fault.NotAuthenticated)
