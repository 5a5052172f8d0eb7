"""``make demo``, as a newcomer runs it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_shows_this_machine_and_leaves_nothing(tmp_path: Path) -> None:
    """Whatever the user's own settings say."""
    (tmp_path / "vpoller.toml").write_text("[agents.system]\nhostname = 'wrong'\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VPOLLER_BROKER_ADMIN": "ipc:///wrong"}
    ran = subprocess.run(
        [sys.executable, ROOT / "etc" / "demo"],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert re.search(rf"host name +{re.escape(platform.node())}\n", ran.stdout)
    assert f"{psutil.virtual_memory().total >> 20}\n" in ran.stdout
    pids = {int(pid) for pid in re.findall(r"^ +(\d+) .*vpoller_like", ran.stdout, re.MULTILINE)}
    assert len(pids) == 4
    assert not pids & set(psutil.pids())
    assert ran.stdout.splitlines()[-1].startswith("All ended: 4 processes are gone")
