"""An agent's section of the configuration."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from vpoller_like.agent import Agent, Secret, settings, task
from vpoller_like.errors import ConfigError


class Host(msgspec.Struct):
    host: str
    user: str = "root"
    password: Secret[str] = ""


class Section(msgspec.Struct):
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    hosts: list[Host] = []
    main: Host | None = None
    named: dict[str, Host] = {}

    def __post_init__(self) -> None:
        if self.main and self.hosts:
            raise ValueError("give main or hosts, not both")


class Plain(Agent):
    name = "plain"

    @task("ping")
    def ping(self, _msg: dict[str, Any]) -> str:
        return "pong"


def fault(given: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        settings.read(Section, given, "agents.x")
    return caught.value.message


def test_a_section_is_read_into_its_struct() -> None:
    section = settings.read(Section, {"timeout": 2, "hosts": [{"host": "a"}]}, "agents.x")
    assert section == Section(timeout=2.0, hosts=[Host("a")])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"timout": 1}, "agents.x.timout: unknown setting; did you mean timeout?"),
        ({"q": 1}, "agents.x.q: unknown setting; there are: hosts, main, named, timeout"),
        (
            {"hosts": [{"host": "a"}, {"host": "b", "usr": "c"}]},
            "agents.x.hosts[1].usr: unknown setting; did you mean user?",
        ),
        (
            {"main": {"hosst": "a"}},
            "agents.x.main.hosst: unknown setting; did you mean host?",
        ),
        (
            {"named": {"one": {"hostt": "a"}}},
            "agents.x.named.one.hostt: unknown setting; did you mean host?",
        ),
        ({"timeout": "x"}, "agents.x.timeout: expected float, got str"),
        ({"timeout": 0}, "agents.x.timeout: expected float > 0.0"),
        ({"hosts": [{}]}, "agents.x.hosts[0].host: missing"),
        (
            {"main": {"host": "a"}, "hosts": [{"host": "a"}]},
            "agents.x: give main or hosts, not both",
        ),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, Any], message: str) -> None:
    assert fault(given) == message


def test_a_wrong_secret_is_not_quoted() -> None:
    assert "918273" not in fault({"hosts": [{"host": "a", "password": 918273}]})


def test_an_agent_without_settings_is_one_instance() -> None:
    (agent,) = Plain.from_config({})
    assert isinstance(agent, Plain)
    assert agent.hostnames is None


def test_an_agent_without_settings_refuses_any() -> None:
    with pytest.raises(ConfigError, match=r"agents\.plain\.colour: unknown setting"):
        list(Plain.from_config({"colour": "red"}))
