"""Agents whose hosts change: what the SDK asks them, and what serves meanwhile."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Self

import pytest

from vpoller_like.agent import Agent, AgentHost, task
from vpoller_like.agent.agent import identity_of
from vpoller_like.agent.loader import AgentSource
from vpoller_like.errors import AgentError, ConfigError


class Box(Agent):
    name = "box"

    def __init__(self, *hostnames: str, variant: Hashable = None) -> None:
        self.hostnames = list(hostnames) or None
        self.variant = variant

    @task("box.who")
    def who(self, _msg: dict[str, Any]) -> list[Any]:
        return [self.hostnames, self.variant]


class Shelf(Box):
    """Its hosts are settings; so is its revision."""

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Iterable[Self]:
        for host in section["hosts"]:
            yield cls(host)

    @classmethod
    def revision(cls, section: Mapping[str, Any]) -> Hashable:
        return section.get("revision")


def who(host: AgentHost, hostname: str | None = None) -> Any:
    reply = host.call({"method": "box.who", **({"hostname": hostname} if hostname else {})})
    return reply["result"] if reply["success"] == 0 else reply["error"]["code"]


def test_an_agent_with_a_revision_may_have_no_host_yet() -> None:
    source = AgentSource("box", Shelf, {"hosts": [], "revision": 1})
    assert source.is_revised
    assert source.instances() == []


def test_an_agent_that_never_changes_must_have_a_host() -> None:
    with pytest.raises(ConfigError, match=r"^agents\.box: no host is configured"):
        AgentSource("box", Shelf, {"hosts": []}).instances()
    assert not AgentSource("box", Box, {}).is_revised


def test_what_an_agent_says_of_its_revision_is_an_error_with_its_name() -> None:
    class Broken(Shelf):
        @classmethod
        def revision(cls, section: Mapping[str, Any]) -> Hashable:
            raise OSError(f"{section['file']} is gone")

    with pytest.raises(AgentError, match=r"^agent box cannot be made .*OSError: x is gone$"):
        AgentSource("box", Broken, {"file": "x"}).revision()


def test_an_instance_is_its_class_its_hostnames_and_its_variant() -> None:
    assert identity_of(Box("a", variant=1)) == identity_of(Box("a", variant=1))
    others = [Box("a", variant=2), Box("a", "b", variant=1), Box(variant=1), Shelf("a", variant=1)]
    assert identity_of(Box("a", variant=1)) not in map(identity_of, others)


def test_a_host_that_is_renewed_serves_the_new_agents() -> None:
    host = AgentHost([Box("a"), Box("b")])
    host.renew([Box("b", variant=2), Box("c")])
    assert [who(host, name) for name in "abc"] == ["unknown_host", [["b"], 2], [["c"], None]]


def test_who_leaves_serves_what_nobody_else_does() -> None:
    host = AgentHost([])
    host.renew([Box("b", variant=2)], leaving=[Box("a"), Box("b", variant=1)])
    assert [who(host, name) for name in "ab"] == [[["a"], None], [["b"], 2]]
    assert who(host) == [["b"], 2], "one that leaves is not meant where no host is named"
    assert [offer.hosts for offer in host.offers()] == [["b"]]


def test_the_last_one_is_meant_until_it_has_left() -> None:
    host = AgentHost([Box("a")])
    host.renew([], leaving=host.agents)
    assert who(host) == [["a"], None]
    host.renew([])
    assert who(host) == "unknown_method"


def test_a_renewal_that_contradicts_itself_changes_nothing() -> None:
    host = AgentHost([Box("a")])
    with pytest.raises(AgentError, match="served twice for hostname b"):
        host.renew([Box("b"), Shelf("b")])
    assert who(host, "a") == [["a"], None]
