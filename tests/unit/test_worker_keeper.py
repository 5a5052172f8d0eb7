"""The main thread of a worker process: what it tells its supervisor of its lanes, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from vpoller_like.agent import Agent, AgentHost, task
from vpoller_like.config import WorkerSettings
from vpoller_like.worker import keeper as module
from vpoller_like.worker.control import Beat, Done, Leaving, Report, Reporter, Reports, Stuck, pair
from vpoller_like.worker.keeper import Keeper
from vpoller_like.worker.lanes import Lanes
from vpoller_like.worker.loop import pulse_seconds, retry_seconds

R = TypeVar("R", bound=Report)

PATIENCE = 10.0
#: A beat every 0.25 s.
SETTINGS = WorkerSettings(stuck_ms=1000, drain_ms=500)


class Box(Agent):
    name = "box"

    def __init__(self, hostname: str) -> None:
        self.hostnames = [hostname]
        self.torn_down = threading.Event()

    def teardown(self) -> None:
        self.torn_down.set()

    @task("box.slow", timeout=7)
    def slow(self, msg: dict[str, Any]) -> None: ...


class Loop:
    """A lane's loop that the test plays; it keeps its pulse unless told otherwise."""

    def __init__(self) -> None:
        self.beats = True
        self.told: list[str] = []
        self._pulse = 0.0
        self._over: Callable[[BaseException | None], None]

    @property
    def pulse(self) -> float:
        return time.monotonic() if self.beats else self._pulse

    @pulse.setter
    def pulse(self, at: float) -> None:
        self._pulse = at

    def start(self, over: Callable[[BaseException | None], None]) -> None:
        self._over = over

    def end(self, failure: BaseException | None = None) -> None:
        self._over(failure)

    def drain(self) -> None:
        self.told.append("drain")

    def retire(self) -> None:
        self.told.append("retire")

    def remember(self, max_bytes: int, max_count: int) -> None: ...

    def close(self) -> None: ...


class Guard:
    def __init__(self) -> None:
        self.ages: list[float] = []
        self.end: float | None = None

    def beat(self, age: float = 0.0) -> None:
        self.ages.append(age)

    def expect_end(self, seconds: float) -> None:
        self.end = seconds


class Stage:
    """A keeper with a lane for each of ``hosts``, and the supervisor's ear."""

    def __init__(self, *hosts: str) -> None:
        ours, theirs = pair()
        self._reports = Reports(ours)
        guard: Any = Guard()
        self.guard: Guard = guard
        self._reporter = Reporter(theirs.detach())
        self.keeper = Keeper(SETTINGS, self._reporter, guard)
        self.loops: list[Loop] = []
        self.agents = [Box(host) for host in hosts]
        make: Any = self._make
        self.lanes = Lanes(AgentHost(self.agents), make, self.keeper.over, (1, 1))
        self.lanes.serve(self.agents)
        self.reason: str | None = None
        self.failure: BaseException | None = None
        self.heard: list[Report] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _make(self, *_: object) -> Loop:
        self.loops.append(Loop())
        return self.loops[-1]

    def _run(self) -> None:
        try:
            self.reason = self.keeper.run(self.lanes)
        except Exception as error:
            self.failure = error

    def until(self, holds: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (value := holds()):
            assert time.monotonic() < deadline, self.heard
            self.heard += self._reports.read()
            time.sleep(0.005)
        return value

    def expect(self, kind: type[R], which: Callable[[R], bool] = lambda _: True) -> R:
        found: list[R] = self.until(
            lambda: [r for r in self.heard if isinstance(r, kind) and which(r)]
        )
        self.heard.clear()
        return found[0]

    def hang_up(self) -> None:
        self._reports.close()

    def end(self) -> None:
        for loop in self.loops:
            loop.end(RuntimeError("over"))
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self.hang_up()
        self._reporter._socket.close()

    def has_ended(self) -> bool:
        return not self._thread.is_alive()


@pytest.fixture
def make() -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make_one(*hosts: str) -> Stage:
        stages.append(Stage(*hosts))
        return stages[-1]

    yield make_one
    for stage in stages:
        stage.end()


def test_a_process_beats_as_long_as_all_its_lanes_do(make: Callable[..., Stage]) -> None:
    stage = make("a", "b")
    for _ in range(3):
        assert stage.expect(Beat).age == 0.0
    stage.loops[1].beats = False
    stage.loops[1].pulse = time.monotonic()
    late = stage.expect(Beat, lambda beat: beat.age > 0.3)
    assert stage.guard.ages[-1] >= late.age > 0.3
    stage.loops[1].beats = True
    assert stage.expect(Beat, lambda beat: beat.age == 0.0)


def test_a_process_without_hosts_beats_too(make: Callable[..., Stage]) -> None:
    stage = make()
    assert stage.expect(Beat).age == 0.0
    assert not stage.has_ended()
    stage.keeper.drain()
    stage.expect(Done)
    stage.until(stage.has_ended)


def test_all_lanes_drain_and_the_last_one_ends_the_process(make: Callable[..., Stage]) -> None:
    stage = make("a", "b")
    stage.keeper.drain()
    stage.until(lambda: [loop.told for loop in stage.loops] == [["drain"], ["drain"]])
    stage.loops[0].end()
    assert stage.expect(Beat)
    assert not stage.has_ended()
    stage.loops[1].end()
    stage.expect(Done)
    stage.until(stage.has_ended)
    assert stage.reason == "drained"
    assert not stage.agents[0].torn_down.is_set(), "another lane may still have had work for it"
    stage.keeper.part(stage.agents, PATIENCE)
    assert all(agent.torn_down.is_set() for agent in stage.agents)


def test_what_a_lane_raises_ends_the_process(make: Callable[..., Stage]) -> None:
    stage = make("a", "b")
    fault = RuntimeError("boom")
    stage.loops[1].end(fault)
    stage.until(stage.has_ended)
    assert stage.failure is fault


def test_a_broker_that_ends_one_lane_ends_the_worker(make: Callable[..., Stage]) -> None:
    stage = make("a")
    stage.keeper.leaving()
    stage.expect(Leaving)
    stage.loops[0].end()
    stage.expect(Done)


def test_the_only_lane_that_is_stuck_is_replaced_with_its_process(
    make: Callable[..., Stage],
) -> None:
    stage = make("a")
    stage.keeper.stuck(3.5)
    stage.keeper.stuck(9.0)
    assert stage.expect(Stuck) == Stuck(3.5)
    stage.loops[0].end()
    stage.expect(Done)
    stage.until(stage.has_ended)
    assert stage.reason == "stuck"
    assert not [report for report in stage.heard if isinstance(report, Stuck)]


def test_the_other_lanes_serve_on_until_somebody_can_have_taken_over(
    make: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDOVER_SECONDS", 0.5)
    stage = make("a", "b")
    stage.keeper.stuck(3.5)
    began = time.monotonic()
    assert stage.expect(Stuck) == Stuck(0.5 + 7 + 5), "what is given until then has its time"
    stage.loops[0].end()
    stage.until(lambda: stage.loops[1].told)
    assert time.monotonic() - began >= 0.5
    assert stage.loops[1].told == ["retire"]
    stage.loops[1].end()
    stage.expect(Done)


def test_a_host_that_is_removed_ends_its_lane_alone(make: Callable[..., Stage]) -> None:
    stage = make("a", "b")
    stage.keeper.serve(stage.agents[:1])
    stage.until(lambda: stage.loops[1].told == ["retire"])
    stage.loops[1].end()
    stage.until(stage.agents[1].torn_down.is_set)
    stage.expect(Beat)
    assert not stage.has_ended()
    stage.keeper.serve([])
    stage.until(lambda: stage.loops[0].told == ["retire"])
    stage.loops[0].end()
    stage.until(stage.agents[0].torn_down.is_set)
    stage.expect(Beat)
    assert not stage.has_ended(), "there may be hosts again"


def test_a_host_that_is_removed_just_before_the_end_is_torn_down_too(
    make: Callable[..., Stage],
) -> None:
    stage = make("a", "b")
    stage.keeper.serve(stage.agents[:1])
    stage.keeper.drain()
    stage.until(lambda: stage.loops[1].told == ["retire", "drain"])
    for loop in stage.loops:
        loop.end()
    stage.expect(Done)
    assert stage.agents[1].torn_down.wait(PATIENCE)
    assert not stage.agents[0].torn_down.is_set()


def test_no_lane_is_started_in_a_process_that_ends(make: Callable[..., Stage]) -> None:
    stage = make("a")
    late = Box("b")
    stage.keeper.drain()
    stage.keeper.serve([*stage.agents, late])
    stage.until(late.torn_down.is_set)
    assert len(stage.loops) == 1
    assert not stage.agents[0].torn_down.is_set()


def test_a_process_whose_supervisor_is_gone_drains(make: Callable[..., Stage]) -> None:
    stage = make("a", "b")
    stage.expect(Beat)
    stage.hang_up()
    stage.until(lambda: [loop.told for loop in stage.loops] == [["drain"], ["drain"]])
    assert stage.guard.end == 0.5


@pytest.mark.parametrize(("lanes", "seconds"), [(1, 1.0), (32, 1.0), (64, 2.0), (10_000, 3.75)])
def test_many_lanes_show_less_often_that_they_run(lanes: int, seconds: float) -> None:
    assert pulse_seconds(WorkerSettings(stuck_ms=15_000), lanes) == seconds


@pytest.mark.parametrize(("lanes", "seconds"), [(1, 0.1), (10, 0.1), (50, 0.5), (10_000, 1.0)])
def test_many_lanes_try_less_often_a_broker_that_is_away(lanes: int, seconds: float) -> None:
    assert retry_seconds(lanes) == pytest.approx(seconds)
