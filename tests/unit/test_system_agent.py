"""The agent ``system``, held against what the machine itself says."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from vpoller_like.agent import AgentHost
from vpoller_like.errors import ConfigError
from workers.system import SystemAgent
from workers.system.baseline import WINDOW, Baseline
from workers.system.processes import ProcessMeter


@pytest.fixture(scope="module")
def agent() -> SystemAgent:
    return SystemAgent()


def result(envelope: dict[str, Any]) -> Any:
    assert envelope["success"] == 0, envelope
    return envelope["result"]


def fault(envelope: dict[str, Any]) -> str:
    assert envelope["error"]["code"] == "invalid_params", envelope
    text: str = envelope["msg"]
    return text


def spawn(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = spawn("-c", "print('up', flush=True); import time; time.sleep(600)", "two words")
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


# Who it is -----------------------------------------------------------------------------


def test_it_answers_to_the_nodes_name() -> None:
    assert SystemAgent().hostnames == [platform.node()]


def test_its_name_can_be_set() -> None:
    (agent,) = SystemAgent.from_config({"hostname": "db1"})
    assert agent.hostnames == ["db1"]
    assert result(agent.system_status())["host"]["name"] == "db1"


def test_another_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"agents\.system\.hostnam: .* did you mean hostname"):
        list(SystemAgent.from_config({"hostnam": "db1"}))


def test_all_but_sleep_are_safe_to_run_twice(agent: SystemAgent) -> None:
    (offer,) = AgentHost([agent]).offers()
    safe = {method.name: method.retry_safe for method in offer.methods}
    assert safe == {
        "system.status": True,
        "system.process.list": True,
        "system.disk.get": True,
        "system.echo": True,
        "system.sleep": False,
    }
    assert all(method.doc for method in offer.methods)
    assert all(param.doc for method in offer.methods for param in method.params)


# system.status -------------------------------------------------------------------------


def test_status_has_every_part(agent: SystemAgent) -> None:
    assert list(result(agent.system_status())) == [
        "host",
        "cpu",
        "memory",
        "disks",
        "networks",
        "io",
        "processes",
    ]


def test_status_tells_of_this_machine(agent: SystemAgent) -> None:
    status = result(agent.system_status())
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    total = next(line for line in meminfo if line.startswith("MemTotal:"))
    assert status["memory"]["total_bytes"] == int(total.split()[1]) * 1024
    assert status["host"]["release"] == os.uname().release
    assert status["cpu"]["cores"] == len(status["cpu"]["percent_per_core"]) == os.cpu_count()
    assert {found["name"] for found in status["networks"]} == set(psutil.net_if_stats())
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert status["host"]["uptime_seconds"] == pytest.approx(uptime, abs=30)


def test_status_is_within_bounds(agent: SystemAgent) -> None:
    status = result(agent.system_status())
    percents = [status["cpu"]["percent"], *status["cpu"]["percent_per_core"]]
    percents += [status["memory"]["percent"], *(disk["percent"] for disk in status["disks"])]
    assert all(0 <= percent <= 100 for percent in percents)
    assert status["processes"]["total"] == sum(status["processes"]["by_status"].values()) > 1


def test_status_has_the_root_file_system(agent: SystemAgent) -> None:
    root = next(disk for disk in result(agent.system_status())["disks"] if disk["path"] == "/")
    found = os.statvfs("/")
    assert root["total_bytes"] == found.f_blocks * found.f_frsize


def test_status_has_loopback_with_its_address(agent: SystemAgent) -> None:
    networks = {found["name"]: found for found in result(agent.system_status())["networks"]}
    addresses = [address["address"] for address in networks["lo"]["addresses"]]
    assert networks["lo"]["up"]
    assert "127.0.0.1" in addresses


def test_status_does_not_wait_for_a_sample(
    agent: SystemAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slept(_seconds: float) -> None:
        raise AssertionError("status must not sleep")

    monkeypatch.setattr(time, "sleep", slept)
    result(agent.system_status())


def test_a_machine_that_hides_its_counters_has_none(
    agent: SystemAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise FileNotFoundError("/proc/diskstats")

    monkeypatch.setattr(psutil, "disk_io_counters", refuse)
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: None)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    status = result(agent.system_status())
    assert status["io"] == {"disks": [], "networks": []}
    assert status["cpu"]["frequency_mhz"] is None


def mount(path: str, device: str, fstype: str = "ext4", opts: str = "rw") -> SimpleNamespace:
    return SimpleNamespace(mountpoint=path, device=device, fstype=fstype, opts=opts)


def test_a_containers_mounts_are_its_root_and_each_device_once(
    agent: SystemAgent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "hosts"
    file.touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "twice").mkdir()
    physical = [
        mount(str(file), "/dev/sda1"),
        mount(str(tmp_path / "twice"), "/dev/sdb1"),
        mount(str(tmp_path / "data"), "/dev/sdb1", opts="ro,relatime"),
        mount(str(tmp_path), "/dev/loop0", "squashfs"),
        mount(str(tmp_path / "vanished"), "/dev/sdc1"),
    ]
    overlay = mount("/", "overlay", "overlay")

    def partitions(all: bool) -> list[SimpleNamespace]:
        return [overlay, *physical] if all else physical

    monkeypatch.setattr(psutil, "disk_partitions", partitions)
    disks = result(agent.system_status())["disks"]
    assert [(disk["path"], disk["fstype"], disk["read_only"]) for disk in disks] == [
        ("/", "overlay", False),
        (str(tmp_path / "data"), "ext4", True),
    ]


# The baseline --------------------------------------------------------------------------


def test_a_baseline_compares_with_a_sample_that_is_old_enough() -> None:
    now = 100.0
    baseline = Baseline("first", lambda: now)
    compared = []
    for step in (0.1, WINDOW, 0.1, WINDOW, 60.0, 0.1):
        now += step
        before, present = baseline.look(f"at {now:.1f}")
        assert present.value == f"at {now:.1f}"
        compared.append((before.value, round(now - before.at, 1)))
    assert compared == [
        ("first", 0.1),
        ("first", 1.1),
        ("first", 1.2),
        ("at 101.1", 1.1),
        ("at 102.2", 60.0),
        ("at 102.2", 60.1),
    ]


def test_a_busy_core_shows() -> None:
    agent = SystemAgent()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        pass
    cpu = result(agent.system_status())["cpu"]
    assert max(cpu["percent_per_core"]) > 10
    mine = [found for found in processes(agent) if found["pid"] == os.getpid()]
    assert mine[0]["cpu_percent"] > 10


def test_a_process_is_measured_from_one_look_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, used = 0.0, 8.0
    started = time.time() - 100

    def seen(self: psutil.Process, attrs: Any, ad_value: Any) -> dict[str, Any]:
        times = SimpleNamespace(user=used, system=0.0)
        known = {"pid": self.pid, "create_time": started, "cpu_times": times}
        return {**dict.fromkeys(attrs, ad_value), **known}

    monkeypatch.setattr(psutil.Process, "as_dict", seen)
    monkeypatch.setattr(psutil, "pids", lambda: [os.getpid()])
    meter = ProcessMeter(lambda: now)
    now = 1.0
    assert meter.read()[0].cpu_percent == pytest.approx(8, abs=1), "since the process's start"
    now, used = 3.0, 9.0
    assert meter.read()[0].cpu_percent == 50.0, "since the look before"


# system.process.list -------------------------------------------------------------------


def processes(agent: SystemAgent, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = result(agent.system_process_list(params))
    return found


def test_a_process_is_listed_as_it_is(agent: SystemAgent, child: subprocess.Popen[bytes]) -> None:
    (found,) = [process for process in processes(agent) if process["pid"] == child.pid]
    status = Path(f"/proc/{child.pid}/status").read_text()
    assert found["ppid"] == os.getpid()
    assert f"Name:\t{found['name']}\n" in status
    assert found["user"] == psutil.Process().username()
    assert found["status"] == "sleeping"
    assert found["threads"] == 1
    assert found["rss_bytes"] > 1_000_000
    assert found["command_line"].endswith("'two words'")
    started = datetime.fromisoformat(found["create_time"])
    assert abs(datetime.now(UTC) - started) < timedelta(minutes=2)


def test_processes_come_by_their_ids(agent: SystemAgent) -> None:
    pids = [found["pid"] for found in processes(agent)]
    assert pids == sorted(pids)
    assert os.getpid() in pids


def test_processes_can_be_sorted_by_use(agent: SystemAgent) -> None:
    for sort, field in (("memory", "rss_bytes"), ("cpu", "cpu_percent")):
        used = [found[field] for found in processes(agent, sort=sort)]
        assert used == sorted(used, reverse=True)


def test_processes_can_be_limited(agent: SystemAgent) -> None:
    assert len(processes(agent, limit=1)) == 1
    assert len(processes(agent, limit=None)) > 1


def test_processes_can_be_filtered_by_name_in_any_case(agent: SystemAgent) -> None:
    name = psutil.Process().name()
    found = processes(agent, name=name.upper())
    assert os.getpid() in [process["pid"] for process in found]
    assert all(name.lower() in process["name"].lower() for process in found)
    assert processes(agent, name="no process is called so") == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"sort": "size"},
            'sort: invalid enum value \'size\'; expected "cpu" or "memory" or "pid"',
        ),
        ({"limit": 0}, "limit: expected int >= 1"),
        ({"name": 5}, "name: expected str, got int"),
    ],
)
def test_a_wrong_wish_is_refused(agent: SystemAgent, params: dict[str, Any], words: str) -> None:
    assert fault(agent.system_process_list(params)) == words


def test_a_process_that_vanishes_is_left_out(
    agent: SystemAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = spawn("-c", "pass")
    ended.communicate()
    pids = [*psutil.pids(), ended.pid]
    monkeypatch.setattr(psutil, "pids", lambda: pids)
    assert ended.pid not in [found["pid"] for found in processes(agent)]


def test_a_process_that_hides_everything_is_listed_all_the_same(
    agent: SystemAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(self: psutil.Process, attrs: Any, ad_value: Any) -> dict[str, Any]:
        return {**dict.fromkeys(attrs, ad_value), "pid": self.pid}

    monkeypatch.setattr(psutil.Process, "as_dict", hidden)
    found = processes(agent)
    mine = next(process for process in found if process["pid"] == os.getpid())
    assert (mine["user"], mine["ppid"], mine["command_line"]) == ("", None, "")


def test_a_zombie_is_listed(agent: SystemAgent) -> None:
    process = spawn("-c", "pass")
    deadline = time.monotonic() + 30
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    found = {item["pid"]: item for item in processes(agent)}
    process.communicate()
    assert found[process.pid]["status"] == "zombie"


def test_a_command_line_that_is_no_text_is_listed(agent: SystemAgent) -> None:
    script = b"print('up', flush=True); import time; time.sleep(600)"
    process = subprocess.Popen([sys.executable.encode(), b"-c", script, b"\xff\xfe"], stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        found = {item["pid"]: item for item in processes(agent)}
    finally:
        process.kill()
        process.communicate()
    assert "\ufffd\ufffd" in found[process.pid]["command_line"]


def test_threads_may_list_at_once(agent: SystemAgent) -> None:
    def look(_: int) -> bool:
        listed = any(found["pid"] == os.getpid() for found in processes(agent))
        return listed and result(agent.system_status())["processes"]["total"] > 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(24)))


# system.disk.get -----------------------------------------------------------------------


def test_a_disk_is_found_by_its_mount_point(agent: SystemAgent) -> None:
    disk = result(agent.system_disk_get({"path": "/"}))
    found = os.statvfs("/")
    assert (disk["path"], disk["total_bytes"]) == ("/", found.f_blocks * found.f_frsize)
    assert disk["fstype"]
    assert disk["device"]


def test_a_disk_is_found_by_any_path_on_it(agent: SystemAgent, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/proc/self/status")
    assert result(agent.system_disk_get({"path": "/proc/self/status"}))["path"] == "/proc"
    assert result(agent.system_disk_get({"path": str(link)}))["path"] == "/proc"


def test_a_mount_point_is_not_taken_for_its_neighbour(
    agent: SystemAgent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("data", "data2"):
        (tmp_path / name).mkdir()
    mounts = [mount("/", "/dev/sda1"), mount(str(tmp_path / "data"), "/dev/sdb1")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    found = [
        result(agent.system_disk_get({"path": str(tmp_path / name)}))["device"]
        for name in ("data", "data2")
    ]
    assert found == ["/dev/sdb1", "/dev/sda1"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "path: missing"),
        ({"path": None}, "path: missing"),
        ({"path": "/no/such/place"}, "path: /no/such/place: No such file or directory"),
        ({"path": "var"}, "path: must be absolute, such as /var, got 'var'"),
        ({"path": "/a\0b"}, "embedded null"),
    ],
)
def test_a_path_that_is_none_is_refused(
    agent: SystemAgent, params: dict[str, Any], words: str
) -> None:
    assert words in fault(agent.system_disk_get(params))


# system.echo and system.sleep ----------------------------------------------------------


@pytest.mark.parametrize("data", [None, True, 0, -1.5, "é", [], {"a": [{"b": None}]}])
def test_echo_sends_back_what_it_gets(agent: SystemAgent, data: Any) -> None:
    assert result(agent.system_echo({"data": data})) == data


def test_echo_of_nothing_is_null(agent: SystemAgent) -> None:
    assert result(agent.system_echo()) is None


def test_sleep_sleeps(agent: SystemAgent) -> None:
    started = time.monotonic()
    assert result(agent.system_sleep({"seconds": 0.2})) == {"slept": 0.2}
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "seconds: missing"),
        ({"seconds": "long"}, "seconds: expected float, got str"),
        ({"seconds": -1}, "seconds: expected float >= 0.0"),
        ({"seconds": 3601}, "seconds: expected float <= 3600.0"),
    ],
)
def test_sleep_needs_a_sensible_time(
    agent: SystemAgent, params: dict[str, Any], words: str
) -> None:
    assert fault(agent.system_sleep(params)) == words


def test_the_longest_sleep_is_within_its_timeout() -> None:
    assert SystemAgent.system_sleep.method().timeout_ms > 3600 * 1000
