"""vPoller's INI file: read, mapped to settings, and turned into a vpoller.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Vpoller, vpoller
from tests.support.inifile import FULL, vconnectors_database
from vpoller_like.cli.upstream import ini, mapping
from vpoller_like.config import Settings
from vpoller_like.errors import ConfigError
from vpoller_like.loading import load, settle

__all__ = ["vpoller"]


def written(place: Path, text: str) -> str:
    path = place / "vpoller.conf"
    path.write_text(text)
    return str(path)


def settings(path: str) -> Settings:
    return settle([mapping.layer(mapping.fates(ini.read(path)))]).settings


def said(path: str) -> dict[str, str]:
    return {fate.entry.key: str(fate) for fate in mapping.fates(ini.read(path))}


def full(place: Path) -> str:
    return written(place, FULL.format(db=vconnectors_database(place / "vconnector.db")))


# Read -----------------------------------------------------------------------------------


def test_each_entry_knows_its_line(tmp_path: Path) -> None:
    entries = ini.read(full(tmp_path))
    assert len(entries) == 12
    lines = Path(entries[0].path).read_text().splitlines()
    for entry in entries:
        assert entry.line is not None
        assert lines[entry.line - 1].startswith(entry.key)


def test_what_default_gives_is_given(tmp_path: Path) -> None:
    path = written(tmp_path, "[DEFAULT]\nmgmt = tcp://127.0.0.1:1\n[proxy]\n")
    assert settings(path).broker.admin == "tcp://127.0.0.1:1"
    assert said(path)["mgmt"].startswith(f"{path}:2: ")


def test_a_comment_behind_a_value_is_none_of_it(tmp_path: Path) -> None:
    path = written(tmp_path, "[proxy]\nfrontend = tcp://127.0.0.1:1 ; ours; not theirs\n")
    assert settings(path).broker.frontend == "tcp://127.0.0.1:1"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("frontend = tcp://*:1\n", "no section headers"),
        ("[proxy]\nfrontend = a\nfrontend = b\n", "'frontend' in section 'proxy' already exists"),
        ("[proxy]\n[proxy]\n", "section 'proxy' already exists"),
        ("[proxy]\nfrontend = 100%\n", "'%' must be followed by"),
        ("[proxy]\nwhat is this\n", "parsing errors"),
    ],
)
def test_what_vpoller_could_not_read_is_an_error(tmp_path: Path, text: str, fault: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        ini.read(path)
    assert error.value.message.startswith(f"{path} is no INI file that vPoller could read: ")
    assert fault in error.value.message
    assert "\n" not in error.value.message


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "vpoller.conf").write_bytes(b"[proxy]\n\xff\xfe = 1\n")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text: .*; save it as UTF-8"):
        ini.read(str(tmp_path / "vpoller.conf"))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file.*; name vPoller's INI"):
        ini.read(str(tmp_path / "nowhere.conf"))


# Mapped ---------------------------------------------------------------------------------


def test_a_whole_file_is_mapped(tmp_path: Path) -> None:
    found = settings(full(tmp_path))
    assert found.broker.frontend == "tcp://*:10123"
    assert found.broker.backend == "tcp://*:10124"
    assert found.broker.admin == "tcp://*:9999"
    assert found.worker.backends == ["tcp://localhost:10124"]
    assert found.worker.agents == ["vsphere"]
    assert found.client.endpoints == ["tcp://127.0.0.1:10123"]
    assert found.client.admin == "tcp://127.0.0.1:9999"
    assert found.agents == {}


def test_each_entry_is_told_of_in_one_line(tmp_path: Path) -> None:
    path = full(tmp_path)
    told = said(path)
    assert len(told) == 11  # mgmt is in two sections
    assert all("\n" not in line for line in told.values())
    assert told["frontend"].startswith(
        f"{path}:2: [proxy] frontend = tcp://*:10123 is broker.frontend and client.endpoints"
    )
    assert "broker.plain" in told["backend"]
    assert "has no counterpart: a worker has no endpoint" in told["mgmt"]
    assert "has no counterpart: no property is cached" in told["ttl"]
    assert f"`vpoller host import {tmp_path / 'vconnector.db'}`" in told["db"]


def test_a_database_that_is_not_vconnectors_is_the_agents(tmp_path: Path) -> None:
    ours = tmp_path / "hosts.db"
    ours.write_bytes(b"")
    path = written(tmp_path, f"[worker]\ndb = {ours}\n")
    assert settings(path).agents == {"vsphere": {"database": str(ours)}}
    assert said(path)["db"].endswith("is agents.vsphere.database")


def test_a_database_that_is_not_there_is_no_setting(tmp_path: Path) -> None:
    path = written(tmp_path, f"[worker]\ndb = {tmp_path / 'none.db'}\n")
    assert settings(path).agents == {}
    assert "it is not there; `vpoller host add`" in said(path)["db"]


def test_tasks_and_helpers_of_others_are_named(tmp_path: Path) -> None:
    path = written(
        tmp_path, "[worker]\ntasks = vpoller.vsphere.tasks, our.tasks\nhelpers = our.helper\n"
    )
    assert settings(path).worker.agents == ["vsphere"]
    assert "our.tasks is written for vPoller's workers" in said(path)["tasks"]
    assert "vpoller.vsphere.tasks is written" not in said(path)["tasks"]
    assert (
        "our.helper is not; make it an entry point of vpoller_like.helpers"
        in (said(path)["helpers"])
    )


def test_what_vpoller_does_not_know_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "[proxy]\nfrontent = tcp://*:1\n[proxies]\nfrontend = tcp://*:1\n")
    assert settings(path) == Settings()
    frontent, frontend = (str(fate) for fate in mapping.fates(ini.read(path)))
    assert frontent.endswith("vPoller has no such key; did you mean frontend?")
    assert frontend.endswith("vPoller has no such section")


def test_a_program_takes_its_own_sections(tmp_path: Path) -> None:
    fates = mapping.fates(ini.read(full(tmp_path)), ("proxy",))
    assert {fate.entry.section for fate in fates} == {"proxy"}


@pytest.mark.parametrize("value", ["", "localhost:10123", "http://x"])
def test_a_wrong_endpoint_is_named_with_its_line(tmp_path: Path, value: str) -> None:
    path = written(tmp_path, f"\n[proxy]\nfrontend = {value}\n")
    with pytest.raises(ConfigError) as error:
        settings(path)
    assert "broker.frontend: expected an endpoint such as tcp://" in error.value.message
    assert f"{path}:3" in error.value.message


# Migrated -------------------------------------------------------------------------------


def migrated(vpoller: Vpoller, path: str, *options: str) -> str:
    outcome = vpoller("config", "migrate", path, *options)
    assert outcome.code == 0, outcome.err
    return outcome.out


def test_the_migrated_file_says_what_the_ini_file_says(vpoller: Vpoller, tmp_path: Path) -> None:
    path = full(tmp_path)
    (tmp_path / "new.toml").write_text(migrated(vpoller, path))
    assert load(tmp_path / "new.toml", environ={}, cwd=tmp_path).settings == settings(path)


def test_nothing_of_the_ini_file_is_lost(vpoller: Vpoller, tmp_path: Path) -> None:
    path = full(tmp_path)
    text = migrated(vpoller, path)
    for entry in ini.read(path):
        assert f"# {entry.place}: {entry} " in text


def test_every_line_is_told_of_on_stderr(vpoller: Vpoller, tmp_path: Path) -> None:
    path = full(tmp_path)
    told = vpoller("config", "migrate", path).err.splitlines()
    assert told == [str(fate) for fate in mapping.fates(ini.read(path))]


def test_open_endpoints_come_with_what_is_to_be_done(vpoller: Vpoller, tmp_path: Path) -> None:
    text = migrated(vpoller, full(tmp_path))
    assert "vpoller keys new broker" in text
    commented_out = text.replace('\nfrontend = "tcp://*:10123"', "")
    for line in (
        'key = "broker"',
        'open_frontend = "tcp://*:10123"',
        "allow_plain = [",
        "frontend",
    ):
        commented_out = commented_out.replace(f"#{line}", line)
    broker: dict[str, Any] = tomllib.loads(commented_out)["broker"]
    assert broker["open_frontend"] == "tcp://*:10123"
    assert broker["allow_plain"] == ["192.0.2.0/24", "127.0.0.1"]
    assert broker["frontend"] == "tcp://127.0.0.1:10126"


def test_closed_endpoints_come_without_warning(vpoller: Vpoller, tmp_path: Path) -> None:
    text = migrated(vpoller, written(tmp_path, "[proxy]\nfrontend = tcp://127.0.0.1:5000\n"))
    assert "keys" not in text
    assert tomllib.loads(text) == {
        "broker": {"frontend": "tcp://127.0.0.1:5000"},
        "client": {"endpoints": ["tcp://127.0.0.1:5000"]},
    }


@pytest.mark.parametrize("name", ['a"b\\c', "ümläut 🐍", "bell\x07\x7f", "tab\tand more"])
def test_values_survive_toml(vpoller: Vpoller, tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"[proxy]\nfrontend = ipc://{tmp_path}/{name}\n")
    text = migrated(vpoller, path)
    assert tomllib.loads(text)["broker"]["frontend"] == f"ipc://{tmp_path}/{name}"


def test_it_is_written_to_a_file_that_is_not_there_yet(vpoller: Vpoller, tmp_path: Path) -> None:
    path, new = full(tmp_path), tmp_path / "new.toml"
    assert migrated(vpoller, path, "-o", str(new)) == ""
    first = new.read_text()
    assert "[broker]" in first
    refused = vpoller("config", "migrate", path, "-o", str(new))
    assert (refused.code, new.read_text()) == (2, first)
    assert "is there already; name another file, or say --force" in refused.err
    new.write_text("# mine")
    migrated(vpoller, path, "--force", "-o", str(new))
    assert new.read_text() == first


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[proxy]\nfrontend = nonsense\n", "vpoller.conf:2"),
        ("nonsense\n", "vpoller.conf is no INI file"),
        ("[proxy]\nmgmt = tcp://127.0.0.1\n", "cannot bind tcp://127.0.0.1: it needs a port"),
    ],
)
def test_a_bad_file_is_not_migrated(
    vpoller: Vpoller, tmp_path: Path, text: str, fault: str
) -> None:
    outcome = vpoller("config", "migrate", written(tmp_path, text))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: ")
    assert fault in outcome.err
