"""An agent that collects metrics of nothing, in the ways in which that can go. This
directory's parent, on PYTHONPATH, makes it known as an installed package would be."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from vpoller_like.agent import Agent, Params, task
from vpoller_like.errors import TaskFailed

#: A label's value with all that either format has to escape, and more.
NASTY = 'back\\slash "quote"\nline {x="y"} 1\r\x00 ü'


class Collect(Params, frozen=True):
    """Parameters of ``metrics.collect``."""

    collect: list[str] = []


class MeterAgent(Agent):
    """Has a host for each way."""

    name = "meter"

    def __init__(self, host: str) -> None:
        self.hostnames = [host]
        self._answer = WAYS[host]

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Iterable[MeterAgent]:
        """Yield an instance for each host."""
        del settings
        return [cls(host) for host in WAYS]

    @task("metrics.collect", retry_safe=True)
    def collect(self, msg: Collect) -> Any:
        """Return some families."""
        return self._answer(msg)


def _good(msg: Collect) -> Any:
    return [
        {
            "name": "meter_level_bytes",
            "help": 'A level, "quoted"\nand on two lines.',
            "unit": "bytes",
            "labels": ["name"],
            "samples": [[["one"], 1], [[NASTY], 2.5], [["unknown"], None]],
        },
        {
            "name": "meter_turns_total",
            "help": "Turns.",
            "type": "counter",
            "labels": ["part"],
            "samples": [[[part], 7] for part in msg.collect],
        },
        {"name": "meter_info", "help": "About.", "type": "info", "samples": [[[], 1]]},
    ]


def _slow(_: Collect) -> Any:
    time.sleep(2)
    return []


def _wrong(_: Collect) -> Any:
    return [{"name": "no name", "help": "", "samples": []}]


def _failing(_: Collect) -> Any:
    raise TaskFailed("it does not work", reason="worn_out")


def _large(_: Collect) -> Any:
    samples = [[[f"{number:0100}"], number] for number in range(20_000)]
    return [{"name": "meter_value", "help": "Much.", "labels": ["name"], "samples": samples}]


WAYS = {"good": _good, "slow": _slow, "wrong": _wrong, "failing": _failing, "large": _large}
