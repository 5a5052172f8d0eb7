"""Settings: from every place, in order, checked, and with their origin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vpoller_like import sources
from vpoller_like.config import Settings
from vpoller_like.errors import ConfigError
from vpoller_like.loading import Loaded, known_keys, load, variables
from vpoller_like.sources import Origin, dotted

ROOT = Path(__file__).resolve().parents[2]


class Places:
    """A user's directories, with files written as the test says."""

    def __init__(self, base: Path) -> None:
        self.cwd = base / "cwd"
        self.xdg = base / "xdg"
        self.etc = base / "etc"
        self.environ: dict[str, str] = {"XDG_CONFIG_HOME": str(self.xdg)}
        self.cwd.mkdir()
        self.etc.mkdir()
        (self.xdg / "vpoller").mkdir(parents=True)

    def here(self, text: str) -> Path:
        return self._write(self.cwd / "vpoller.toml", text)

    def user(self, text: str) -> Path:
        return self._write(self.xdg / "vpoller" / "vpoller.toml", text)

    def system(self, text: str) -> Path:
        return self._write(self.etc / "vpoller.toml", text)

    def named(self, text: str) -> Path:
        return self._write(self.cwd / "named.toml", text)

    def load(self, config: Path | None = None, **flags: Any) -> Loaded:
        said = {key.replace("__", "."): value for key, value in flags.items()}
        return load(config, said, self.environ, self.cwd)

    def fault(self, **flags: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(**flags)
        return caught.value.message

    @staticmethod
    def _write(path: Path, text: str) -> Path:
        path.write_text(text)
        return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    made = Places(tmp_path)
    monkeypatch.setattr(sources, "SYSTEM_FILE", made.etc / "vpoller.toml")
    return made


def test_without_any_source_every_value_is_the_default(places: Places) -> None:
    loaded = places.load()
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {Origin()}
    assert set(loaded.origins) == {dotted(key) for key in known_keys()}


def test_each_place_goes_before_the_ones_after_it(places: Places) -> None:
    """Adding them from the least important on, each takes the key over."""
    assert places.load().settings.client.timeout == 3000
    places.system("[client]\ntimeout = 10")
    assert places.load().settings.client.timeout == 10
    places.user("[client]\ntimeout = 1")
    assert places.load().settings.client.timeout == 1
    places.here("[client]\ntimeout = 2")
    assert places.load().settings.client.timeout == 2
    named = places.named("[client]\ntimeout = 3")
    assert places.load(named).settings.client.timeout == 3
    places.environ["VPOLLER_CLIENT_TIMEOUT"] = "4"
    assert places.load(named).settings.client.timeout == 4
    assert places.load(named, client__timeout=5).settings.client.timeout == 5


def test_files_are_merged_key_by_key(places: Places) -> None:
    places.user("[client]\ntimeout = 1\n[agents.x]\na = 1\nt = {p = 1}")
    places.here("[client]\nretries = 2\n[agents.x]\nb = 2\nt = {q = 2}")
    settings = places.load().settings
    assert (settings.client.timeout, settings.client.retries) == (1, 2)
    assert settings.agents == {"x": {"a": 1, "b": 2, "t": {"p": 1, "q": 2}}}


def test_an_empty_section_takes_nothing_away(places: Places) -> None:
    places.user("[agents.x]\na = 1")
    places.here("[agents.x]\n[client]\n")
    assert places.load().settings.agents == {"x": {"a": 1}}


def test_a_table_gives_way_to_a_later_value_of_its_name(places: Places) -> None:
    places.user("[agents.x.hosts]\nvc1 = 1")
    places.here('[agents.x]\nhosts = ["vc2"]')
    loaded = places.load()
    assert loaded.settings.agents == {"x": {"hosts": ["vc2"]}}
    assert "agents.x.hosts.vc1" not in loaded.origins


def test_the_variable_names_a_file_unless_the_flag_does(places: Places) -> None:
    by_variable = places.here("[client]\nretries = 7").rename(places.cwd / "v.toml")
    places.environ["VPOLLER_CONFIG"] = str(by_variable)
    assert places.load().settings.client.retries == 7
    assert places.load(places.named("")).settings.client.retries == 3


def test_without_xdg_the_users_file_is_in_dot_config(places: Places) -> None:
    home = places.cwd / "home"
    (home / ".config" / "vpoller").mkdir(parents=True)
    (home / ".config" / "vpoller" / "vpoller.toml").write_text("[client]\nretries = 9")
    loaded = load(environ={"HOME": str(home)}, cwd=places.cwd)
    assert loaded.settings.client.retries == 9


def test_lists_in_variables_are_separated_by_commas(places: Places) -> None:
    places.environ["VPOLLER_WORKER_BACKENDS"] = "tcp://a:1, ipc:///b"
    assert places.load().settings.worker.backends == ["tcp://a:1", "ipc:///b"]


def test_every_key_has_a_variable() -> None:
    expected = {f"VPOLLER_{'_'.join(key).upper()}" for key in known_keys()}
    assert set(variables()) == expected
    assert "VPOLLER_BROKER_FRONTEND" in expected


def test_an_unsaid_flag_changes_nothing(places: Places) -> None:
    assert places.load(client__timeout=None).origins["client.timeout"] == Origin()


def test_the_origin_names_file_and_line_variable_or_flag(places: Places) -> None:
    path = places.here(
        '# a comment\n[client]\ntimeout = 1 # one\n\n[worker]\nname = """\nthreads = 9\n"""\n'
        '[agents."a b"]\nx.y = 2\nz = [\n 1,\n]\n'
    )
    places.environ["VPOLLER_CLIENT_RETRIES"] = "2"
    origins = places.load(worker__threads=3).origins
    assert str(origins["client.timeout"]) == f"{path}:3"
    assert str(origins["worker.name"]) == f"{path}:6"
    assert str(origins['agents."a b".x.y']) == f"{path}:10"
    assert str(origins['agents."a b".z']) == f"{path}:11"
    assert str(origins["client.retries"]) == "VPOLLER_CLIENT_RETRIES"
    assert str(origins["worker.threads"]) == "flag"
    assert str(origins["broker.admin"]) == "default"


@pytest.mark.parametrize(
    ("text", "wrong", "meant"),
    [
        ("[broker]\nfrontent = 'tcp://a:1'", "broker.frontent", "broker.frontend"),
        ("[brokr]\nfrontend = 'tcp://a:1'", "brokr.frontend", "broker.frontend"),
        ("[broker]\nthreads = 1", "broker.threads", "worker.threads"),
        ("retries = 1", "retries", "client.retries"),
        ("[agent.system]", "agent.system", "[agents]"),
        ("[clint]", "clint", "[client]"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_named(
    places: Places, text: str, wrong: str, meant: str
) -> None:
    path = places.here(text)
    fault = places.fault()
    assert f"unknown key {wrong} ({path}:" in fault
    assert f"did you mean {meant}?" in fault


def test_an_unknown_variable_is_refused_and_the_nearest_named(places: Places) -> None:
    places.environ["VPOLLER_CLIENT_TIMOUT"] = "1"
    fault = places.fault()
    assert "VPOLLER_CLIENT_TIMOUT; did you mean VPOLLER_CLIENT_TIMEOUT?" in fault


def test_a_misspelt_config_variable_is_refused_too(places: Places) -> None:
    places.environ["VPOLLER_CONFG"] = "/etc/x.toml"
    assert "did you mean VPOLLER_CONFIG?" in places.fault()


def test_the_variable_that_asks_for_pure_python_is_no_setting_and_no_mistake(
    places: Places,
) -> None:
    places.environ["VPOLLER_PURE"] = "1"
    assert places.load().settings == Settings()
    places.environ["VPOLLER_PUR"] = "1"
    assert "did you mean VPOLLER_PURE?" in places.fault()


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ('[client]\ntimeout = "3"', "client.timeout", "expected int, got '3'"),
        ("[client]\ntimeout = 0", "client.timeout", "expected int >= 1, got 0"),
        ("[client]\ntimeout = 2.5", "client.timeout", "expected int, got 2.5"),
        ("[worker]\nagents = 'system'", "worker.agents", "expected a list, got 'system'"),
        ("[worker]\nagents = [1]", "worker.agents", "expected str, got [1]"),
        ("[broker]\nadmin = 'nowhere'", "broker.admin", "expected an endpoint such as tcp://"),
        ("[worker]\nbackends = ['x']", "worker.backends", "expected an endpoint such as tcp://"),
        ("[broker.admin]\nx = 1", "broker.admin", "expected str, got {'x': 1}"),
    ],
)
def test_a_wrong_value_names_the_key_the_place_and_what_is_expected(
    places: Places, text: str, key: str, expected: str
) -> None:
    path = places.here(text)
    fault = places.fault()
    assert fault.startswith(f"{key}: {expected}")
    assert f"({path}:" in fault


def test_a_wrong_variable_or_flag_is_named(places: Places) -> None:
    assert "client.retries: expected int >= 1, got 0 (flag)" in places.fault(client__retries=0)
    places.environ["VPOLLER_CLIENT_RETRIES"] = "many"
    assert "expected int, got 'many' (VPOLLER_CLIENT_RETRIES)" in places.fault()


@pytest.mark.parametrize("text", ["broker = 1", "agents = 1", "[agents]\nsystem = 'secret'"])
def test_a_section_must_be_one_and_its_value_is_not_shown(places: Places, text: str) -> None:
    places.here(text)
    fault = places.fault()
    assert "expected a section" in fault
    assert "secret" not in fault


def test_a_liveness_shorter_than_the_heartbeat_is_refused(places: Places) -> None:
    places.here("[broker]\nheartbeat_ms = 3000")
    assert "expected more than broker.heartbeat_ms (3000), got 3000" in places.fault()


@pytest.mark.parametrize("content", [b"[broker", b"x = \xff", b"a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_named(places: Places, content: bytes) -> None:
    path = places.cwd / "vpoller.toml"
    path.write_bytes(content)
    assert places.fault().startswith(f"{path} is not valid TOML: ")


def test_a_file_asked_for_by_name_must_be_there(places: Places) -> None:
    missing = places.cwd / "missing.toml"
    with pytest.raises(ConfigError, match=r"cannot read .*missing.toml: No such file .*--config"):
        places.load(missing)
    places.environ["VPOLLER_CONFIG"] = str(missing)
    assert "$VPOLLER_CONFIG must name a readable file" in places.fault()


def test_a_file_that_may_not_be_read_is_left_out_with_a_warning(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory in its place stands for any file that cannot be read, also for root."""
    (places.cwd / "vpoller.toml").mkdir()
    assert places.load().settings == Settings()
    assert "vpoller.toml is left out: Is a directory" in caplog.text


def _uncommented(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE))


def test_the_shipped_file_parses_and_changes_nothing(places: Places) -> None:
    shipped = ROOT / "etc" / "vpoller.toml"
    assert places.load(shipped).settings == Settings(agents={"system": {}})


def test_the_shipped_file_shows_every_key_with_its_default() -> None:
    shown = _uncommented((ROOT / "etc" / "vpoller.toml").read_text())
    assert shown == msgspec.to_builtins(Settings(agents={"system": {}}))


def test_the_documentation_names_every_key_variable_and_default() -> None:
    text = (ROOT / "docs" / "reference" / "configuration.rst").read_text()
    defaults = msgspec.to_builtins(Settings())
    for variable, (section, name) in variables().items():
        default = msgspec.json.encode(defaults[section][name]).decode()
        assert f"   * - ``{section}.{name}``\n     - ``{default}``\n" in text, (section, name)
        assert variable.startswith("VPOLLER_")
