"""Whatever stands in a settings file: settings, or one sentence that says what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.mutator import TOKENS
from vpoller_like.authorized import AuthorizedList
from vpoller_like.errors import ConfigError
from vpoller_like.loading import load

ROOT = Path(__file__).resolve().parents[2]
AUTHORIZED_TOML = b"""# Who may use this broker.
[anna]
public_key = "yYyYyYyYyYyYyYyYyYyYyYyYyYyYyYyYyYyYyYyY"
role = "caller"
methods = ["vm.*", "host.get"]

["bob.1"]
public_key = "zZzZzZzZzZzZzZzZzZzZzZzZzZzZzZzZzZzZzZzZ"
role = "worker"
"""
WORDS = (
    *TOKENS,
    b"[broker]\n",
    b"[agents.x.y]\n",
    b"frontend = 1\n",
    b"[[broker]]\n",
    b'"" = 1\n',
    b"a.b.c = {}\n",
    b"x = 1979-05-27T07:32:00Z\n",
    b"x = nan\n",
    b"x = 0xffffffffffffffffffff\n",
    b"'''",
    b'"""',
)


def spoiled(original: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    data = bytearray(original)
    for _ in range(rng.randrange(1, 6)):
        where = rng.randrange(len(data) + 1)
        data[where : where + rng.choice((0, 0, 1, 5, 40))] = rng.choice(WORDS)
    return bytes(data)


def test_a_spoiled_settings_file_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    original = b"\n".join(
        line.removeprefix(b"# ") for line in (ROOT / "etc/vpoller.toml").read_bytes().splitlines()
    )
    file = tmp_path / "some.toml"
    refused: list[str] = []
    for seed in range(400):
        file.write_bytes(spoiled(original if seed % 2 else original[:400], seed))
        try:
            load(file, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
        except ConfigError as error:
            refused.append(error.message)
    assert refused
    assert all(refused)


def test_a_settings_file_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    file.write_bytes(b"a = " + b"[" * 100_000)
    with pytest.raises(ConfigError):
        load(file, environ={"HOME": str(tmp_path)}, cwd=tmp_path)


def test_a_spoiled_list_of_the_authorised_is_read_or_refused(tmp_path: Path) -> None:
    authorized = AuthorizedList(tmp_path)
    file = Path(authorized.file)
    read = 0
    for seed in range(600):
        file.write_bytes(spoiled(AUTHORIZED_TOML, seed))
        file.chmod(0o600)
        try:
            entries = authorized.read()
        except ConfigError:
            continue
        read += 1
        assert all(entry.role in ("caller", "worker", "admin") for entry in entries)
    assert 0 < read < 600


def test_a_list_of_the_authorised_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    authorized = AuthorizedList(tmp_path)
    file = Path(authorized.file)
    file.write_bytes(b"a = " + b"[" * 100_000)
    file.chmod(0o600)
    with pytest.raises(ConfigError):
        authorized.read()
