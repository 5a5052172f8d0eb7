"""Which lanes there are for which agents, and what becomes of them when the agents change."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest

from vpoller_like.agent import Agent, AgentHost, task
from vpoller_like.protocol.limits import MAX_LABEL
from vpoller_like.protocol.worker import Offer
from vpoller_like.worker import lanes as module
from vpoller_like.worker.lanes import SCANT_FILES, Hosts, Lane, Lanes, label_of


class Box(Agent):
    name = "box"

    def __init__(self, *hostnames: str, variant: Hashable = None) -> None:
        self.hostnames = list(hostnames) or None
        self.variant = variant

    @task("box.who")
    def who(self, _msg: dict[str, Any]) -> Any:
        return self.variant


class Lid(Box):
    name = "lid"
    who = None  # type: ignore[assignment]

    @task("lid.who")
    def lid(self, _msg: dict[str, Any]) -> Any:
        return self.variant


class Loop:
    """Says what it was told, into a log that all of them share."""

    def __init__(self, hosts: Hosts, offers: list[Offer], log: list[str]) -> None:
        self.name = "any" if hosts is None else "+".join(hosts)
        self.offers = offers
        self.pulse = 100.0
        self.remembers = (0, 0)
        self._log = log

    def start(self, over: Callable[[BaseException | None], None]) -> None:
        self._over = over
        self._log.append(f"start {self.name}")

    def end(self) -> None:
        self._over(None)

    def retire(self) -> None:
        self._log.append(f"retire {self.name}")

    def drain(self) -> None:
        self._log.append(f"drain {self.name}")

    def close(self) -> None:
        self._log.append(f"close {self.name}")

    def remember(self, max_bytes: int, max_count: int) -> None:
        self.remembers = (max_bytes, max_count)


class Stage:
    def __init__(self, *agents: Agent) -> None:
        self.log: list[str] = []
        self.loops: list[Loop] = []
        self.parted: list[Agent] = []
        self.host = AgentHost(agents)
        make: Any = self._make
        self.lanes = Lanes(self.host, make, self._over, (1000, 100))
        self.lanes.serve(agents)

    def _make(self, hosts: Hosts, offers: list[Offer], count: int) -> Loop:
        self.loops.append(Loop(hosts, offers, self.log))
        assert count >= 1
        return self.loops[-1]

    def _over(self, lane: Lane, failure: BaseException | None) -> None:
        assert failure is None
        self.parted += self.lanes.drop(lane)

    def news(self, *agents: Agent) -> list[str]:
        """Serve ``agents`` and return what that led to."""
        self.log.clear()
        self.lanes.serve(agents)
        return self.log

    def who(self, hostname: str, method: str = "box.who") -> Any:
        reply = self.host.call({"method": method, "hostname": hostname})
        return reply["result"] if reply["success"] == 0 else reply["error"]["code"]


def test_there_is_a_lane_for_each_set_of_hostnames() -> None:
    stage = Stage(Box("a"), Box("b", "c"), Lid("c", "b"), Lid())
    assert stage.log == ["start a", "start b+c", "start any"]
    offered = [[(offer.agent, offer.hosts) for offer in loop.offers] for loop in stage.loops]
    assert offered == [
        [("box", ["a"])],
        [("box", ["b", "c"]), ("lid", ["c", "b"])],
        [("lid", None)],
    ]


def test_a_lane_whose_agents_stay_is_left_alone() -> None:
    a, b = Box("a"), Box("b")
    stage = Stage(a, b)
    assert stage.news(b, a) == []
    assert stage.news(a, b, Box("c")) == ["start c"]


def test_what_is_removed_serves_until_its_lane_has_ended() -> None:
    a, b = Box("a", variant=1), Box("b", variant=2)
    stage = Stage(a, b)
    assert stage.news(a) == ["retire b"]
    assert stage.who("b") == 2, "what had begun still finds it"
    assert stage.parted == []
    stage.loops[1].end()
    assert stage.log == ["retire b", "close b"]
    assert stage.parted == [b]
    assert stage.who("b") == "unknown_host"


def test_what_is_replaced_has_its_successor_start_first() -> None:
    old, new = Box("a", variant=1), Box("a", variant=2)
    stage = Stage(old)
    assert stage.news(new) == ["start a", "retire a"]
    assert stage.who("a") == 2
    assert len(stage.lanes) == 2
    stage.loops[0].end()
    assert stage.parted == [old]
    assert stage.who("a") == 2


def test_an_agent_that_gets_company_stays_itself() -> None:
    box, lid = Box("a", variant=1), Lid("a", variant=2)
    stage = Stage(box)
    assert stage.news(box, lid) == ["start a", "retire a"]
    stage.loops[0].end()
    assert stage.parted == []
    assert (stage.who("a"), stage.who("a", "lid.who")) == (1, 2)


def test_hosts_may_change_again_before_the_last_change_is_over() -> None:
    one, two, three = (Box("a", variant=number) for number in (1, 2, 3))
    stage = Stage(one)
    stage.news(two)
    assert stage.news(three) == ["start a", "retire a"]
    for loop in stage.loops[1::-1]:
        loop.end()
    assert stage.parted == [two, one]
    assert stage.news() == ["retire a"]
    stage.loops[2].end()
    assert (stage.parted, len(stage.lanes)) == ([two, one, three], 0)


def test_of_many_that_leave_each_serves_until_the_last_one_has_ended() -> None:
    a, b, c = Box("a", variant=1), Box("b", variant=2), Box("c", variant=3)
    stage = Stage(a, b, c)
    stage.news(a)
    stage.loops[1].end()
    assert (stage.parted, stage.who("c")) == ([b], 3)
    stage.loops[2].end()
    assert (stage.parted, stage.who("b"), stage.who("c")) == (
        [b, c],
        "unknown_host",
        "unknown_host",
    )


def test_what_has_ended_serves_nothing_where_somebody_serves_any_host() -> None:
    a, b, everybody = Box("a", variant=1), Box("b", variant=2), Box(variant=3)
    stage = Stage(a, b, everybody)
    stage.news(everybody)
    stage.loops[0].end()
    assert (stage.parted, stage.who("a"), stage.who("b")) == ([a], 3, 2)


def test_lanes_share_what_may_be_remembered() -> None:
    a, b = Box("a"), Box("b")
    stage = Stage(a, b)
    assert [loop.remembers for loop in stage.loops] == [(500, 50), (500, 50)]
    stage.news(a)
    assert stage.loops[0].remembers == (1000, 100)


def test_the_pulse_is_that_of_who_has_stood_still_for_longest() -> None:
    stage = Stage(Box("a"), Box("b"))
    stage.loops[1].pulse = 90.0
    assert stage.lanes.oldest_pulse(101.0) == 90.0
    stage.lanes.excuse(5.0)
    assert [loop.pulse for loop in stage.loops] == [105.0, 95.0]
    assert Stage().lanes.oldest_pulse(101.0) == 101.0


@pytest.mark.parametrize(
    ("hosts", "label"),
    [(None, "node/0"), (("vc01",), "node/0:vc01"), (("a", "b"), "node/0:a,b")],
)
def test_a_lane_is_labelled_by_its_process_and_its_hosts(hosts: Hosts, label: str) -> None:
    assert label_of("node/0", hosts) == label


def test_a_label_is_no_longer_than_a_broker_takes() -> None:
    assert len(label_of("node/0", ("x" * 255,))) == MAX_LABEL


def test_files_are_allowed_for_all_lanes_or_it_is_said_what_lacks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted: list[int] = []

    def allow(files: int) -> int:
        wanted.append(files)
        return 300

    monkeypatch.setattr(module, "raise_file_limit", allow)
    Stage(Box("a"))
    Stage(*(Box(f"host{number}") for number in range(100)))
    one, hundred = wanted
    assert one < 300 < hundred
    (record,) = caplog.records
    assert record.message.startswith(
        f"100 hosts may need {hundred} open files, and the system allows 300; raise the hard limit"
    )


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be files for three new lanes."""
    monkeypatch.setattr(module, "raise_file_limit", lambda wanted: wanted)
    monkeypatch.setattr(module, "file_limit", lambda: 100)
    monkeypatch.setattr(module, "open_files", lambda: 75 - 3 * SCANT_FILES)


@pytest.mark.usefixtures("few_files")
def test_hosts_for_which_there_are_no_files_are_named_and_the_others_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    boxes = [Box(name) for name in "abcde"]
    stage = Stage(*boxes)
    assert stage.log == ["start a", "start b", "start c"]
    assert caplog.messages == ["2 hosts are not served, for want of open files: d, e"]
    assert stage.lanes.serve(boxes[:4]) == [boxes[4]], "it has no lane that would have to end"
    assert stage.log[3:] == ["start d"], "there are others again"


@pytest.mark.usefixtures("few_files")
def test_a_host_that_changes_is_served_on_where_there_are_no_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(Box("a", variant=1))
    monkeypatch.setattr(module, "open_files", lambda: 100)
    assert stage.news(Box("a", variant=2), Box("b")) == ["start a", "retire a"]
