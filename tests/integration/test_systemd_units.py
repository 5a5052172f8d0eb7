"""The units are such as systemd takes, and fit the settings' defaults."""

from __future__ import annotations

import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.support.fabric import ROOT
from tests.support.tools import require_tool
from vpoller_like.config import BrokerSettings, ExporterSettings, Settings, WorkerSettings
from vpoller_like.gateway.exporter import CONNECTIONS

UNITS = ROOT / "etc" / "systemd"
NAMES = ("vpoller-broker.service", "vpoller-worker@.service", "vpoller-exporter.service")


def service(name: str) -> dict[str, str]:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return dict(parser["Service"])


@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    analyze = require_tool("systemd-analyze", "systemd")
    # It complains of a program that is not there, and verifies instances only.
    unit = tmp_path / name.replace("@", "@system")
    unit.write_text((UNITS / name).read_text().replace("/opt/vpoller/bin/vpoller", "/bin/true"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "settings"), [(NAMES[0], BrokerSettings()), (NAMES[1], WorkerSettings())]
)
def test_a_stop_leaves_time_to_drain(name: str, settings: BrokerSettings | WorkerSettings) -> None:
    unit = service(name)
    assert int(unit["TimeoutStopSec"]) * 1000 > settings.drain_ms + 5000
    assert (unit["KillMode"], unit["Restart"]) == ("mixed", "on-failure")


def test_a_stop_leaves_time_to_finish_a_scrape() -> None:
    unit = service(NAMES[2])
    assert int(unit["TimeoutStopSec"]) * 1000 > ExporterSettings().timeout_ms + 5000
    assert (unit["KillMode"], unit["Restart"]) == ("mixed", "on-failure")


def test_an_exporter_has_files_for_all_its_connections() -> None:
    assert int(service(NAMES[2])["LimitNOFILE"]) > CONNECTIONS + 256


def test_the_wall_of_memory_and_the_files_fit_the_settings() -> None:
    unit = service(NAMES[0])
    limits = Settings().broker
    # Each of three doors has its own replies that nobody reads; running tasks are reckoned at
    # as much as waiting ones, and an idle connection at 50 KiB.
    used = 2 * limits.queue_bytes + limits.remember_bytes + 3 * limits.unsent_bytes
    used += limits.max_files * (50 << 10)
    assert used < int(unit["MemoryMax"].removesuffix("G")) << 30
    assert int(unit["LimitNOFILE"]) >= limits.max_files
    assert unit["ExecReload"].startswith("/bin/kill -HUP")


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    unit = service(name)
    assert unit["CapabilityBoundingSet"] == ""
    assert unit["ProtectSystem"] == "strict"
    assert {unit[key] for key in ("NoNewPrivileges", "PrivateTmp", "ProtectHome")} == {"yes"}
    assert (unit["LimitCORE"], unit["User"]) == ("0", "vpoller")
