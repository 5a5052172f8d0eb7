"""Keys on disk: closed to others and never overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from zmq.utils import z85

from tests.support.owners import as_another, mode, show_all_as_closed
from vpoller_like.errors import ConfigError
from vpoller_like.keys import (
    KeyDirectory,
    default_directory,
    is_public_key,
    require_name,
)
from vpoller_like.transport.curve import Pair, credentials, new_pair, pair_of

__all__ = ["as_another"]

PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
OTHER = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    return KeyDirectory(tmp_path / "keys")


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_new_key_is_closed_to_others_whatever_the_umask(keys: KeyDirectory, umask: int) -> None:
    before = os.umask(umask)
    try:
        keys.write("broker", PUBLIC, SECRET)
    finally:
        os.umask(before)
    assert mode(keys.secret_file("broker")) == 0o600
    assert mode(keys.public_file("broker")) == 0o644
    assert (keys.secret("broker"), keys.public("broker")) == (SECRET, PUBLIC)
    assert sorted(os.listdir(keys.path)) == ["broker.key", "broker.pub"]


@pytest.mark.parametrize("existing", ["broker.key", "broker.pub"])
def test_a_key_is_never_overwritten(keys: KeyDirectory, existing: str) -> None:
    os.makedirs(keys.path)
    Path(keys.path, existing).write_text("precious")
    with pytest.raises(ConfigError, match=f"{existing} exists, and a key is never overwritten"):
        keys.write("broker", PUBLIC, SECRET)
    assert Path(keys.path, existing).read_text() == "precious"
    assert os.listdir(keys.path) == [existing]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602])
def test_a_secret_that_others_can_reach_is_refused_with_what_mends_it(
    keys: KeyDirectory, bits: int
) -> None:
    keys.write("broker", PUBLIC, SECRET)
    os.chmod(keys.secret_file("broker"), bits)
    with pytest.raises(ConfigError, match=f"mode {bits:04o}.*chmod 600 {keys.path}") as caught:
        keys.secret("broker")
    assert SECRET not in caught.value.message


def test_a_missing_key_is_named_with_the_command_that_makes_it(keys: KeyDirectory) -> None:
    with pytest.raises(ConfigError, match=r"there is no key .*/me.key; .*`vpoller keys new me`"):
        keys.secret("me")
    with pytest.raises(ConfigError, match=r"there is no key .*/me.pub; copy me.pub there"):
        keys.public("me")


@pytest.mark.parametrize("content", ["", "short", SECRET + "x", "\xff" * 40, " " * 40])
def test_a_file_that_holds_no_key_is_refused_without_its_content(
    keys: KeyDirectory, content: str
) -> None:
    keys.write("me", PUBLIC, SECRET)
    Path(keys.secret_file("me")).write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match="holds no key") as caught:
        keys.secret("me")
    assert not content.strip() or content not in caught.value.message


def test_a_key_may_be_given_by_path_and_a_public_one_itself(keys: KeyDirectory) -> None:
    keys.write("me", PUBLIC, SECRET)
    elsewhere = KeyDirectory("/nowhere")
    assert elsewhere.secret(keys.secret_file("me")) == SECRET
    assert elsewhere.public(keys.public_file("me")) == PUBLIC
    assert elsewhere.public(OTHER) == OTHER


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "x" * 33, "ä", "a b", "-n"])
def test_a_name_that_could_be_a_path_or_a_key_is_refused(keys: KeyDirectory, name: str) -> None:
    with pytest.raises(ConfigError, match="a key's name has"):
        keys.write(name, PUBLIC, SECRET)


def test_a_secret_given_for_a_name_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        require_name(SECRET)
    assert SECRET not in caught.value.message


def test_keys_are_roots_own_only_where_the_directory_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "etc"
    monkeypatch.setattr("vpoller_like.keys.SYSTEM_DIRECTORY", str(system))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory({"HOME": "/h"}) == "/h/.config/vpoller/keys"
    system.mkdir()
    assert default_directory({"HOME": "/h"}) == str(system)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_directory({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}) == "/x/vpoller/keys"


def test_a_key_that_does_not_decode_is_refused_where_it_is_given(keys: KeyDirectory) -> None:
    assert is_public_key(PUBLIC)
    assert not is_public_key("#" * 40)
    keys.write("me", PUBLIC, SECRET)
    with pytest.raises(ConfigError, match="does not decode as Z85"):
        credentials(keys, "me", "#" * 40)
    Path(keys.public_file("me")).write_text("#" * 40)
    with pytest.raises(ConfigError, match="holds no key"):
        credentials(keys, "me", "me")


@pytest.mark.parametrize("word", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_every_key_there_can_be_is_taken_for_one(word: bytes) -> None:
    assert is_public_key(z85.encode(word * 8).decode())


def test_what_is_not_named_as_a_key_is_not_listed_as_one(keys: KeyDirectory) -> None:
    keys.write("me", PUBLIC, SECRET)
    Path(keys.path, "my laptop.pub").write_text(PUBLIC)
    Path(keys.path, ".me.key").write_text(SECRET)
    assert keys.names() == ["me"]


def test_a_secret_of_another_user_is_refused(
    keys: KeyDirectory, as_another: Callable[[str], None]
) -> None:
    keys.write("me", PUBLIC, SECRET)
    as_another(keys.secret_file("me"))
    with pytest.raises(ConfigError, match=r"me\.key belongs to another user"):
        keys.secret("me")


def test_the_secret_that_is_opened_is_the_one_judged(
    keys: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is put there between the look and the opening is not taken unseen."""
    keys.write("me", PUBLIC, SECRET)
    os.chmod(keys.secret_file("me"), 0o644)
    show_all_as_closed(monkeypatch, keys.public_file("me"))
    with pytest.raises(ConfigError, match="chmod 600"):
        keys.secret("me")


# Pairs -----------------------------------------------------------------------------------


def test_a_new_pair_is_two_keys_that_belong_together_and_hides_its_secret() -> None:
    pair = new_pair()
    assert is_public_key(pair.public)
    assert pair_of(pair.secret).public == pair.public
    assert pair.secret not in repr(pair)
    assert new_pair().public != pair.public


def test_what_is_no_secret_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        pair_of("#" * 40)
    assert "####" not in caught.value.message


def test_credentials_need_both_keys(keys: KeyDirectory) -> None:
    pair = Pair(PUBLIC, SECRET)
    keys.write("me", pair.public, pair.secret)
    assert credentials(keys, "", "") is None
    found = credentials(keys, "me", OTHER)
    assert found is not None
    assert (found.pair.public, found.server) == (PUBLIC, OTHER)
    assert SECRET not in repr(found)
    with pytest.raises(ConfigError, match=r"worker\.key is set and worker\.server_key is not"):
        credentials(keys, "me", "", "worker.")
    with pytest.raises(ConfigError, match="server_key is set and key is not"):
        credentials(keys, "", OTHER)
