"""The section [agents.vsphere] and the constructor's arguments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.fabric import eventually

pytest.importorskip("pyVmomi")

from vpoller_like.agent.secrets import is_secret_setting
from vpoller_like.errors import ConfigError
from workers.vsphere import VSphereAgent
from workers.vsphere.hosts import password
from workers.vsphere.hosts.configured import from_settings
from workers.vsphere.hosts.settings import HostSettings

SHA1 = "AB:" * 19 + "AB"


def host(**changes: Any) -> dict[str, Any]:
    given = {"host": "vc01", "user": "root", "password": "s3cret-word", **changes}
    return {key: value for key, value in given.items() if value is not None}


def agents(*hosts: dict[str, Any]) -> list[VSphereAgent]:
    return list(VSphereAgent.from_config({"hosts": list(hosts)}))


def password_of(given: dict[str, Any]) -> str:
    """Return the password as a login would have it."""
    (found,) = from_settings({"hosts": [given]})
    read = found.arguments["pwd"]
    password: str = read()
    return password


def complaint(*hosts: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        agents(*hosts)
    return caught.value.message


def test_each_host_has_an_agent_of_its_own() -> None:
    made = agents(host(), host(host="vc02", port=8443))
    assert [agent.hostnames for agent in made] == [["vc01"], ["vc02"]]


def test_no_hosts_are_no_agents() -> None:
    assert list(VSphereAgent.from_config({})) == []


def test_an_unknown_setting_is_refused_with_the_nearest_one() -> None:
    message = complaint(host(pasword_file="x"))
    assert "agents.vsphere.hosts[0].pasword_file" in message
    assert "did you mean password_file?" in message


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"port": "443"}, "port"),
        ({"port": 0}, "port"),
        ({"user": None}, "user"),
        ({"host": ""}, "host"),
        ({"verify": "no"}, "verify"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"password": 5}, "password"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], setting: str) -> None:
    assert f"agents.vsphere.hosts[0].{setting}" in complaint(host(**changes))


def test_a_host_listed_twice_is_refused() -> None:
    assert "hosts[1].host: vc01 is listed twice" in complaint(host(), host())


def test_a_password_must_come_from_somewhere() -> None:
    assert "password: missing" in complaint(host(password=None))


def test_a_password_comes_from_one_place() -> None:
    message = complaint(host(password_env="VC_PASSWORD"))
    assert "password_env: password is given as well" in message


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("s3cret-word\n")
    path.chmod(0o640)
    message = complaint(host(password=None, password_file=str(path)))
    assert "mode 0640" in message
    assert f"chmod 600 {path}" in message


def test_a_password_file_is_read_without_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("s3cret word \n")
    path.chmod(0o600)
    assert password_of(host(password=None, password_file=str(path))) == "s3cret word "


def test_a_password_file_is_read_again_for_each_login(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("old\n")
    path.chmod(0o600)
    (found,) = from_settings({"hosts": [host(password=None, password_file=str(path))]})
    path.write_text("new\n")
    assert found.arguments["pwd"]() == "new"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"s3cret\nuser: me\n", b"x" * 5000])
def test_a_password_file_without_a_password_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(0o600)
    assert f"hosts[0].password_file: {path}" in complaint(
        host(password=None, password_file=str(path))
    )


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    message = complaint(host(password=None, password_file=str(path)))
    assert f"{path} cannot be read: No such file" in message


def test_a_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VC_PASSWORD", "s3cret-word")
    assert password_of(host(password=None, password_env="VC_PASSWORD")) == "s3cret-word"


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VC_PASSWORD", raising=False)
    message = complaint(host(password=None, password_env="VC_PASSWORD"))
    assert "hosts[0].password_env: the environment variable VC_PASSWORD is not set" in message


def command_complaint(*command: str, seconds: float = 10.0) -> str:
    with pytest.raises(ConfigError) as caught:
        password.from_command(command, seconds)()
    return caught.value.message


def test_a_password_comes_from_a_command() -> None:
    command = [sys.executable, "-c", "import sys; print(*sys.argv[1:])", "s3cret", "word;$HOME"]
    assert password_of(host(password=None, password_command=command)) == "s3cret word;$HOME"


def test_a_command_is_not_run_before_its_password_is_needed(tmp_path: Path) -> None:
    agents(host(password=None, password_command=["touch", str(tmp_path / "ran")]))
    assert not (tmp_path / "ran").exists()


def test_a_command_that_fails_is_named_and_what_it_says_is_not() -> None:
    say = "import sys; print('s3cret-word'); print('s3cret-word', file=sys.stderr); sys.exit(3)"
    message = command_complaint(sys.executable, "-c", say)
    assert f"password_command: {sys.executable} ended with status 3" in message
    assert "s3cret" not in message


def lives(pid: int) -> bool:
    """Say whether a process runs; one that is dead may be there until somebody has noticed."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """Its child holds the pipe open, and would be waited for otherwise."""
    script = tmp_path / "hang"
    script.write_text(f"#!/bin/sh\nsleep 60 & echo $! >{tmp_path}/child\nwait\n")
    script.chmod(0o700)
    assert "did not end within 1.5 s" in command_complaint(str(script), seconds=1.5)
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not lives(child), "the child is gone")


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("pass", "printed nothing"),
        ("print()", "printed nothing"),
        ("print('s3cret'); print('user: me')", "printed several lines"),
        ("print('x' * 5000)", "printed more than 4096 bytes"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "not UTF-8 text"),
    ],
)
def test_a_command_that_prints_no_password_is_refused(code: str, fault: str) -> None:
    assert fault in command_complaint(sys.executable, "-c", code)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = command_complaint(str(tmp_path / "nothing"))
    assert f"{tmp_path}/nothing cannot be run: No such file" in message


def test_a_command_is_no_secret_and_is_shown_with_the_settings() -> None:
    assert not is_secret_setting("password_command")
    assert is_secret_setting("password")


def test_a_missing_ca_file_is_named_when_the_worker_starts(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    assert f"hosts[0].ca_file: there is no {path}" in complaint(host(ca_file=str(path)))


def test_a_ca_file_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("hello\n")
    assert f"hosts[0].ca_file: {path} cannot be used" in complaint(host(ca_file=str(path)))


@pytest.mark.parametrize("thumbprint", ["AB:CD", "zz" * 20, "ab" * 21])
def test_a_thumbprint_that_is_none_is_refused(thumbprint: str) -> None:
    assert "hosts[0].thumbprint: expected the SHA-1" in complaint(host(thumbprint=thumbprint))


def test_contradictions_about_the_certificate_are_refused(tmp_path: Path) -> None:
    assert "contradicts verify = false" in complaint(host(verify=False, thumbprint=SHA1))
    both = complaint(host(ca_file=str(tmp_path / "ca.pem"), thumbprint=SHA1))
    assert "thumbprint: ca_file is given as well" in both


def test_the_constructor_refuses_contradictions_too() -> None:
    with pytest.raises(ConfigError, match="contradicts verify = false"):
        VSphereAgent("root", "pwd", "vc01", verify=False, thumbprint=SHA1)


def test_the_password_is_in_no_representation() -> None:
    settings = HostSettings(host="vc01", user="root", password="s3cret-word")
    (agent,) = agents(host())
    shown = f"{settings!r} {settings.__rich_repr__()} {agent!r} {agent!s} {agent.vcenter.target}"
    assert "s3cret-word" not in shown
    assert "vc01" in repr(agent)
    assert "root" in repr(agent)


def test_complaints_never_show_the_password() -> None:
    messages = [
        complaint(host(port="x")),
        complaint(host(password_env="Y")),
        complaint(host(), host()),
    ]
    assert all("s3cret-word" not in message for message in messages)
