"""``vpoller config show``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Vpoller, vpoller
from vpoller_like.cli.config import masked
from vpoller_like.loading import known_keys

__all__ = ["vpoller"]

SECRETS = """
[agents.vsphere]
user = "root"
password = "hunter2"
password_file = "/run/secrets/vc"
since = 2026-11-01
[[agents.vsphere.hosts]]
name = "vc01"
Pwd = "hunter2"
apiToken = "hunter2"
[agents.vsphere.secrets]
vc02 = "hunter2"
"""


def test_every_setting_is_printed(vpoller: Vpoller) -> None:
    data = vpoller("config", "show").data
    assert set(data) == {".".join(key) for key in known_keys()}
    assert data["client.timeout"] == 3000


def test_each_origin_is_printed(
    vpoller: Vpoller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vpoller.toml").write_text("[client]\nretries = 5\n")
    monkeypatch.setenv("VPOLLER_CLIENT_TIMEOUT", "77")
    data = {each["key"]: each for each in vpoller("config", "show", "--origin").data}
    assert data["client.timeout"] == {
        "key": "client.timeout",
        "value": 77,
        "origin": "VPOLLER_CLIENT_TIMEOUT",
    }
    assert data["client.retries"]["origin"].endswith("vpoller.toml:2")
    assert data["broker.admin"]["origin"] == "default"


def test_the_flag_names_the_file(vpoller: Vpoller, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[worker]\nname = 'w'\n")
    assert vpoller("--config", "mine.toml", "config", "show").data["worker.name"] == "w"


@pytest.mark.parametrize("output", ["json", "yaml", "table"])
@pytest.mark.parametrize("origin", [[], ["--origin"]])
def test_agents_secrets_are_masked(
    vpoller: Vpoller, tmp_path: Path, output: str, origin: list[str]
) -> None:
    (tmp_path / "vpoller.toml").write_text(SECRETS)
    outcome = vpoller("config", "show", *origin, "-o", output)
    assert outcome.code == 0
    assert "hunter2" not in outcome.out
    for shown in ("root", "/run/secrets/vc", "vc01", "2026-11-01", "***"):
        assert shown in outcome.out


def test_a_secret_is_masked_however_deep() -> None:
    assert masked("a", [{"b": {"my_token": ["x"], "c": 1}}]) == [{"b": {"my_token": "***", "c": 1}}]


def test_wrong_settings_exit_2_in_one_sentence(vpoller: Vpoller, tmp_path: Path) -> None:
    (tmp_path / "vpoller.toml").write_text("[clint]\ntimeout = 1\n")
    outcome = vpoller("config", "show")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: unknown key clint.timeout (vpoller.toml:2); did you mean")
    assert outcome.err.count("\n") == 1
