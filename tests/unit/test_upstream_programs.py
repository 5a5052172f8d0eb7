"""``vpoller-client``, ``-proxy`` and ``-worker``: flags, messages and exit codes."""

from __future__ import annotations

import json
import platform
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import FakeClient, Outcome, Vpoller, client, failure, success, vpoller
from tests.support.inifile import FULL, LOCAL
from vpoller_like.cli.upstream import ini, proxy, worker
from vpoller_like.cli.upstream.client import main as client_main
from vpoller_like.config import Settings

__all__ = ["client", "vpoller"]

Client = type[FakeClient]
#: What vPoller's client sends, whatever is asked for.
UNSET = dict.fromkeys(
    (
        "name",
        "username",
        "password",
        "key",
        "properties",
        "counter-name",
        "instance",
        "max-sample",
        "perf-interval",
        "helper",
    )
)


@pytest.fixture(autouse=True)
def _no_file_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ini, "DEFAULT_FILE", str(tmp_path / "none.conf"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Keep the settings that brokers and workers are started with, and start none."""
    kept: list[Settings] = []

    def keep_broker(settings: Any, _keys: Any) -> int:
        kept.append(Settings(broker=settings))
        return 0

    def keep_worker(settings: Settings) -> int:
        kept.append(settings)
        return 0

    monkeypatch.setattr("vpoller_like.broker.run_broker", keep_broker)
    monkeypatch.setattr("vpoller_like.worker.run_worker", keep_worker)
    return kept


# vpoller-client -------------------------------------------------------------------------


def ask(vpoller: Vpoller, *options: str) -> Outcome:
    return vpoller.run(client_main, "-m", "vm.get", "-V", "vc01", *options)


def test_all_of_vpollers_keys_are_sent(vpoller: Vpoller, client: Client) -> None:
    ask(vpoller)
    (made,) = client.made
    assert made.sent == [{"method": "vm.get", "hostname": "vc01", **UNSET}]
    assert made.options == {"timeout": 10_000, "retries": 3}
    assert made.arguments == (["tcp://127.0.0.1:10123"],)


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["-n", "vm01"], {"name": "vm01"}),
        (["--name=vm01"], {"name": "vm01"}),
        (["-p", "a.b,c"], {"properties": ["a.b", "c"]}),
        (["--properties", "a"], {"properties": ["a"]}),
        (["-p", ""], {"properties": None}),
        (["-k", "/var", "-c", "cpu.usage"], {"key": "/var", "counter-name": "cpu.usage"}),
        (["--counter", "12", "-s", "1"], {"counter-name": "12", "max-sample": "1"}),
        (["-i", "0", "-T", "300"], {"instance": "0", "perf-interval": "300"}),
        (["-U", "root", "-P", "s3cret"], {"username": "root", "password": "s3cret"}),
        (["-H", "vpoller.helpers.csvhelper"], {"helper": "vpoller.helpers.csvhelper"}),
        (["--perf-interval", "Past day", "--key", "x"], {"perf-interval": "Past day", "key": "x"}),
        (
            ["--guest-username=u", "--guest-password=p", "--max-sample=2", "--instance=i"],
            {"username": "u", "password": "p", "max-sample": "2", "instance": "i"},
        ),
    ],
)
def test_its_options_are_sent_by_vpollers_keys(
    vpoller: Vpoller, client: Client, options: list[str], sent: dict[str, Any]
) -> None:
    assert ask(vpoller, *options).code == 0
    assert client.made[0].sent == [{"method": "vm.get", "hostname": "vc01", **UNSET, **sent}]


def test_its_endpoint_time_and_tries_are_used(vpoller: Vpoller, client: Client) -> None:
    ask(vpoller, "-e", "tcp://a:1", "-t", "70", "-r", "2")
    assert client.made[0].arguments == (["tcp://a:1"],)
    assert client.made[0].options == {"timeout": 70, "retries": 2}


def test_a_configured_broker_and_key_are_used(
    vpoller: Vpoller, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPOLLER_CLIENT_ENDPOINTS", "tcp://b:2")
    monkeypatch.setenv("VPOLLER_CLIENT_SERVER_KEY", "x" * 40)
    ask(vpoller)
    assert client.made[0].arguments == (["tcp://b:2"],)
    assert client.made[0].options["server_key"] == "x" * 40


def test_a_reply_is_printed_as_vpoller_does(vpoller: Vpoller, client: Client) -> None:
    client.replies["vm.get"] = success([{"name": "ä"}]) | {"meta": {"id": "1"}}
    outcome = ask(vpoller)
    assert outcome.out == '{"success": 0, "msg": "done", "result": [{"name": "ä"}]}\n'
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("text", ["1", '{"data":[]}', "name,size\r\nvm,1\r\n", "czabbix\0"])
def test_a_helpers_text_is_printed_as_text(vpoller: Vpoller, client: Client, text: str) -> None:
    client.replies["vm.get"] = success(text)
    outcome = ask(vpoller, "-H", "zabbix")
    assert (outcome.code, outcome.out) == (0, f"{text}\n")


def test_a_text_of_vpollers_own_worker_is_printed_as_text(vpoller: Vpoller, client: Client) -> None:
    bare = failure("task_failed", "no envelope", reason="malformed_reply", reply="poweredOn")
    client.replies["vm.get"] = bare
    outcome = ask(vpoller, "-H", "vpoller.helpers.zabbix")
    assert (outcome.code, outcome.out, outcome.err) == (0, "poweredOn\n", "")
    assert ask(vpoller).code == 1  # No helper was asked for: it is no text that is wanted.


def test_a_helper_that_was_not_reached_is_told_as_such(vpoller: Vpoller, client: Client) -> None:
    client.replies["vm.get"] = failure("task_failed", "Cannot find object vm01")
    outcome = ask(vpoller, "-H", "zabbix")
    assert (outcome.code, outcome.out) == (1, "Cannot find object vm01\n")
    client.replies["vm.get"] = failure("timeout", "Did not receive response, aborting...")
    outcome = ask(vpoller, "-H", "zabbix")
    assert (outcome.code, json.loads(outcome.out)["success"]) == (4, 1)


@pytest.mark.parametrize(
    ("code", "details", "exit_code"),
    [
        ("task_failed", {}, 1),
        ("invalid_params", {}, 1),
        ("unreachable", {}, 3),
        ("timeout", {}, 4),
        ("deadline", {}, 4),
        ("unknown_host", {}, 5),
        ("task_failed", {"reason": "not_found"}, 5),
        ("unauthorized", {}, 6),
    ],
)
def test_a_failure_is_printed_and_is_the_exit_code(
    vpoller: Vpoller, client: Client, code: str, details: dict[str, Any], exit_code: int
) -> None:
    client.replies["vm.get"] = failure(code, "It failed.", **details)
    outcome = ask(vpoller)
    assert outcome.code == exit_code
    assert json.loads(outcome.out)["msg"] == "It failed."
    assert outcome.err == "Error: It failed.\n"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-m", "about"],
        ["-V", "vc01"],
        ["-m", "about", "-V", "vc01", "-t", "soon"],
        ["-m", "about", "-V", "vc01", "-r", "0"],
        ["-m", "about", "-V", "vc01", "-x"],
        ["-m", "about", "-V", "vc01", "-e", "localhost"],
        ["-m", "about", "-V", "vc01", "-e", ""],
    ],
)
def test_wrong_usage_is_2_and_sends_nothing(
    vpoller: Vpoller, client: Client, options: list[str]
) -> None:
    outcome = vpoller.run(client_main, *options)
    assert (outcome.code, outcome.out, client.made) == (2, "", [])
    assert "Error: " in outcome.err


def test_a_guests_password_is_in_no_log(vpoller: Vpoller, client: Client) -> None:
    client.replies["vm.get"] = ConnectionError("told of s3cret-word")
    outcome = ask(vpoller, "-d", "-U", "root", "-P", "s3cret-word")
    assert "'username': 'root'" in outcome.err
    assert "s3cret-word" not in outcome.err


# vpoller-proxy --------------------------------------------------------------------------


def written(place: Path, text: str, **values: str) -> str:
    (place / "vpoller.conf").write_text(text.format(**values))
    return str(place / "vpoller.conf")


def closed(place: Path) -> str:
    ends = {
        "frontend": "tcp://127.0.0.1:1",
        "backend": "tcp://127.0.0.1:2",
        "mgmt": "tcp://[::1]:3",
    }
    return written(place, LOCAL, **ends)


def test_the_proxy_is_a_broker_at_the_files_endpoints(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path
) -> None:
    outcome = vpoller.run(proxy.main, "-f", closed(tmp_path), "start")
    assert outcome.code == 0
    (settings,) = started
    assert settings.broker.frontend == "tcp://127.0.0.1:1"
    assert settings.broker.backend == "tcp://127.0.0.1:2"
    assert settings.broker.admin == "tcp://[::1]:3"
    notices = outcome.err.splitlines()
    assert len(notices) == 3
    assert all(line.startswith(f"{tmp_path / 'vpoller.conf'}:") for line in notices)


def test_the_environment_counts_more_than_the_file(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vpoller.toml").write_text(
        '[broker]\nfrontend = "tcp://127.0.0.1:9"\nplain = "tcp://127.0.0.1:8"\n'
    )
    monkeypatch.setenv("VPOLLER_BROKER_BACKEND", "tcp://127.0.0.1:7")
    vpoller.run(proxy.main, "-f", closed(tmp_path), "start")
    broker = started[0].broker
    assert broker.backend == "tcp://127.0.0.1:7"
    assert broker.frontend == "tcp://127.0.0.1:1"  # The file was named, and goes before TOML.
    assert broker.plain == "tcp://127.0.0.1:8"


def test_open_endpoints_are_refused_with_each_way_out(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path
) -> None:
    path = written(tmp_path, FULL, db="none.db")
    outcome = vpoller.run(proxy.main, "-f", path, "start")
    assert (outcome.code, started) == (2, [])
    for line, port in ((2, 10123), (3, 10124), (4, 9999)):
        assert f"tcp://*:{port} ({path}:{line})" in outcome.err
        assert f"tcp://127.0.0.1:{port}" in outcome.err
    for way in ("vpoller keys new broker", "VPOLLER_BROKER_KEY=broker", "allow_plain"):
        assert way in outcome.err


def test_the_broker_of_a_key_may_be_open(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPOLLER_BROKER_KEY", "broker")
    assert vpoller.run(proxy.main, "-f", written(tmp_path, FULL, db="-"), "start").code == 0
    assert started[0].broker.frontend == "tcp://*:10123"


def test_an_open_frontend_is_for_the_networks_that_may(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPOLLER_BROKER_ALLOW_PLAIN", "192.0.2.7,127.0.0.1")
    path = written(tmp_path, "[proxy]\nfrontend = tcp://*:10123\n")
    outcome = vpoller.run(proxy.main, "-f", path, "start")
    assert "tcp://*:10123 is broker.open_frontend: clients from 192.0.2.7, 127.0.0.1" in outcome.err
    broker = started[0].broker
    assert broker.open_frontend == "tcp://*:10123"
    assert broker.frontend == "tcp://127.0.0.1:10126"
    assert broker.allow_plain == ["192.0.2.7", "127.0.0.1"]


def test_without_a_file_the_settings_are_our_own(vpoller: Vpoller, started: list[Settings]) -> None:
    outcome = vpoller.run(proxy.main, "start")
    assert outcome.code == 0
    assert started == [Settings()]
    assert "the settings are those of vpoller.toml" in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["restart"],
        ["start", "stop"],
        ["-f", "none-here.conf", "start"],
        ["-e", "tcp://127.0.0.1:1", "start"],
        ["-f", "x", "stop"],
        ["-c", "2", "start"],
    ],
)
def test_wrong_usage_of_the_proxy_is_2(
    vpoller: Vpoller, started: list[Settings], words: list[str]
) -> None:
    outcome = vpoller.run(proxy.main, *words)
    assert (outcome.code, started) == (2, [])
    assert "Error: " in outcome.err


@pytest.mark.parametrize("program", [proxy.main, worker.main])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("frontend = tcp://*:1\n", "is no INI file that vPoller could read"),
        ("[proxy]\nmgmt = 9999\n[worker]\nproxy = 10124\n", "expected an endpoint such as tcp://"),
    ],
)
def test_a_bad_file_is_2_and_starts_nothing(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path, program: Any, text: str, fault: str
) -> None:
    path = written(tmp_path, text)
    outcome = vpoller.run(program, "-f", path, "start")
    assert (outcome.code, started) == (2, [])
    error = outcome.err.splitlines()[-1]
    assert error.startswith("Error: ")
    assert path in error
    assert fault in error


def test_the_proxys_status_has_vpollers_words(vpoller: Vpoller, client: Client) -> None:
    endpoints = {door: f"tcp://{door}:1" for door in ("frontend", "backend", "plain", "admin")}
    client.replies["status"] = success({"draining": False, "endpoints": endpoints, "pid": 7})
    outcome = vpoller.run(proxy.main, "-e", "tcp://a:1", "status")
    assert client.made[0].arguments == ("tcp://a:1",)
    assert client.made[0].options == {"timeout": 1000, "retries": 3}
    assert outcome.code == 0
    assert outcome.data["result"] == {
        "status": "running",
        "mgmt": "tcp://admin:1",
        "frontend": "tcp://frontend:1",
        "backend": "tcp://backend:1",
        "draining": False,
        "endpoints": endpoints,
        "pid": 7,
    }


def test_the_proxy_is_stopped_at_its_admin_endpoint(vpoller: Vpoller, client: Client) -> None:
    assert vpoller.run(proxy.main, "-e", "tcp://a:1", "stop").code == 0
    assert client.made[0].sent == [{"method": "shutdown"}]


@pytest.mark.parametrize("program", [proxy.main, worker.main])
@pytest.mark.parametrize("action", ["stop", "status"])
def test_nobody_there_is_3(vpoller: Vpoller, client: Client, program: Any, action: str) -> None:
    nobody = failure("unreachable", "Did not receive response, aborting...", detail="Nobody.")
    client.replies |= dict.fromkeys(("shutdown", "status", "workers", "worker.drain"), nobody)
    outcome = vpoller.run(program, "-e", "tcp://a:1", action)
    assert outcome.code == 3
    assert outcome.data["msg"] == "Did not receive response, aborting..."
    assert "Error: Nobody." in outcome.err


# vpoller-worker -------------------------------------------------------------------------


def test_the_worker_serves_the_files_proxy(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path
) -> None:
    outcome = vpoller.run(worker.main, "-c", "3", "-f", closed(tmp_path), "start")
    assert outcome.code == 0
    settings = started[0].worker
    assert settings.backends == ["tcp://127.0.0.1:2"]
    assert settings.processes == 3
    assert settings.agents == ["vsphere"]
    assert "key" not in outcome.err


def test_a_worker_whose_file_names_no_tasks_serves_vsphere(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path
) -> None:
    vpoller.run(worker.main, "-f", written(tmp_path, "[worker]\n"), "start")
    assert started[0].worker.agents == ["vsphere"]
    (tmp_path / "vpoller.toml").write_text('[worker]\nagents = ["system"]\n')
    vpoller.run(worker.main, "-f", written(tmp_path, "[worker]\n"), "start")
    assert started[1].worker.agents == ["system"]


def test_a_worker_for_tasks_that_nobody_has_does_not_start(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path
) -> None:
    path = written(tmp_path, "[worker]\ntasks = our.tasks\n")
    outcome = vpoller.run(worker.main, "-f", path, "start")
    assert (outcome.code, started) == (2, [])
    assert f"Error: {path}:2: [worker] tasks = our.tasks has no counterpart" in outcome.err


def test_a_worker_of_a_far_proxy_is_told_of_keys(
    vpoller: Vpoller, started: list[Settings], tmp_path: Path
) -> None:
    path = written(tmp_path, "[worker]\nproxy = tcp://vpoller.example.org:10124\n")
    outcome = vpoller.run(worker.main, "-f", path, "start")
    assert started[0].worker.backends == ["tcp://vpoller.example.org:10124"]
    assert "set worker.key and worker.server_key" in outcome.err


def test_the_workers_status_is_the_brokers_word(vpoller: Vpoller, client: Client) -> None:
    node = platform.node()
    ours = [{"label": f"{node}/{n}", "pid": n, "state": "ready"} for n in (0, 1)]
    others = [{"label": f"{node}x/0", "pid": 9, "state": "ready"}]
    client.replies["workers"] = success(ours + others)
    outcome = vpoller.run(worker.main, "-e", "tcp://a:1", "status")
    assert outcome.code == 0
    assert outcome.data["result"] == {
        "status": "running",
        "hostname": node,
        "concurrency": 2,
        "workers": ours,
    }


def test_a_worker_that_is_not_registered_is_not_found(vpoller: Vpoller, client: Client) -> None:
    client.replies["workers"] = success([])
    outcome = vpoller.run(worker.main, "-e", "tcp://a:1", "status")
    assert (outcome.code, outcome.data["success"]) == (5, 1)
    assert f"no worker {platform.node()} is registered at tcp://a:1" in outcome.err


def test_the_worker_is_stopped_by_its_name(
    vpoller: Vpoller, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPOLLER_WORKER_NAME", "node7")
    assert vpoller.run(worker.main, "-e", "tcp://a:1", "stop").code == 0
    assert client.made[0].sent == [{"method": "worker.drain", "name": "node7"}]


def test_help_names_each_of_vpollers_flags(vpoller: Vpoller) -> None:
    flags = {
        client_main: "-h -v -d -m -V -n -p -r -t -e -k -c -s -i -T -U -P -H",
        proxy.main: "-h -v -d -f -e",
        worker.main: "-h -v -d -c -f -e",
    }
    for program, words in flags.items():
        outcome = vpoller.run(program, "--help")
        assert outcome.code == 0
        for flag in words.split():
            assert f"  {flag}, --" in outcome.out
    assert vpoller.run(proxy.main, "-v").out.strip()[0].isdigit()


@pytest.mark.parametrize("name", ["client", "proxy", "worker"])
def test_each_is_a_console_script(vpoller: Vpoller, name: str) -> None:
    script = entry_points(group="console_scripts")[f"vpoller-{name}"].load()
    assert vpoller.run(script, "--help").out.startswith(f"Usage: vpoller-{name} ")
