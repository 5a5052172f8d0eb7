"""Whom the vSphere agent trusts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.vcsim import Simulator, agent_for, running

pytest.importorskip("pyVmomi")

from vpoller_like.errors import TaskFailed
from workers.vsphere import VSphereAgent


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=2) as simulator:
        yield simulator


@pytest.fixture
def ca_file(vcenter: Simulator, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_text(vcenter.pem)
    return str(path)


def accepted(vcenter: Simulator, **trust: Any) -> bool:
    agent = agent_for(vcenter, **{"thumbprint": None, **trust})
    agent.connect()
    works = agent.about({})["success"] == 0
    agent.disconnect()
    return works


def refusal(vcenter: Simulator, **trust: Any) -> str:
    agent = agent_for(vcenter, **{"thumbprint": None, **trust})
    with pytest.raises(TaskFailed) as caught:
        agent.connect()
    assert caught.value.details["reason"] == "untrusted"
    assert vcenter.sessions() == 0
    return caught.value.message


def test_a_certificate_that_nobody_vouches_for_is_refused(vcenter: Simulator) -> None:
    message = refusal(vcenter)
    assert f"{vcenter.host}:{vcenter.port} cannot be verified (self-signed certificate)" in message
    for way in ("ca_file", "thumbprint", "verify = false"):
        assert way in message


def test_localhost_is_no_exception(vcenter: Simulator) -> None:
    assert "localhost" in refusal(vcenter, host="localhost")


def test_a_task_tells_the_refusal_too(vcenter: Simulator) -> None:
    reply = agent_for(vcenter, thumbprint=None).vm_discover({})
    assert reply["error"]["reason"] == "untrusted"
    assert "verify = false" in reply["msg"]


def with_colons(thumbprint: str) -> str:
    pairs = zip(thumbprint[::2], thumbprint[1::2], strict=True)
    return ":".join(map("".join, pairs)).upper()


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_a_pinned_certificate_is_accepted(vcenter: Simulator, name: str) -> None:
    thumbprint = getattr(vcenter, name)
    assert accepted(vcenter, thumbprint=thumbprint)
    assert accepted(vcenter, thumbprint=with_colons(thumbprint))


@pytest.mark.parametrize("digits", [40, 64])
def test_another_certificate_than_the_pinned_one_is_refused(
    vcenter: Simulator, digits: int
) -> None:
    message = refusal(vcenter, thumbprint="0" * digits)
    shown = vcenter.sha1 if digits == 40 else vcenter.sha256
    assert with_colons(shown) in message


def test_the_pin_is_checked_on_every_connection(vcenter: Simulator) -> None:
    agent = agent_for(vcenter, thumbprint="0" * 64)
    for _ in range(3):
        with pytest.raises(TaskFailed, match="not the configured one"):
            agent.connect()
    assert vcenter.sessions() == 0


def test_a_pin_is_checked_again_when_connections_are_replaced() -> None:
    with running(vms=2) as first:
        agent = agent_for(first)
        assert agent.about({})["success"] == 0
        address = f"{first.host}:{first.port}"
    with running(vms=2, listen=address) as impostor:
        assert agent.about({})["error"]["reason"] == "untrusted"
        assert impostor.sessions() == 0


def test_a_named_authority_is_trusted(vcenter: Simulator, ca_file: str) -> None:
    assert accepted(vcenter, ca_file=ca_file)
    assert accepted(vcenter, ca_file=ca_file, host="localhost")


def test_an_authority_vouches_for_its_names_alone(tmp_path: Path) -> None:
    with running(vms=2, names="vc01.example.org") as other:
        path = tmp_path / "other.pem"
        path.write_text(other.pem)
        assert "mismatch" in refusal(other, ca_file=str(path))


def test_another_authority_does_not_help(vcenter: Simulator, tmp_path: Path) -> None:
    with running(vms=2) as other:
        path = tmp_path / "other.pem"
        path.write_text(other.pem)
    assert "cannot be verified" in refusal(vcenter, ca_file=str(path))


def test_the_check_can_be_switched_off(vcenter: Simulator) -> None:
    assert accepted(vcenter, verify=False)


def test_the_configuration_reaches_the_vcenter(
    vcenter: Simulator, ca_file: str, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text(f"{vcenter.password}\n")
    password.chmod(0o600)
    host = {
        "host": vcenter.host,
        "port": vcenter.port,
        "user": vcenter.user,
        "password_file": str(password),
        "ca_file": ca_file,
        "timeout_ms": 20_000,
    }
    (agent,) = VSphereAgent.from_config({"hosts": [host]})
    assert agent.hostnames == [vcenter.host]
    assert len(agent.vm_discover({})["result"]) == 2
    agent.teardown()
    assert vcenter.sessions() == 0


def test_a_password_file_that_is_opened_to_others_later_is_refused_at_the_next_login(
    vcenter: Simulator, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text(vcenter.password)
    password.chmod(0o600)
    host = {
        "host": vcenter.host,
        "port": vcenter.port,
        "user": vcenter.user,
        "password_file": str(password),
        "thumbprint": vcenter.sha256,
    }
    (agent,) = VSphereAgent.from_config({"hosts": [host]})
    password.chmod(0o644)
    reply = agent.about({})
    assert reply["error"]["reason"] == "config"
    assert f"chmod 600 {password}" in reply["msg"]
