"""A vCenter that hangs, dies and comes back; and no session of ours left at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.vcsim import Simulator, agent_for, running

pytest.importorskip("pyVmomi")

from pyVmomi.SoapAdapter import SoapStubAdapter

from workers.vsphere import VSphereAgent
from workers.vsphere.session import breaker, refusal
from workers.vsphere.session.connection import PinnedConnection

#: Seconds for what comes in a moment, on a machine that has other things to do.
PATIENCE = 30.0
#: Seconds; far more than any time limit set below, and far less than the defaults.
SOON = 8.0


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with running(vms=20) as simulator:
        yield simulator


@pytest.fixture
def vcenter(simulator: Simulator) -> Iterator[Simulator]:
    yield simulator
    simulator.delay(0)
    simulator.mend()
    simulator.expire()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.3)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the connections that are tried."""
    tried: list[int] = []
    connect = PinnedConnection.connect

    def watched(connection: PinnedConnection) -> None:
        tried.append(connection.port)
        connect(connection)

    monkeypatch.setattr(PinnedConnection, "connect", watched)
    return tried


class Calls:
    """The calls that are made: how many, how many at once, and what goes wrong with them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.most = 0
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}
        self._now = 0
        self._lock = threading.Lock()
        invoke = SoapStubAdapter.InvokeMethod

        def watched(stub: Any, managed: Any, info: Any, *more: Any) -> Any:
            self._enter(info.name)
            try:
                self.before.pop(info.name, bool)()
                result = invoke(stub, managed, info, *more)
                self.after.pop(info.name, bool)()
                return result
            finally:
                with self._lock:
                    self._now -= 1

        monkeypatch.setattr(SoapStubAdapter, "InvokeMethod", watched)

    def _enter(self, name: str) -> None:
        with self._lock:
            self.names.append(name)
            self._now += 1
            self.most = max(self.most, self._now)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def works(agent: VSphereAgent) -> bool:
    return bool(agent.vm_discover({})["success"] == 0)


def finds(agent: VSphereAgent) -> bool:
    return bool(agent.vm_get({"name": "DC0_C0_RP0_VM0"})["success"] == 0)


def error_of(reply: dict[str, Any]) -> dict[str, Any]:
    assert reply["success"] == 1
    return dict(reply["error"])


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# Outages -------------------------------------------------------------------------------


def test_a_frozen_vcenter_costs_one_wait_and_is_used_again_after_its_thaw(
    vcenter: Simulator, connections: list[int]
) -> None:
    agent = agent_for(vcenter, timeout=0.5, connect_timeout=0.5)
    assert works(agent)
    vcenter.freeze()
    try:
        reply = agent.vm_discover({})
        assert error_of(reply)["reason"] == "timeout"
        assert "did not answer within 0.5 s" in reply["msg"]
        tried = len(connections)
        replies = [agent.vm_discover({}) for _ in range(50)]
        # None of them waited for the vCenter, but for one if the next try was due.
        assert len(connections) - tried <= 1
    finally:
        vcenter.thaw()
    for reply in replies:
        error = error_of(reply)
        assert error["reason"] == "timeout"
        assert error["age_s"] >= 0
        assert error["retry_in_s"] >= 0
        assert " s ago, and " in reply["msg"]
    eventually(lambda: works(agent))
    assert vcenter.sessions() == 1
    agent.teardown()
    assert vcenter.sessions() == 0


def test_threads_at_a_frozen_vcenter_are_freed_and_one_of_them_tries_it(
    vcenter: Simulator, connections: list[int]
) -> None:
    agent = agent_for(vcenter, timeout=0.5, connect_timeout=0.5)
    assert works(agent)
    vcenter.freeze()
    try:
        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(lambda _: agent.vm_discover({}), range(64)))
        assert {error_of(reply)["reason"] for reply in replies} == {"timeout"}
        # Eight at most were under way when it froze; each costs a connection at most.
        assert len(connections) < 20
    finally:
        vcenter.thaw()
    eventually(lambda: works(agent))
    agent.teardown()
    assert vcenter.sessions() == 0


def test_threads_that_need_the_first_view_do_not_wait_for_it_one_after_the_other(
    vcenter: Simulator, calls: Calls
) -> None:
    agent = agent_for(vcenter, timeout=0.7)
    agent.connect()
    vcenter.freeze()
    try:
        with ThreadPoolExecutor(6) as threads:
            replies = list(threads.map(lambda _: agent.vm_discover({}), range(6)))
    finally:
        vcenter.thaw()
    assert {error_of(reply)["reason"] for reply in replies} == {"timeout"}
    assert calls.names.count("CreateContainerView") < 3
    agent.teardown()


def test_a_dead_vcenter_is_told_at_once_with_age_and_found_again_when_it_is_back() -> None:
    with running(vms=5) as first:
        agent = agent_for(first, thumbprint=None, verify=False)
        assert works(agent)
    assert error_of(agent.vm_discover({}))["reason"] == "unreachable"
    reply = agent.vm_discover({})
    assert error_of(reply)["down_s"] >= error_of(reply)["age_s"] >= 0
    assert f"vCenter {first.host}:{first.port} cannot be reached" in reply["msg"]
    with running(vms=5, listen=f"{first.host}:{first.port}") as second:
        eventually(lambda: works(agent))
        assert second.sessions() == 1
        agent.teardown()
        assert second.sessions() == 0


def test_one_vcenter_in_trouble_leaves_the_others_breaker_alone(vcenter: Simulator) -> None:
    with running(vms=5) as gone:
        dead = agent_for(gone)
    alive = agent_for(vcenter)
    for _ in range(5):
        assert not works(dead)
        assert works(alive)
    alive.teardown()


def test_a_call_that_takes_a_living_vcenter_too_long_shuts_nobody_out(vcenter: Simulator) -> None:
    agent = agent_for(vcenter, timeout=0.5, connect_timeout=5.0)
    assert works(agent)
    vcenter.delay(1.0, "RetrievePropertiesEx")
    for _ in range(2):
        error = error_of(agent.vm_discover({}))
        assert error["reason"] == "timeout"
        assert "retry_in_s" not in error
    vcenter.delay(0)
    assert works(agent)
    agent.teardown()


def test_a_fault_of_one_request_shuts_nobody_out(vcenter: Simulator) -> None:
    agent = agent_for(vcenter)
    assert works(agent)
    vcenter.fault("NoPermission", "RetrievePropertiesEx", times=3)
    for _ in range(3):
        assert error_of(agent.vm_discover({}))["reason"] == "no_permission"
    assert works(agent)
    agent.teardown()


def test_no_more_calls_than_allowed_are_under_way(vcenter: Simulator, calls: Calls) -> None:
    agent = agent_for(vcenter, max_calls=2)
    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(lambda _: works(agent), range(48)))
    assert calls.most <= 2
    agent.teardown()


# Sessions ------------------------------------------------------------------------------


def test_fifty_restarts_under_faults_leave_no_session(vcenter: Simulator) -> None:
    faults = [lambda: None, vcenter.drop, lambda: None, vcenter.expire, vcenter.drop]
    with ThreadPoolExecutor(4) as threads:
        for number in range(50):
            agent = agent_for(vcenter)
            # Now and then names are followed as well, by a thread of the agent's own.
            asked = (works, works if number % 7 else finds)
            under_way = [threads.submit(ask, agent) for ask in asked]
            faults[number % len(faults)]()
            for each in under_way:
                each.exception(PATIENCE)
            assert vcenter.sessions() <= 1
            agent.teardown()
            assert vcenter.sessions() == 0


def test_many_threads_at_an_agent_that_just_started_open_one_session(
    vcenter: Simulator, calls: Calls
) -> None:
    agent = agent_for(vcenter)
    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(lambda _: works(agent), range(32)))
    assert calls.names.count("Login") == 1
    assert vcenter.sessions() == 1
    agent.teardown()


def test_a_session_whose_login_was_never_answered_is_ended_by_the_next_login(
    vcenter: Simulator, calls: Calls
) -> None:
    def lost() -> None:
        assert vcenter.sessions() == 1
        raise ConnectionResetError

    agent = agent_for(vcenter)
    calls.after["Login"] = lost
    # The session is there, but its cookie was in the answer.
    calls.before["Logout"] = lost
    assert works(agent)
    assert vcenter.sessions() == 1
    agent.teardown()
    assert vcenter.sessions() == 0


def test_a_login_that_the_vcenter_takes_up_after_its_thaw_leaves_no_session(
    vcenter: Simulator, calls: Calls
) -> None:
    agent = agent_for(vcenter, timeout=0.5, connect_timeout=0.5)
    calls.before["Login"] = vcenter.freeze
    try:
        assert error_of(agent.vm_discover({}))["reason"] == "timeout"
    finally:
        vcenter.thaw()
    eventually(lambda: works(agent))
    agent.teardown()
    assert vcenter.sessions() == 0


def test_who_may_not_end_sessions_leaves_the_lost_one_and_works_on(
    vcenter: Simulator, calls: Calls
) -> None:
    def cut() -> None:
        raise ConnectionResetError

    agent = agent_for(vcenter)
    calls.after["Login"] = calls.before["Logout"] = cut
    vcenter.fault("NoPermission", "TerminateSession")
    assert works(agent)
    assert vcenter.sessions() == 2
    agent.teardown()
    assert vcenter.sessions() == 1


def test_a_login_that_took_too_long_leaves_no_session(vcenter: Simulator) -> None:
    agent = agent_for(vcenter, timeout=0.5, connect_timeout=5.0)
    vcenter.delay(0.8, "Login")
    assert error_of(agent.vm_discover({}))["reason"] == "timeout"
    vcenter.delay(0)
    eventually(lambda: vcenter.sessions() == 1)
    assert works(agent)
    assert vcenter.sessions() == 1
    agent.teardown()
    assert vcenter.sessions() == 0


def test_a_session_given_up_on_a_false_alarm_is_logged_out(vcenter: Simulator) -> None:
    agent = agent_for(vcenter)
    assert works(agent)
    vcenter.fault("NotAuthenticated", "RetrievePropertiesEx", times=1)
    assert works(agent)
    assert vcenter.sessions() == 1
    agent.teardown()
    assert vcenter.sessions() == 0


def test_a_session_that_could_not_be_logged_out_is_ended_by_the_next_login(
    vcenter: Simulator, calls: Calls
) -> None:
    def cut() -> None:
        raise ConnectionResetError

    agent = agent_for(vcenter)
    assert works(agent)
    calls.before["Logout"] = cut
    agent.disconnect()
    assert vcenter.sessions() == 1
    assert works(agent)
    assert vcenter.sessions() == 1
    agent.teardown()
    assert vcenter.sessions() == 0


def test_others_sessions_are_left_alone(vcenter: Simulator, calls: Calls) -> None:
    def cut() -> None:
        raise ConnectionResetError

    other, agent = agent_for(vcenter), agent_for(vcenter)
    assert works(other)
    calls.after["Login"] = calls.before["Logout"] = cut
    assert works(agent)
    assert vcenter.sessions() == 2
    agent.teardown()
    assert works(other)
    assert calls.names.count("Login") == 3
    other.teardown()
    assert vcenter.sessions() == 0


def test_teardown_is_not_held_up_by_calls_that_hang(vcenter: Simulator) -> None:
    agent = agent_for(vcenter)
    assert works(agent)
    with ThreadPoolExecutor(4) as threads:
        vcenter.freeze()
        try:
            hanging = [threads.submit(works, agent) for _ in range(4)]
            started = time.monotonic()
            agent.teardown()
            assert time.monotonic() - started < SOON
            assert not any(each.done() for each in hanging)
        finally:
            vcenter.thaw()
        for each in hanging:
            each.exception(PATIENCE)
    # They came to an end in the old session, and opened no other.
    assert vcenter.sessions() <= 1


def test_a_changed_password_is_tried_though_the_old_one_was_refused(
    vcenter: Simulator, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusal, "LOOK_SECONDS", 0.0)
    words = ["wr0ng-word"]
    agent = agent_for(vcenter, pwd=lambda: words[-1])
    assert error_of(agent.vm_discover({}))["reason"] == "login_refused"
    assert "retry_in_s" in error_of(agent.vm_discover({}))
    assert calls.names.count("Login") == 1
    words.append(vcenter.password)
    assert works(agent)
    agent.teardown()
