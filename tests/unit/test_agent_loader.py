"""Loading agents by their entry points, from distributions as pip leaves them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vpoller_like.agent import available_agents, load_agents
from vpoller_like.errors import AgentError, ConfigError

AGENT = """
import msgspec
from vpoller_like.agent import Agent, settings, task
from vpoller_like.errors import ConfigError

class Settings(msgspec.Struct):
    hosts: tuple[str, ...] = ("only",)
    password: str = ""

class Sample(Agent):
    name = "sample"

    def __init__(self, host):
        self.hostnames = [host]

    @classmethod
    def from_config(cls, section):
        for host in settings.read(Settings, section, "agents.sample").hosts:
            if host == "bug":
                raise KeyError("bug")
            if host == "blurt":
                raise KeyError(section["password"])
            if host == "complain":
                raise ConfigError(f"agents.sample: {section['password']} is too short")
            yield cls(host)

    @task("sample.ping")
    def ping(self, msg):
        return "pong"

class Idle(Agent):
    name = "idle"

class Nameless(Agent):
    @task("x")
    def x(self, msg):
        return 1

number = 5
"""


class Site:
    """A directory on the path, with distributions in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def module(self, name: str, text: str) -> None:
        (self.path / f"{name}.py").write_text(text)

    def distribution(
        self, name: str, entries: dict[str, str], extras: tuple[str, ...] = ()
    ) -> None:
        info = self.path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        metadata = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
        metadata += [f"Provides-Extra: {extra}" for extra in extras]
        (info / "METADATA").write_text("\n".join(metadata) + "\n")
        lines = ["[vpoller_like.agents]", *(f"{key} = {value}" for key, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    site = Site(tmp_path)
    site.module("sample_agents", AGENT)
    site.distribution(
        "sample-agents",
        {
            "sample": "sample_agents:Sample",
            "idle": "sample_agents:Idle",
            "nameless": "sample_agents:Nameless",
            "number": "sample_agents:number",
            "absent": "sample_agents:Absent",
            "gone": "sample_gone:Agent",
            "needy": "sample_needy:Agent",
            "hungry": "sample_needy:Agent [food]",
            "crash": "sample_crash:Agent",
        },
        extras=("needy", "food"),
    )
    site.module("sample_needy", "import a_library_that_is_not_there")
    site.module("sample_crash", "1 / 0")
    yield site
    for name in set(sys.modules) - before:
        if name.startswith("sample_"):
            del sys.modules[name]


def refusal(name: str, settings: dict[str, dict[str, Any]] | None = None) -> str:
    with pytest.raises(AgentError) as caught:
        load_agents([name], settings or {})
    return caught.value.message


@pytest.mark.usefixtures("site")
def test_installed_agents_are_listed_without_importing_them() -> None:
    assert {"sample", "needy", "crash"} <= set(available_agents())
    assert available_agents()["sample"].value == "sample_agents:Sample"
    assert "sample_agents" not in sys.modules


@pytest.mark.usefixtures("site")
def test_an_agent_is_loaded_by_name_and_the_others_are_left_alone() -> None:
    (agent,) = load_agents(["sample"], {})
    assert agent.hostnames == ["only"]
    assert "sample_needy" not in sys.modules


@pytest.mark.usefixtures("site")
def test_there_is_one_instance_for_each_configured_host() -> None:
    agents = load_agents(["sample"], {"sample": {"hosts": ["a", "b"]}, "other": {"x": 1}})
    assert [agent.hostnames for agent in agents] == [["a"], ["b"]]


@pytest.mark.usefixtures("site")
def test_an_agent_named_twice_is_loaded_once() -> None:
    assert len(load_agents(["sample", "sample"], {})) == 1


@pytest.mark.usefixtures("site")
def test_an_unknown_agent_names_the_nearest_and_all() -> None:
    text = refusal("sampel")
    assert "agent sampel is not installed; did you mean sample?" in text
    assert "needy" in text


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("idle", "has no tasks"),
        ("nameless", 'give it name = "nameless"'),
        ("number", "not a subclass of Agent"),
        ("absent", "AttributeError"),
        ("crash", "cannot be imported: ZeroDivisionError: division by zero"),
        ("gone", "reinstall sample-agents"),
    ],
)
def test_what_cannot_be_loaded_says_why(name: str, words: str) -> None:
    text = refusal(name)
    assert text.startswith(f"agent {name} (sample_")
    assert words in text


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(("name", "extra"), [("needy", "needy"), ("hungry", "food")])
def test_a_missing_library_names_the_extra_that_brings_it(name: str, extra: str) -> None:
    text = refusal(name)
    assert "No module named 'a_library_that_is_not_there'" in text
    assert f"pip install 'sample-agents[{extra}]'" in text


def test_a_name_that_two_distributions_provide_is_refused(site: Site) -> None:
    site.distribution("other-agents", {"sample": "other_agents:Sample"})
    text = refusal("sample")
    assert "other_agents:Sample and sample_agents:Sample" in text


@pytest.mark.usefixtures("site")
def test_a_wrong_setting_is_the_configurations_fault() -> None:
    with pytest.raises(ConfigError, match=r"agents\.sample\.host: .* did you mean hosts"):
        load_agents(["sample"], {"sample": {"host": []}})


@pytest.mark.usefixtures("site")
def test_an_agent_with_no_host_configured_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"agents\.sample: no host is configured"):
        load_agents(["sample"], {"sample": {"hosts": []}})


@pytest.mark.usefixtures("site")
def test_an_agent_that_stumbles_over_its_settings_is_named() -> None:
    text = refusal("sample", {"sample": {"hosts": ["bug"]}})
    assert text == "agent sample cannot be made from its settings: KeyError: 'bug'"


@pytest.mark.usefixtures("site")
def test_what_an_agent_says_of_its_settings_does_not_tell_a_secret() -> None:
    text = refusal("sample", {"sample": {"hosts": ["blurt"], "password": "hunter2"}})
    assert text == "agent sample cannot be made from its settings: KeyError: '***'"
    with pytest.raises(ConfigError, match=r"^agents\.sample: \*\*\* is too short$") as caught:
        load_agents(["sample"], {"sample": {"hosts": ["complain"], "password": "hunter2"}})
    assert caught.value.message == str(caught.value)
