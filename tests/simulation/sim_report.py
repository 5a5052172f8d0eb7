"""What a batch of seeds saw: the counts, what is missing among them, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.simulation.scenario import Outcome, play

#: What every batch must have brought about, by the name that is printed; else the simulation
#: has shown nothing.
REQUIRED = {
    "broker crashes": ("broker crashes",),
    "worker crashes": ("worker crashes",),
    "joins": ("broker joined",),
    "evictions": ("evictions",),
    "returns": ("broker returned",),
    "redeliveries": ("broker redelivered",),
    "WHOHAS found": ("broker whohas_found",),
    "WHOHAS not found": ("broker whohas_missing",),
    "zombies": ("zombies",),
    "partitions": ("partitions",),
    "worker_lost": ("answered worker_lost",),
    "busy": ("answered busy",),
    "deadline": ("answered deadline",),
    "superseded results": ("superseded results",),
}
#: What is printed beside it.
OTHERS = {
    "requests": ("broker requests",),
    "recalled": ("broker recalled",),
    "id_reused": ("answered id_reused",),
    "hangs": ("hangs",),
    "resets": ("resets",),
    "failed sends": ("sends that failed",),
    "lost notices": ("lost notices",),
    "stuck processes": ("stuck processes",),
    "drains": ("broker drains", "worker drains"),
    "workers given up": ("broker lost_workers",),
}


class Batch:
    """The sum of many outcomes."""

    def __init__(self) -> None:
        self.seeds = 0
        self.seconds = 0.0
        self.seen: Counter[str] = Counter()
        self.failed: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Take one outcome in."""
        self.seeds += 1
        self.seconds += outcome.lasted
        self.seen += outcome.seen
        if outcome.violated is not None:
            self.failed.append(outcome)

    @property
    def missing(self) -> list[str]:
        """What should have happened and did not."""
        return [name for name, keys in REQUIRED.items() if not self._total(keys)]

    def _total(self, keys: tuple[str, ...]) -> int:
        return sum(self.seen[key] for key in keys)

    def lines(self) -> Iterator[str]:
        """Yield the report."""
        yield f"{self.seeds} seeds, {self.seconds:.0f} simulated seconds"
        counts = {name: self._total(keys) for name, keys in {**REQUIRED, **OTHERS}.items()}
        yield ", ".join(f"{name} {count}" for name, count in counts.items())
        for outcome in self.failed:
            yield f"seed {outcome.seed}: {outcome.message}"
            yield f"  replay: {replay(outcome.seed)}"
        if self.missing:
            yield f"never happened, so nothing is shown: {', '.join(self.missing)}"


def replay(seed: int) -> str:
    """Return the command that shows a seed's course."""
    return f"python tests/simulation/run.py --seed {seed} --trace"


def played(seeds: Iterable[int]) -> Batch:
    """Run ``seeds`` one after another."""
    batch = Batch()
    for seed in seeds:
        batch.add(play_or_say(seed))
    return batch


def play_or_say(seed: int) -> Outcome:
    """Run one seed; a core that raises is a failure as any other."""
    try:
        return play(seed)
    except Exception as error:
        return Outcome(seed, "", Counter(), type(error).__name__, f"the core raised {error!r}")
