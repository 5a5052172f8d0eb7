"""When agents are made anew, which of them stay, and what is said of those that cannot be."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, ClassVar, Self

import pytest

from vpoller_like.agent import Agent, task
from vpoller_like.agent.loader import AgentSource
from vpoller_like.errors import ConfigError
from vpoller_like.worker.renewal import RETRY, Renewal, Watched


class Store:
    """What there is of hosts, each with its variant."""

    def __init__(self) -> None:
        self.hosts: dict[str, Hashable] = {"a": 1}
        self.revision: Hashable = 0
        self.fault = ""
        self.revision_fault = ""
        self.made = 0
        self.log: list[str] = []

    def have(self, hosts: Mapping[str, Hashable] | None = None, fault: str = "") -> None:
        self.hosts = dict(hosts or self.hosts)
        self.fault = fault
        self.revision = object()


class Box(Agent):
    name = "box"
    store: ClassVar[Store]

    def __init__(self, hostname: str, variant: Hashable) -> None:
        self.hostnames = [hostname]
        self.variant = variant

    @classmethod
    def from_config(cls, _section: Mapping[str, Any]) -> Iterable[Self]:
        cls.store.made += 1
        for hostname, variant in cls.store.hosts.items():
            yield cls(hostname, variant)
        if cls.store.fault:
            raise ConfigError(cls.store.fault)

    @classmethod
    def revision(cls, _section: Mapping[str, Any]) -> Hashable:
        if cls.store.revision_fault:
            raise OSError(cls.store.revision_fault)
        return cls.store.revision

    def setup(self) -> None:
        if self.variant == "broken":
            raise OSError("no route")
        self.store.log.append(f"setup {self}")

    def teardown(self) -> None:
        self.store.log.append(f"teardown {self}")

    def __str__(self) -> str:
        assert self.hostnames is not None
        return f"{self.hostnames[0]}{self.variant}"

    @task("box.who")
    def who(self, msg: dict[str, Any]) -> None: ...


class Fixed(Box):
    """Serves the same method for ``z``, and never changes."""

    name = "fixed"
    revision = Agent.revision

    @classmethod
    def from_config(cls, _section: Mapping[str, Any]) -> Iterable[Self]:
        yield cls("z", 0)


class Stage:
    def __init__(self) -> None:
        self.store = Box.store = Store()
        self.now = 100.0
        self.announced: list[list[str]] = []
        watched = [Watched(AgentSource(kind.name, kind, {})) for kind in (Box, Fixed)]
        self.first = watched[0].agents[0]
        self.renewal = Renewal(watched, self._announce, lambda: self.now)
        self.store.made = 0

    def _announce(self, agents: list[Agent]) -> None:
        self.announced.append([str(agent) for agent in agents])


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_only_what_says_that_it_has_changed_is_made_anew(stage: Stage) -> None:
    stage.renewal.look()
    assert stage.store.made == 0
    stage.store.have()
    stage.renewal.look()
    stage.renewal.look()
    assert stage.store.made == 1
    assert stage.announced == []


def test_equal_instances_stay_and_new_ones_are_set_up(stage: Stage) -> None:
    stage.store.have({"a": 1, "b": 1})
    stage.renewal.look()
    assert stage.announced == [["a1", "b1", "z0"]]
    assert stage.renewal.agents[0] is stage.first
    assert stage.store.log == ["setup b1"]


def test_one_of_another_variant_takes_the_others_place(stage: Stage) -> None:
    stage.store.have({"a": 2})
    stage.renewal.look()
    assert stage.announced == [["a2", "z0"]]
    assert stage.store.log == ["setup a2"], "who serves decides when the other is torn down"


def test_what_cannot_be_made_changes_nothing_and_is_told_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.store.have({"b": 1}, fault="agents.box: password_file is missing")
    for _ in range(3):
        stage.renewal.look()
        stage.now += RETRY
    assert stage.store.made == 3, "it may be mended without a change"
    assert [record.message for record in caplog.records] == [
        "agent box: its hosts stay as they are: agents.box: password_file is missing"
    ]
    assert stage.announced == []
    stage.store.fault = ""
    stage.renewal.look()
    assert stage.announced == [["b1", "z0"]]
    stage.store.have(fault="again")
    stage.renewal.look()
    assert len(caplog.records) == 2


def test_between_two_tries_some_time_passes(stage: Stage) -> None:
    stage.store.have(fault="no")
    stage.renewal.look()
    stage.now += RETRY - 0.1
    stage.renewal.look()
    assert stage.store.made == 1


def test_who_asks_for_it_has_all_made_anew(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.store.have(fault="no")
    stage.renewal.look()
    stage.renewal.look(anyway=True)
    assert stage.store.made == 2
    assert len(caplog.records) == 2


def test_a_revision_that_cannot_be_told_is_told_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.store.revision_fault = "the database is locked"
    for _ in range(3):
        stage.renewal.look()
    assert [record.message for record in caplog.records] == [
        "agent box: whether its hosts have changed cannot be told: "
        "agent box cannot be made from its settings: OSError: the database is locked"
    ]
    stage.store.revision_fault = ""
    stage.renewal.look()
    assert stage.store.made == 0
    stage.store.revision_fault = "again"
    stage.renewal.look()
    assert len(caplog.records) == 2


def test_one_that_cannot_be_set_up_holds_back_no_other(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.store.have({"a": 1, "b": "broken", "c": 1})
    stage.renewal.look()
    assert stage.announced == [["a1", "c1", "z0"]]
    stage.now += RETRY
    stage.renewal.look()
    assert len(caplog.records) == 1
    assert "host b is not served" in caplog.text
    assert stage.announced[1:] == [], "nothing has changed since"


def test_hosts_of_somebody_else_are_refused_before_anything_is_set_up(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.store.have({"a": 1, "b": 1, "z": 1})
    stage.renewal.look()
    assert "box.who is served twice for hostname z" in caplog.text
    assert stage.store.log == []
    assert stage.announced == []


def test_a_variant_that_cannot_be_compared_is_a_sentence(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    unhashable: Any = ["list"]
    stage.store.have({"a": unhashable})
    stage.renewal.look()
    assert "TypeError: unhashable type: 'list'" in caplog.text
