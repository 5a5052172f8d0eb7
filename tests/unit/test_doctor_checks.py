"""What ``vpoller doctor`` finds, and what it says to do."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.cli import FakeClient, Vpoller, client, failure, success, vpoller
from vpoller_like import __version__
from vpoller_like.authorized import Authorized, AuthorizedList
from vpoller_like.cli.checks import agents, brokers, configuration, keyring, machine, ports
from vpoller_like.cli.checks.finding import Finding
from vpoller_like.config import (
    BrokerSettings,
    ClientSettings,
    SecuritySettings,
    Settings,
    WorkerSettings,
)
from vpoller_like.keys import KeyDirectory
from vpoller_like.loading import Loaded, load
from vpoller_like.transport.curve import Pair, new_pair

__all__ = ["client", "vpoller"]

Client = type[FakeClient]
UNLIMITED = resource.RLIM_INFINITY


def faults(findings: Iterable[Finding]) -> list[Finding]:
    """Return what is not well; each says what to do."""
    found = [finding for finding in findings if finding.level != "ok"]
    assert all(finding.advice or ";" in finding.text for finding in found), found
    return found


def fault(findings: Iterable[Finding]) -> tuple[str, str]:
    """Return the level and the line of the one thing that is not well."""
    (found,) = faults(findings)
    return found.level, f"{found.text}; {found.advice}"


# Configuration ----------------------------------------------------------------------------


def loaded(place: Path, text: str, mode: int = 0o600) -> Loaded:
    file = place / "vpoller.toml"
    file.write_text(text)
    file.chmod(mode)
    return load(file, environ={}, cwd=place / "nowhere")


def test_defaults_are_well() -> None:
    assert faults(configuration.check(load(environ={}, cwd="/nowhere"))) == []


def test_it_says_where_settings_are_from(tmp_path: Path) -> None:
    found = configuration.sources(loaded(tmp_path, "[client]\nretries = 5\ntimeout = 2\n"))
    assert found.text == f"settings from {tmp_path}/vpoller.toml"


SECRET = '[worker]\nagents = ["vsphere"]\n[[agents.vsphere.hosts]]\npassword = "x"\n'


def test_a_file_with_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert faults(configuration.check(loaded(tmp_path, SECRET))) == []
    level, line = fault(configuration.check(loaded(tmp_path, SECRET, 0o640)))
    assert level == "problem"
    assert "holds a secret and others may read it (mode 0640); chmod 600" in line


def test_a_file_that_only_says_where_a_secret_is_may_be_read(tmp_path: Path) -> None:
    text = SECRET.replace("password", "password_file")
    assert faults(configuration.check(loaded(tmp_path, text, 0o644))) == []


def test_nobody_else_may_change_the_settings(tmp_path: Path) -> None:
    level, line = fault(configuration.check(loaded(tmp_path, "[client]\nretries = 5\n", 0o664)))
    assert level == "problem"
    assert "others may change" in line
    assert "chmod go-w" in line


def test_a_section_that_nobody_reads_is_found(tmp_path: Path) -> None:
    level, line = fault(configuration.check(loaded(tmp_path, "[agents.vsphere]\nx = 1\n")))
    assert level == "warning"
    assert line.startswith("[agents.vsphere] is used by nobody")


def test_settings_that_cannot_be_loaded_are_the_only_finding(
    vpoller: Vpoller, tmp_path: Path
) -> None:
    (tmp_path / "vpoller.toml").write_text("[clint]\ntimeout = 1\n")
    outcome = vpoller("doctor")
    assert outcome.code == 1
    (found,) = outcome.data
    assert (found["area"], found["level"]) == ("configuration", "problem")
    assert "did you mean client.timeout?" in found["text"]


# Machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "curve", "expected"),
    [
        ((4, 3, 5), True, "ok"),
        ((4, 4, 0), True, "ok"),
        ((4, 3, 4), True, "warning"),
        ((4, 3, 5), False, "warning"),
        ((4, 3, 2), True, "problem"),
        ((4, 2, 9), True, "problem"),
    ],
)
def test_libzmq_is_judged(version: tuple[int, int, int], curve: bool, expected: str) -> None:
    found = machine.libzmq(version, curve)
    assert found.level == expected
    assert bool(found.advice) is (expected != "ok")


def test_a_clock_before_the_installation_is_wrong() -> None:
    assert machine.clock(1e9, 1e9 - 1).level == "ok"
    assert machine.clock(1e9, 1e9 + 3600).level == "ok", "files may come from another zone"
    level, line = fault([machine.clock(0.0, 1e9)])
    assert level == "problem"
    assert "1970-01-01 00:00:00 UTC" in line


@pytest.mark.parametrize(
    ("soft", "hard", "said"),
    [
        (1024, 65_536, ""),
        (1024, UNLIMITED, ""),
        (UNLIMITED, UNLIMITED, ""),
        (1024, 4096, "LimitNOFILE=65536"),
        (64, 65_536, "ulimit -Sn 1024"),
    ],
)
def test_the_number_of_files_is_judged(soft: int, hard: int, said: str) -> None:
    found = machine.files(Settings(), soft, hard)
    assert found.level == ("warning" if said else "ok")
    assert said in found.advice


def test_what_runs_this_test_is_well() -> None:
    levels = [finding.level for finding in machine.check(Settings())]
    assert "problem" not in levels
    assert len(levels) == 9


def test_what_reads_messages_is_told_and_why_it_is_not_the_extension() -> None:
    assert "C extension" in machine.transport("c", "").text
    assert machine.transport("pure", "VPOLLER_PURE is set").text.endswith(": VPOLLER_PURE is set")


def test_what_requests_go_through_is_told_and_why_it_is_not_the_extension() -> None:
    assert "C extension" in machine.core("a worker's tasks", "c", "").text
    slow = machine.core("a worker's tasks", "pure", "VPOLLER_PURE is set").text
    assert slow.startswith("a worker's tasks")
    assert slow.endswith(": VPOLLER_PURE is set")


# Keys -------------------------------------------------------------------------------------


class Keys:
    """A directory of keys, and settings that name them."""

    def __init__(self, place: Path) -> None:
        self.directory = KeyDirectory(place / "keys")
        self.authorized = AuthorizedList(self.directory.path)
        self.pairs: dict[str, Pair] = {}

    def make(self, name: str) -> None:
        pair = self.pairs[name] = new_pair()
        self.directory.write(name, pair.public, pair.secret)

    def authorize(self, name: str, role: Any) -> None:
        self.authorized.add(Authorized(name, self.pairs[name].public, role))

    def settings(self, **sections: Any) -> Settings:
        return Settings(security=SecuritySettings(keys=self.directory.path), **sections)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(tmp_path)
    for name, role in (("broker", None), ("node", "worker"), ("anna", "admin")):
        keys.make(name)
        if role:
            keys.authorize(name, role)
    return keys


BROKER = BrokerSettings(key="broker")


def test_keys_that_are_as_they_should_be_are_well(keys: Keys) -> None:
    settings = keys.settings(
        broker=BROKER,
        worker=WorkerSettings(key="node", server_key="broker"),
        client=ClientSettings(key="anna", server_key="broker"),
    )
    findings = list(keyring.check(settings))
    assert faults(findings) == []
    assert len(findings) == 4


def test_no_keys_are_well(tmp_path: Path) -> None:
    assert faults(keyring.check(Keys(tmp_path).settings())) == []


def test_a_secret_key_that_others_may_read_is_found_used_or_not(keys: Keys) -> None:
    os.chmod(keys.directory.secret_file("anna"), 0o644)
    level, line = fault(keyring.check(keys.settings()))
    assert level == "problem"
    assert "chmod 600" in line


def test_a_directory_that_others_may_write_is_found(keys: Keys) -> None:
    os.chmod(keys.directory.path, 0o777)
    level, line = fault(keyring.check(keys.settings()))
    assert (level, "chmod go-w" in line) == ("problem", True)


def test_a_broker_key_that_is_not_there_is_found(keys: Keys) -> None:
    settings = keys.settings(broker=BrokerSettings(key="borker"))
    level, line = fault(keyring.check(settings))
    assert level == "problem"
    assert "vpoller keys new borker" in line


def test_a_list_that_names_nobody_is_found(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.make("broker")
    level, line = fault(keyring.check(keys.settings(broker=BROKER)))
    assert level == "problem"
    assert "vpoller keys authorize" in line


def test_a_list_that_cannot_be_read_is_found(keys: Keys) -> None:
    Path(keys.authorized.file).write_text("nonsense")
    level, _ = fault(keyring.check(keys.settings(broker=BROKER)))
    assert level == "problem"


@pytest.mark.parametrize(("gone", "role"), [("node", "worker"), ("anna", "admin")])
def test_a_role_that_nobody_has_is_found(keys: Keys, gone: str, role: str) -> None:
    keys.authorized.revoke(gone)
    level, line = fault(keyring.check(keys.settings(broker=BROKER)))
    assert level == "warning"
    assert f"--role {role}" in line


@pytest.mark.parametrize("section", ["worker", "client"])
def test_half_a_pair_of_keys_is_found(keys: Keys, section: str) -> None:
    party = {"worker": WorkerSettings, "client": ClientSettings}[section](key="anna")
    level, line = fault(keyring.check(keys.settings(**{section: party})))
    assert level == "problem"
    assert f"{section}.server_key" in line


# Ports ------------------------------------------------------------------------------------


def test_a_door_that_the_running_broker_has_is_well() -> None:
    status = {"pid": 7, "endpoints": {"frontend": "tcp://127.0.0.1:1"}}
    found = ports.look_at("frontend", "tcp://127.0.0.1:1", guarded=False, running=status)
    assert (found.level, "pid 7" in found.text) == ("ok", True)


@pytest.mark.parametrize(
    ("wanted", "bound"),
    [
        ("tcp://localhost:1", "tcp://127.0.0.1:1"),
        ("tcp://*:1", "tcp://0.0.0.0:1"),
        ("tcp://*:1", "tcp://[::]:1"),
    ],
)
def test_a_door_is_the_same_however_its_host_is_written(wanted: str, bound: str) -> None:
    """The running broker itself was found to be in the way."""
    status = {"pid": 7, "endpoints": {"frontend": bound}}
    found = ports.look_at("frontend", wanted, guarded=True, running=status)
    assert (found.level, "pid 7" in found.text) == ("ok", True)


def test_a_door_of_another_port_or_host_is_another_door() -> None:
    bound = ("tcp://127.0.0.1:1", "ipc:///x", "tcp://[::1]:3")
    for wanted in ("tcp://127.0.0.1:2", "tcp://127.0.0.2:1", "tcp://no.such.host.invalid:1"):
        assert not ports._is_among(wanted, bound)
    assert ports._is_among("ipc:///x", bound)


def test_a_door_that_others_could_reach_needs_keys() -> None:
    found = ports.look_at("frontend", "tcp://0.0.0.0:*", guarded=False, running=None)
    assert found.level == "problem"
    assert "is not a loopback address" in found.text
    assert ports.look_at("x", "tcp://0.0.0.0:*", guarded=True, running=None).level == "ok"


def test_every_door_is_looked_at() -> None:
    doors = dict.fromkeys(("frontend", "backend", "plain", "admin"), "tcp://127.0.0.1:*")
    settings = Settings(broker=BrokerSettings(**doors, open_frontend="tcp://0.0.0.0:*"))
    found = list(ports.check(settings, None))
    assert [finding.level for finding in found] == ["ok"] * 5


def look_at_path(path: Path) -> Finding:
    return ports.look_at("admin", f"ipc://{path}", guarded=False, running=None)


def test_looking_at_a_path_makes_nothing_there(tmp_path: Path) -> None:
    """What root made there, a broker of another user could not use."""
    tmp_path.chmod(0o700)
    assert look_at_path(tmp_path / "admin").level == "ok"
    assert look_at_path(tmp_path / "new" / "admin").level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_a_broker_could_not_bind_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "file").touch()
    assert fault([look_at_path(tmp_path / "file")])[0] == "problem"
    with open(tmp_path / "admin.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        level, line = fault([look_at_path(tmp_path / "admin")])
        assert (level, "another process holds" in line) == ("problem", True)
    assert look_at_path(tmp_path / "admin").level == "ok"
    tmp_path.chmod(0o755)
    level, line = fault([look_at_path(tmp_path / "admin")])
    assert (level, "chmod 700" in line) == ("problem", True)


def test_a_directory_of_another_user_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert fault([look_at_path(tmp_path / "admin")])[0] == "warning"


# Agents -----------------------------------------------------------------------------------


def look(*names: str, **sections: Any) -> list[Finding]:
    return list(agents.check(Settings(worker=WorkerSettings(agents=list(names)), agents=sections)))


def test_an_agent_that_can_be_loaded_is_well() -> None:
    (found,) = look("system")
    assert found.level == "ok"
    assert found.text.startswith("system: ")


def test_an_agent_that_is_not_installed_is_found() -> None:
    level, line = fault(look("sytem"))
    assert (level, "did you mean system?" in line) == ("problem", True)


def test_an_agents_own_settings_are_checked() -> None:
    level, line = fault(look("system", system={"nonsense": 1}))
    assert level == "problem"
    assert "agents.system.nonsense" in line


def test_a_worker_without_agents_is_found() -> None:
    assert fault(look())[0] == "warning"


# Brokers ----------------------------------------------------------------------------------


def said(**more: Any) -> dict[str, Any]:
    """Return the status of a broker that is well, but for ``more``."""
    well = {"version": __version__, "pid": 1, "workers": 2, "plain_workers": 0, "draining": False}
    return {**well, "clock_s": 1000.0, "limits": {}, "usage": {}, **more}


def told(**more: Any) -> list[Finding]:
    asked = brokers.Asked(success(said(**more)), before=999.9, after=1000.1)
    return list(brokers.admin("tcp://a:1", asked))


def test_a_broker_that_is_well_is_said_so() -> None:
    assert faults(told()) == []


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"version": "0.0.1"}, "is version 0.0.1, and this is"),
        ({"workers": 0}, "no worker is registered"),
        ({"draining": True}, "the broker is draining"),
        ({"clock_s": 1030.0}, "30 s ahead of this machine's"),
        ({"clock_s": 970.0}, "30 s behind this machine's"),
        (
            {"limits": {"queue_length": 10}, "usage": {"queue_length": {"now": 8, "peak": 8}}},
            "broker.queue_length: 8 of 10 are used",
        ),
        (
            {"limits": {"max_files": 65536}, "usage": {"max_files": {"now": 90, "allowed": 100}}},
            "broker.max_files: 90 of 100 are used",
        ),
    ],
)
def test_what_a_broker_tells_of_itself_is_judged(status: dict[str, Any], text: str) -> None:
    level, line = fault(told(**status))
    assert (level, text in line) == ("warning", True)


@pytest.mark.parametrize(
    "status",
    [
        {"workers": 0, "plain_workers": 1},
        {"clock_s": None},
        {"limits": {"queue_length": 10}, "usage": {"queue_length": {"now": 7, "peak": 10}}},
        {"limits": {"remember_bytes": 10}, "usage": {"remember_bytes": {"now": 10}}},
        {"limits": {}, "usage": {"other": 3}},
    ],
)
def test_what_is_no_fault_is_not_told_as_one(status: dict[str, Any]) -> None:
    assert faults(told(**status)) == []


def test_a_broker_that_does_not_answer_is_a_problem() -> None:
    asked = brokers.Asked(failure("unreachable", "Nobody there; go."), 0.0, 0.0)
    level, line = fault(brokers.admin("tcp://a:1", asked))
    assert level == "problem"
    assert line == "admin: Nobody there; start the broker, or correct client.admin"


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("bad_request", "ok"),
        ("unauthorized", "ok"),
        ("shutting_down", "ok"),
        ("unreachable", "problem"),
        ("refused", "problem"),
        ("timeout", "problem"),
    ],
)
def test_any_answer_of_a_broker_shows_that_it_is_there(
    client: Client, code: str, level: str
) -> None:
    client.replies[""] = failure(code, "It said so.")
    assert brokers.frontend(ClientSettings(), "tcp://a:1").level == level
    assert client.made[0].arguments == ("tcp://a:1",)
    assert client.made[0].options["retries"] == 1


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:1", "ipc:///nowhere/at/all", "tcp://x"])
def test_a_backend_where_nobody_listens_is_a_problem(endpoint: str) -> None:
    level, line = fault(brokers.backends(WorkerSettings(backends=[endpoint])))
    assert level == "problem"
    assert f"nothing listens at {endpoint}" in line


# The verb ---------------------------------------------------------------------------------


def test_only_the_areas_that_are_named_are_examined(vpoller: Vpoller) -> None:
    outcome = vpoller("doctor", "machine", "agents", "-o", "json")
    assert outcome.code == 0
    assert {found["area"] for found in outcome.data} == {"machine", "agents"}


def test_each_finding_is_one_line(vpoller: Vpoller, client: Client) -> None:
    client.replies[""] = client.replies["status"] = failure("unreachable", "Nobody there; go.")
    outcome = vpoller("doctor", "brokers", "-o", "table")
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert len(lines) == 3
    assert lines[0] == (
        "problem  brokers        clients: Nobody there; start the broker, or correct "
        "client.endpoints"
    )


def test_warnings_alone_are_no_failure(vpoller: Vpoller, tmp_path: Path) -> None:
    (tmp_path / "vpoller.toml").write_text("[agents.vsphere]\nx = 1\n")
    outcome = vpoller("doctor", "configuration")
    assert [found["level"] for found in outcome.data] == ["ok", "warning"]
    assert outcome.code == 0


def test_a_check_that_fails_itself_is_a_finding(
    vpoller: Vpoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> list[Finding]:
        raise OSError("no such device")

    monkeypatch.setattr(machine, "check", broken)
    outcome = vpoller("doctor", "machine", "configuration")
    assert outcome.code == 1
    assert outcome.data[0]["text"] == "this could not be examined: OSError: no such device"
    assert len(outcome.data) == 2


def test_findings_are_data(vpoller: Vpoller) -> None:
    (found, *_) = vpoller("doctor", "configuration").data
    assert msgspec.convert(found, Finding).level == "ok"
