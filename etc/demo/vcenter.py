"""A simulated vCenter for the demo, where there is what builds it: Go and govmomi."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The tests' simulator, which is no part of what gets installed.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from tests.support import vcsim

VMS = 1000


class VCenter:
    """A vCenter with ``VMS`` virtual machines, and the settings by which it is polled."""

    def __init__(self, simulator: vcsim.Simulator, place: Path) -> None:
        self.hostname = simulator.host
        self.settings = place / "vcenter.toml"
        self.settings.write_text(simulator.settings)


def _unbuilt() -> str:
    """Build the simulator; say what went wrong, if anything did."""
    print("Setting up a simulated vCenter (the first time takes half a minute) ...", flush=True)
    try:
        vcsim.executable()
    except (OSError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return ""


@contextmanager
def simulated(place: Path) -> Iterator[VCenter | str]:
    """Run one, with its settings in ``place``; or say why there is none."""
    absent = vcsim.missing() or _unbuilt()
    if absent:
        yield absent
        return
    with vcsim.running(vms=VMS) as simulator:
        yield VCenter(simulator, place)
