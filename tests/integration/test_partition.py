"""A cable is cut between a broker and others: it is noticed, work goes on, and it heals.

The link is really cut, between two network namespaces; needs root.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tests.support.apart import Apart, Site
from tests.support.fabric import eventually
from tests.support.kills.asker import Settings
from tests.support.kills.entries import Answer, ledgers, read_answers, read_runs
from tests.support.kills.history import Death, History
from tests.support.kills.judgement import breaches, gather, lost_with_worker
from tests.support.kills.plan import Plan
from tests.support.netns import Cable, Namespace, Network

REQUESTS, RATE = 600, 100.0
PROCESSES, THREADS = 2, 2
#: Seconds of one try.
TIMEOUT = 2.0
#: Seconds for a partition to be noticed.
NOTICE = 5.0
PLAN = Plan(seed=3, again_within=1.0)


class Scene(NamedTuple):
    """Two brokers; ``cable`` is all that joins the first one to its workers."""

    apart: Apart
    brokers: tuple[Site, Site]
    cable: Cable
    clients: Namespace


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def apart(network: Network, tmp_path: Path) -> Iterator[Apart]:  # noqa: ARG001
    # Ended before the namespaces are.
    with Apart(tmp_path) as apart:
        yield apart


@pytest.fixture
def far_broker(network: Network, apart: Apart) -> Scene:
    """Return a scene where clients lose the broker as workers do."""
    hall, far = network.namespace("hall"), network.namespace("far")
    cable = network.cable(hall, far)
    first = Site("first", far, cable.far, apart.place)
    second = Site("second", hall, cable.near, apart.place)
    return _started(Scene(apart, (first, second), cable, hall), workers=hall)


@pytest.fixture
def far_workers(network: Network, apart: Apart) -> Scene:
    """Return a scene where clients reach both brokers, one of which loses its workers."""
    hall, plant = network.namespace("hall"), network.namespace("plant")
    cable, other = network.cable(hall, plant), network.cable(hall, plant)
    first = Site("first", hall, cable.near, apart.place)
    second = Site("second", hall, other.near, apart.place)
    return _started(Scene(apart, (first, second), cable, hall), workers=plant)


def _started(scene: Scene, workers: Namespace) -> Scene:
    for site in scene.brokers:
        scene.apart.start_broker(site)
    scene.apart.start_worker(workers, scene.brokers, PROCESSES, THREADS)
    for site in scene.brokers:
        eventually(lambda site=site: _all_there(scene, site), "all workers are registered")
    return scene


def _all_there(scene: Scene, site: Site) -> bool:
    return len(scene.apart.workers(site) or ()) == PROCESSES


def _settings(scene: Scene) -> Settings:
    return Settings(
        endpoints=[site.frontend for site in scene.brokers],
        plan=PLAN,
        first=0,
        step=1,
        requests=REQUESTS,
        rate=RATE,
        file=str(scene.apart.place / "answers"),
        timeout=1000 * TIMEOUT,
        retries=10,
        keys=scene.apart.client_keys("caller"),
    )


def _cut_under_load(scene: Scene) -> Death:
    """Cut the cable while a client asks; return when, and when it was noticed."""
    settings = _settings(scene)
    with scene.apart.asking(scene.clients, settings) as asker:
        eventually(lambda: Path(settings.file).exists(), "the client has begun")
        time.sleep(1.0)
        cut = time.monotonic()
        scene.cable.cut()
        eventually(lambda: scene.apart.workers(scene.brokers[0]) == [], "it is noticed")
        noticed = time.monotonic()
        assert asker.wait(60) == 0
    return Death(cut, noticed)


def _require_all_kept(scene: Scene, cut: Death) -> list[Answer]:
    """Fail where something was lost or ran twice; return all answers."""
    history = History(brokers=2)
    history.died(cut)
    answers = list(read_answers(scene.apart.place / "answers"))
    runs = [run for path in ledgers(scene.apart.place) for run in read_runs(path)]
    evidence = gather(PLAN, REQUESTS, history, THREADS, answers, runs)
    # A broker that hears nothing of its workers says so of what they run, once each.
    assert len(lost_with_worker(evidence)) <= PROCESSES * THREADS
    found = {name: what for name, what in breaches(evidence).items() if name != "worker_lost"}
    assert not any(found.values()), found
    return answers


def _require_a_partition_is_survived(scene: Scene) -> None:
    cut = _cut_under_load(scene)
    assert cut.successor - cut.at < NOTICE
    answers = _require_all_kept(scene, cut)
    print(f"noticed after {cut.successor - cut.at:.2f} s")
    print(f"longest answer {max(answer.received - answer.sent for answer in answers):.2f} s")
    assert any(answer.sent > cut.successor for answer in answers), "asked on in the partition"
    # One try in vain, and the way by the other broker.
    assert max(answer.received - answer.sent for answer in answers) < 2 * TIMEOUT
    _require_it_heals(scene)


def _require_it_heals(scene: Scene) -> None:
    first = scene.brokers[0]
    scene.cable.mend()
    mended = time.monotonic()
    eventually(lambda: _all_there(scene, first), "the workers are back")
    print(f"back after {time.monotonic() - mended:.2f} s")
    # Of this broker alone, with ids that nobody has used.
    settings = msgspec.structs.replace(
        _settings(scene),
        endpoints=[first.frontend],
        plan=Plan(seed=4, again_within=0.1),
        requests=20,
        file=str(scene.apart.place / "healed"),
    )
    with scene.apart.asking(scene.clients, settings) as asker:
        assert asker.wait(60) == 0
    assert {answer.code for answer in read_answers(Path(settings.file))} == {""}


def test_a_broker_that_is_cut_off_is_replaced_by_the_other_and_comes_back(
    far_broker: Scene,
) -> None:
    _require_a_partition_is_survived(far_broker)


def test_a_broker_that_is_cut_off_from_its_workers_holds_up_nobody(far_workers: Scene) -> None:
    _require_a_partition_is_survived(far_workers)
