"""Logging in again, and names remembered, with a vCenter made of plain objects."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pyVmomi")

from pyVmomi import vim, vmodl

from workers.vsphere.connection import ConnectTimeout
from workers.vsphere.faults import NotYet, loss_of
from workers.vsphere.flight import SingleFlight
from workers.vsphere.index import NameIndex
from workers.vsphere.session import HANGING_SECONDS, REFUSED_SECONDS, Session


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


def test_a_view_that_is_gone_is_a_lost_session() -> None:
    view = vim.view.ContainerView("session[1]view")
    assert loss_of(vmodl.fault.ManagedObjectNotFound(obj=view)) is not None
    machine = vim.VirtualMachine("vm-1")
    assert loss_of(vmodl.fault.ManagedObjectNotFound(obj=machine)) is None


def test_a_refused_login_is_not_repeated_for_a_minute() -> None:
    clock, vcenter = Clock(), VCenter(vim.fault.InvalidLogin())
    session = Session(vcenter.log_in, clock)
    with pytest.raises(vim.fault.InvalidLogin):
        session.login()
    clock.now += REFUSED_SECONDS - 1
    with pytest.raises(NotYet):
        session.login()
    assert vcenter.tries == 1
    clock.now += 2
    assert session.run(failing()) == 2


def test_a_hanging_vcenter_is_left_alone_for_a_while() -> None:
    clock, vcenter = Clock(), VCenter(ConnectTimeout())
    session = Session(vcenter.log_in, clock)
    with pytest.raises(ConnectTimeout):
        session.login()
    with pytest.raises(NotYet):
        session.login()
    clock.now += HANGING_SECONDS
    assert session.run(failing()) == 2


def test_forgiving_lets_the_next_try_be_made_at_once() -> None:
    vcenter = VCenter(vim.fault.InvalidLogin())
    session = Session(vcenter.log_in, Clock())
    with pytest.raises(vim.fault.InvalidLogin):
        session.login()
    session.forgive()
    assert session.run(failing()) == 2


def test_a_refused_connection_is_tried_again_at_once() -> None:
    vcenter = VCenter(ConnectionRefusedError())
    session = Session(vcenter.log_in, Clock())
    with pytest.raises(ConnectionRefusedError):
        session.login()
    assert session.run(failing()) == 2


def test_closing_logs_out_once_and_the_next_task_logs_in_again() -> None:
    vcenter = VCenter()
    session = Session(vcenter.log_in)
    session.login()
    session.close()
    session.close()
    assert vcenter.closed == [1]
    assert session.run(failing()) == 2


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
    assert session._open() is login
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


def test_names_are_loaded_once_until_they_are_old() -> None:
    clock, loads = Clock(), []

    def load() -> dict[str, dict[str, list[str]]]:
        loads.append(1)
        return {"name": {"vm01": ["vm-1"]}}

    index = NameIndex(60.0, clock)
    assert index.snapshot(load).ids(("name",), "vm01") == ["vm-1"]
    clock.now += 59
    assert index.snapshot(load).ids(("name",), "vm02") == []
    assert len(loads) == 1
    clock.now += 2
    index.snapshot(load)
    assert len(loads) == 2


def test_names_that_prove_wrong_are_loaded_again() -> None:
    clock, loads = Clock(), []
    index = NameIndex(60.0, clock)

    def load() -> dict[str, dict[str, list[str]]]:
        loads.append(1)
        return {"name": {}}

    known = index.snapshot(load)
    clock.now += 1
    assert index.newer(known.taken, load).taken > known.taken
    assert len(loads) == 2


def test_an_age_of_zero_remembers_nothing() -> None:
    clock, loads = Clock(), []
    index = NameIndex(0.0, clock)

    def load() -> dict[str, dict[str, list[str]]]:
        loads.append(1)
        return {"name": {}}

    index.snapshot(load)
    index.snapshot(load)
    assert len(loads) == 2
