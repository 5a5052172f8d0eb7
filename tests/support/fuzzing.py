"""Feeding targets with blocks of inputs: what failed, what took longest, how memory went."""

from __future__ import annotations

import heapq
import os
import random
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.support.decoders import TARGETS, Target

#: Inputs that one target takes in a row, from one seed, before it is made anew.
BLOCK = 500
#: Slowest inputs that are kept.
SLOWEST = 8


@dataclass
class Figures:
    """What came of some blocks. Memory is bytes."""

    inputs: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    #: (CPU seconds, target, block, index, bytes) of the slowest inputs.
    slowest: list[tuple[float, str, int, int, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    #: Once a fifth of the work was done, and at the end.
    memory: tuple[int, int] = (0, 0)

    @property
    def total(self) -> int:
        """Return the number of all inputs."""
        return sum(self.inputs.values())

    def note(self, took: float, target: str, block: int, index: int, size: int) -> None:
        """Remember an input if it is among the slowest."""
        entry = (took, target, block, index, size)
        if len(self.slowest) < SLOWEST:
            heapq.heappush(self.slowest, entry)
        elif entry > self.slowest[0]:
            heapq.heapreplace(self.slowest, entry)


def blocks(first: int, last: int, step: int, targets: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the numbers of blocks, each with its target's name."""
    for number in range(first, last, step):
        yield number, targets[number % len(targets)]


def fuzz(
    seed: int,
    work: Iterator[tuple[int, str]],
    count: int,
    keep_on: Callable[[], bool] = lambda: True,
) -> Figures:
    """Feed the blocks of ``work``, of which there are ``count``; stop at the first fault."""
    figures = Figures()
    began = time.perf_counter()
    settled = 0
    for done, (number, name) in enumerate(work):
        if figures.faults or not keep_on():
            break
        _feed_block(figures, seed, number, name)
        if done <= count // 5:
            settled = max(settled, resident_bytes())
    figures.seconds = time.perf_counter() - began
    figures.memory = (settled, resident_bytes())
    return figures


def _feed_block(figures: Figures, seed: int, number: int, name: str) -> None:
    rng = random.Random(f"{seed}/{number}")
    target = TARGETS[name]()
    # The CPU's time: the machine may be busy with others.
    for index in range(BLOCK):
        frames = target.draw(rng)
        start = time.thread_time()
        fault = fault_of(target, frames)
        figures.note(time.thread_time() - start, name, number, index, sum(map(len, frames)))
        if fault:
            where = f"{name}, block {number}, input {index}"
            figures.faults.append(f"{where}: {shown(frames)}\n{fault}")
            break
    figures.inputs[name] = figures.inputs.get(name, 0) + index + 1


def fault_of(target: Target, frames: list[bytes]) -> str:
    """Return the traceback of what ``target`` let out, or nothing."""
    try:
        target.feed(frames)
    except Exception:
        return traceback.format_exc()
    return ""


def shown(frames: list[bytes]) -> str:
    """Return the start of each frame, for a report."""
    return ", ".join(f"{frame[:400]!r}" for frame in frames)


def resident_bytes(pid: int | None = None) -> int:
    """Return the resident memory of a process, this one unless told."""
    with open(f"/proc/{pid or os.getpid()}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
