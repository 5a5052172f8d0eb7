"""The vSphere agent's session: lost, refused, hung up on, and never left behind."""

from __future__ import annotations

import gc
import logging
import select
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.vcsim import Simulator, agent_for, running

pytest.importorskip("pyVmomi")

from pyVmomi import vim
from pyVmomi.SoapAdapter import SoapStubAdapter

from vpoller_like.errors import TaskFailed
from workers.vsphere import VSphereAgent

#: Seconds; far more than any time limit set below, and far less than the defaults.
SOON = 8.0


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=20) as simulator:
        yield simulator


@pytest.fixture
def agent(vcenter: Simulator) -> Iterator[VSphereAgent]:
    agent = agent_for(vcenter)
    yield agent
    agent.teardown()
    assert vcenter.sessions() == 0


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the logins that are tried."""
    tried: list[str] = []
    invoke = SoapStubAdapter.InvokeMethod

    def watched(stub: Any, managed: Any, info: Any, *more: Any) -> Any:
        if info.name == "Login":
            tried.append(info.name)
        return invoke(stub, managed, info, *more)

    monkeypatch.setattr(SoapStubAdapter, "InvokeMethod", watched)
    return tried


@contextmanager
def black_hole() -> Iterator[int]:
    """Listen, let the kernel accept connections, and never answer; yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def count(agent: VSphereAgent) -> int:
    reply = agent.vm_discover({})
    assert reply["success"] == 0, reply["msg"]
    return len(reply["result"])


def failure(reply: dict[str, Any], reason: str) -> str:
    assert reply["success"] == 1
    assert reply["error"]["code"] == "task_failed"
    assert reply["error"]["reason"] == reason
    return str(reply["msg"])


def test_nothing_is_sent_before_the_first_task(vcenter: Simulator, agent: VSphereAgent) -> None:
    agent.setup()
    assert vcenter.sessions() == 0
    assert count(agent) == 20
    assert vcenter.sessions() == 1


def test_an_ended_session_is_replaced_unseen(
    vcenter: Simulator, agent: VSphereAgent, logins: list[str]
) -> None:
    assert count(agent) == 20
    vcenter.expire()
    assert count(agent) == 20
    assert vcenter.sessions() == 1
    assert len(logins) == 2


@pytest.mark.parametrize("method", ["about", "session_get", "host_discover", "datastore_discover"])
def test_every_kind_of_method_survives_the_end_of_its_session(
    vcenter: Simulator, agent: VSphereAgent, method: str
) -> None:
    ask = getattr(agent, method)
    assert ask({})["success"] == 0
    vcenter.expire()
    assert ask({})["success"] == 0


def test_a_session_ended_under_eight_threads_is_replaced_once(
    vcenter: Simulator, agent: VSphereAgent, logins: list[str]
) -> None:
    assert count(agent) == 20
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            vcenter.expire()
            assert set(threads.map(lambda _: count(agent), range(32))) == {20}
            assert vcenter.sessions() == 1
    assert len(logins) == 4


def test_dropped_connections_are_replaced_within_the_session(
    vcenter: Simulator, agent: VSphereAgent, logins: list[str]
) -> None:
    assert count(agent) == 20
    vcenter.drop()
    assert count(agent) == 20
    assert vcenter.sessions() == 1
    assert len(logins) == 1


def test_a_restarted_vcenter_is_connected_again() -> None:
    with running(vms=5) as first:
        agent = agent_for(first, thumbprint=None, verify=False)
        assert count(agent) == 5
        address = f"{first.host}:{first.port}"
    with running(vms=6, listen=address) as second:
        assert count(agent) == 6
        assert second.sessions() == 1
        agent.teardown()
        assert second.sessions() == 0


def test_an_agent_starts_while_its_vcenter_is_down() -> None:
    with running(vms=5) as gone:
        agent = agent_for(gone, thumbprint=None, verify=False)
    agent.setup()
    message = failure(agent.vm_discover({}), "unreachable")
    assert message.startswith(f"vCenter {gone.host}:{gone.port} cannot be reached")
    with running(vms=5, listen=f"{gone.host}:{gone.port}"):
        agent.connect()
        assert count(agent) == 5
        agent.teardown()


def test_teardown_without_a_vcenter_is_quick_and_quiet() -> None:
    with running(vms=5) as gone:
        agent = agent_for(gone)
        assert count(agent) == 5
    started = time.monotonic()
    agent.teardown()
    agent.teardown()
    assert time.monotonic() - started < SOON


def test_teardown_does_not_wait_for_a_vcenter_that_hangs() -> None:
    with running(vms=5) as simulator:
        agent = agent_for(simulator)
        assert count(agent) == 5
        simulator.freeze()
        started = time.monotonic()
        agent.teardown()
        assert time.monotonic() - started < SOON


def test_disconnecting_logs_out_and_the_next_task_logs_in(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    agent.connect()
    agent.connect()
    assert vcenter.sessions() == 1
    agent.disconnect()
    assert vcenter.sessions() == 0
    assert count(agent) == 20


def test_a_wrong_password_names_host_and_user_and_not_the_password(
    vcenter: Simulator, logins: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    agent = agent_for(vcenter, pwd="wr0ng-word")
    reply = agent.vm_discover({})
    message = failure(reply, "login_refused")
    assert f"{vcenter.host}:{vcenter.port}" in message
    assert "'user'" in message
    assert "wr0ng-word" not in str(reply) + caplog.text
    assert len(logins) == 1


def test_a_refused_login_is_not_repeated_by_every_task(
    vcenter: Simulator, logins: list[str]
) -> None:
    right: list[str] = []
    agent = agent_for(vcenter, pwd=lambda: right[0] if right else "wr0ng-word")
    failure(agent.vm_discover({}), "login_refused")
    assert "the next try is in" in failure(agent.vm_discover({}), "login_refused")
    assert len(logins) == 1
    with pytest.raises(TaskFailed, match="refused the login"):
        agent.connect()
    right.append(vcenter.password)
    agent.connect()
    assert count(agent) == 20
    agent.teardown()


def test_a_vcenter_that_never_answers_is_given_up_in_time() -> None:
    with black_hole() as port:
        agent = VSphereAgent("root", "pwd", "127.0.0.1", port, verify=False, connect_timeout=0.3)
        started = time.monotonic()
        message = failure(agent.vm_discover({}), "timeout")
        assert f"vCenter 127.0.0.1:{port} could not be connected within 0.3 s" in message
        assert "the next try is in" in failure(agent.vm_discover({}), "timeout")
        assert time.monotonic() - started < SOON


def test_threads_that_wait_for_a_silent_vcenter_are_freed_together() -> None:
    with black_hole() as port, ThreadPoolExecutor(16) as threads:
        agent = VSphereAgent("root", "pwd", "127.0.0.1", port, verify=False, connect_timeout=1.0)
        started = time.monotonic()
        for reply in threads.map(lambda _: agent.vm_discover({}), range(16)):
            failure(reply, "timeout")
        assert time.monotonic() - started < SOON


def test_a_call_that_gets_no_answer_is_given_up_in_time() -> None:
    with running(vms=5) as simulator:
        agent = agent_for(simulator, timeout=0.5)
        assert count(agent) == 5
        simulator.freeze()
        started = time.monotonic()
        message = failure(agent.vm_discover({}), "timeout")
        assert time.monotonic() - started < SOON
        assert "did not answer within 0.5 s" in message
        simulator.thaw()
        agent.connect()
        assert count(agent) == 5
        agent.teardown()


def test_a_server_that_speaks_no_tls_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        threads.submit(speak_http, listener)
        port = listener.getsockname()[1]
        agent = VSphereAgent("root", "pwd", "127.0.0.1", port, verify=False)
        message = failure(agent.about({}), "unreachable")
        assert f"127.0.0.1:{port} does not speak TLS as a vCenter does" in message


def speak_http(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_a_vcenter_that_dies_before_the_handshake_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = socket.create_connection
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def dead_at_once(*where: Any) -> socket.socket:
            connection = connect(*where)
            dying, _ = listener.accept()
            dying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            dying.close()
            select.select([connection], [], [], SOON)
            return connection

        monkeypatch.setattr(socket, "create_connection", dead_at_once)
        port = listener.getsockname()[1]
        agent = VSphereAgent("root", "pwd", "127.0.0.1", port, verify=False)
        failure(agent.about({}), "unreachable")
        # A socket that was lost is a ResourceWarning, which fails the test.
        gc.collect()


@contextmanager
def administrator(simulator: Simulator) -> Iterator[Any]:
    """Yield a login by which a test changes the simulated inventory."""
    agent = agent_for(simulator)
    yield agent.vcenter._session.login()
    agent.teardown()


def objects(login: Any, kind: Any) -> dict[str, Any]:
    return {each.name: each for each in login.view(kind).view}


def done(task: Any) -> None:
    deadline = time.monotonic() + 30
    while task.info.state not in ("success", "error"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert task.info.state == "success", task.info.error


def test_names_follow_the_inventory() -> None:
    with running(vms=4, datacenters=2) as simulator, administrator(simulator) as admin:
        agent = agent_for(simulator)
        first, second = "DC0_C0_RP0_VM0", "DC1_C0_RP0_VM0"
        assert agent.vm_get({"name": first})["success"] == 0
        machines = objects(admin, vim.VirtualMachine)

        done(machines[first].Rename_Task("renamed"))
        assert agent.vm_get({"name": first})["error"]["reason"] == "not_found"
        assert agent.vm_get({"name": "renamed"})["success"] == 0

        done(machines[second].Rename_Task(first))
        assert agent.vm_get({"name": first})["success"] == 0

        done(machines[first].PowerOffVM_Task())
        done(machines[first].Destroy_Task())
        assert agent.vm_get({"name": "renamed"})["error"]["reason"] == "not_found"
        assert count(agent) == 3
        agent.teardown()


def test_without_memory_of_names_a_second_one_is_seen_at_once() -> None:
    with running(vms=4, datacenters=2) as simulator, administrator(simulator) as admin:
        agent = agent_for(simulator, max_names=0)
        first, second = "DC0_C0_RP0_VM0", "DC1_C0_RP0_VM0"
        assert agent.vm_get({"name": first})["success"] == 0
        done(objects(admin, vim.VirtualMachine)[second].Rename_Task(first))
        reply = agent.vm_get({"name": first})
        assert reply["error"]["reason"] == "ambiguous"
        assert len(reply["error"]["candidates"]) == 2
        agent.teardown()
