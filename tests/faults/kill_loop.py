"""Kills brokers and workers while clients ask, and counts what was lost or changed.

::

    python tests/faults/kill_loop.py --requests 200000
    python tests/faults/kill_loop.py --worker-kills-only
    python tests/faults/kill_loop.py --break requeue   # has to fail

Ends with 1 where a promise is broken, 2 where there was too little to see.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.support.kills import fleet as fleets  # noqa: E402
from tests.support.kills import recovery, report  # noqa: E402
from tests.support.kills.asker import Settings  # noqa: E402
from tests.support.kills.entries import Answer, Run, ledgers, read_answers, read_runs  # noqa: E402
from tests.support.kills.fleet import Fleet  # noqa: E402
from tests.support.kills.history import KILL, History  # noqa: E402
from tests.support.kills.judgement import Evidence, breaches, gather  # noqa: E402
from tests.support.kills.killer import Killer, Pace  # noqa: E402
from tests.support.kills.plan import Plan  # noqa: E402
from tests.support.kills.prober import Probe, Prober  # noqa: E402

BROKEN = Path(__file__).resolve().with_name("broken_broker.py")
FAULTS = ("requeue", "memory", "whohas")
#: Seconds between two looks at what is to be struck.
LOOK = 0.01


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--requests", type=int, default=20_000, help="how many different requests (20000)")
    add("--rate", type=float, default=1500, help="new requests per second at most (1500)")
    add("--seed", type=int, help="of what is asked and struck (random)")
    add("--brokers", type=int, default=1, help="brokers that all workers serve (1)")
    add("--askers", type=int, default=2, help="asking processes (2)")
    add("--supervisors", type=int, default=2, help="workers' supervisors (2)")
    add("--processes", type=int, default=3, help="processes of each supervisor (3)")
    add("--threads", type=int, default=2, help="slots of each process (2)")
    add("--worker-every", type=float, default=1.0, help="seconds between worker kills (1)")
    add("--broker-every", type=float, default=10.0, help="seconds between broker kills (10)")
    add("--worker-kills-only", action="store_true", help="leave the brokers alone")
    add("--least-worker-kills", type=int, default=1, help="fewer prove nothing (1)")
    add("--least-broker-kills", type=int, default=1, help="fewer prove nothing (1)")
    add("--most-worker-kills", type=int, default=1 << 30, help="blows to workers at most")
    add("--most-broker-kills", type=int, default=1 << 30, help="broker kills at most")
    add("--again-within", type=float, default=20.0, help="seconds until asked again (20)")
    add("--slow", type=float, default=0.04, help="share of requests that take a while (0.04)")
    add("--patience", type=float, default=60.0, help="seconds that a client waits (60)")
    add("--break", dest="fault", choices=FAULTS, help="use a broken broker: has to fail")
    add("--redelivery-limit", type=float, help="fail if p99 takes more seconds than this")
    add("--first-reply-limit", type=float, help="fail if p99 takes more seconds than this")
    options = parser.parse_args(words)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 20)
    return options


def run(options: argparse.Namespace) -> int:
    """Run the loop; return the exit code."""
    print("replay       python tests/faults/kill_loop.py", *_words(options), flush=True)
    program = [str(BROKEN), options.fault] if options.fault else []
    with fleets.running(
        brokers=options.brokers,
        supervisors=options.supervisors,
        processes=options.processes,
        threads=options.threads,
        broker_program=program,
    ) as fleet:
        return _strike_and_judge(fleet, options)


def _words(options: argparse.Namespace) -> list[str]:
    """Return the flags that bring the same about again, as far as chance lets them."""
    words = []
    for name, value in vars(options).items():
        flag = "--" + {"fault": "break"}.get(name, name).replace("_", "-")
        if value is True:
            words.append(flag)
        elif value not in (None, False):
            words += [flag, str(value)]
    return words


def _strike_and_judge(fleet: Fleet, options: argparse.Namespace) -> int:
    history = History(options.brokers)
    plan = Plan(options.seed, options.again_within, options.slow)
    began = time.monotonic()
    with Prober(fleet.frontends, options.patience) as prober:
        fell = _strike(fleet, history, prober, plan, options)
        seconds = time.monotonic() - began
    history.revivals = recovery.revivals(history, prober.probes)
    evidence = gather(
        plan, options.requests, history, fleet.slots, _answers(fleet.place), _runs(fleet.place)
    )
    found = breaches(evidence)
    found["speed"] = list(_too_slow(evidence, prober.probes, options))
    found["unserved"] += [f"a probe was answered: {failure}" for failure in prober.failures]
    found["fell"] = fell
    for line in report.lines(evidence, found, seconds, prober.probes):
        print(line)
    if options.fault:
        fleet.hasten()
    return _verdict(found, history, options)


def _strike(
    fleet: Fleet, history: History, prober: Prober, plan: Plan, options: argparse.Namespace
) -> list[str]:
    """Strike until all has been asked; return what ended that should not have, or did not."""
    pace = Pace(
        options.worker_every,
        options.broker_every,
        options.most_worker_kills,
        0 if options.worker_kills_only else options.most_broker_kills,
    )
    killer = Killer(fleet, history, prober, pace, options.seed)
    limit = time.monotonic() + 120 + options.patience + 5 * options.requests / options.rate
    try:
        with fleet.asking(list(_askers(fleet, plan, options))) as askers:
            while _any_runs(askers) and time.monotonic() < limit:
                killer.strike()
                time.sleep(LOOK)
            codes = [asker.poll() for asker in askers]
        unfinished = [f"an asker: {code}" for code in codes if code != 0]
        return unfinished + [f"{each} fell" for each in fleet.fallen(history.struck_pids)]
    finally:
        killer.rest()


def _any_runs(askers: Sequence[subprocess.Popen[bytes]]) -> bool:
    return any(asker.poll() is None for asker in askers)


def _askers(fleet: Fleet, plan: Plan, options: argparse.Namespace) -> Iterator[Settings]:
    # A broken connection costs one of them, and a broker's death breaks it.
    retries = max(10, round(options.patience / 2))
    for index in range(options.askers):
        yield Settings(
            endpoints=fleet.frontends,
            plan=plan,
            first=index,
            step=options.askers,
            requests=options.requests,
            rate=options.rate / options.askers,
            file=str(fleet.place / f"{index}.answers"),
            timeout=1000 * options.patience / retries,
            retries=retries,
        )


def _answers(place: Path) -> Iterator[Answer]:
    for path in sorted(place.glob("*.answers")):
        yield from read_answers(path)


def _runs(place: Path) -> Iterator[Run]:
    for path in ledgers(place):
        yield from read_runs(path)


def _too_slow(
    evidence: Evidence, probes: Sequence[Probe], options: argparse.Namespace
) -> Iterator[str]:
    limits = (
        ("redelivery", options.redelivery_limit, recovery.killed(evidence)),
        (
            "the first reply",
            options.first_reply_limit,
            recovery.first_replies(evidence.history, probes),
        ),
    )
    for what, limit, times in limits:
        p99 = recovery.spread(times).p99
        if limit is not None and p99 > limit:
            yield f"{what} takes {p99:.3f} s (p99), more than {limit:g} s"


def _verdict(found: dict[str, list[str]], history: History, options: argparse.Namespace) -> int:
    if any(found.values()):
        print("BROKEN       ", ", ".join(name for name, what in found.items() if what))
        return 1
    brokers = 0 if options.worker_kills_only else options.least_broker_kills
    if len(history.of(KILL)) < options.least_worker_kills or len(history.deaths) < brokers:
        print("NOTHING SEEN  too few kills; ask more requests")
        return 2
    print("KEPT          every promise")
    return 0


def main() -> int:
    """Run the loop; SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run(arguments())
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
