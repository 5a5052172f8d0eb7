"""What the how-to about events shows works when it is pasted."""

from __future__ import annotations

import textwrap
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.support.vcsim import agent_for, running

pytest.importorskip("pyVmomi")

from vpoller_like.client import LocalClient

HOWTO = Path(__file__).parents[2] / "docs/howto/vsphere-events.rst"
OFF = "VmPoweredOffEvent"


def follow_as_shown() -> Any:
    _, block, *_ = HOWTO.read_text().split(".. code-block:: python\n")
    names: dict[str, Any] = {}
    exec(textwrap.dedent(block.split("\n.. code-block")[0]), names)
    return names["follow"]


def test_the_loop_of_the_howto_follows_events() -> None:
    with running(vms=2, hosts=1) as vcenter, LocalClient([agent_for(vcenter)]) as client:
        machine = "DC0_C0_RP0_VM0"
        posted = [vcenter.event(OFF, machine) for _ in range(7)]
        events = follow_as_shown()(client, vcenter.host, every=0.0, types=[OFF], max=3)
        assert [event["key"] for event in islice(events, 7)] == posted
        later = vcenter.event(OFF, machine)
        assert next(events)["key"] == later
