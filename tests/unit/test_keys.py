"""Keys on disk: closed to others, never overwritten, and a list that says what is wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from zmq.utils import z85

from vpoller_like.errors import ConfigError
from vpoller_like.keys import (
    Authorized,
    KeyDirectory,
    default_directory,
    is_public_key,
    require_name,
)
from vpoller_like.transport.curve import Pair, credentials, new_pair, pair_of

PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
OTHER = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    return KeyDirectory(tmp_path / "keys")


def mode(path: str) -> int:
    return os.stat(path).st_mode & 0o777


def test_a_new_key_is_closed_to_others_whatever_the_umask(keys: KeyDirectory) -> None:
    before = os.umask(0)
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
    with pytest.raises(ConfigError, match="a key's name has"):
        keys.authorize(Authorized(name, PUBLIC, "caller"))


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


@pytest.fixture
def as_another(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what gives a file to one user, and makes this process another one."""

    def give(path: str) -> None:
        if os.geteuid() == 0:
            os.chown(path, 12345, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 54321)

    return give


def test_a_secret_of_another_user_is_refused(
    keys: KeyDirectory, as_another: Callable[[str], None]
) -> None:
    keys.write("me", PUBLIC, SECRET)
    as_another(keys.secret_file("me"))
    with pytest.raises(ConfigError, match=r"me\.key belongs to another user"):
        keys.secret("me")


def test_what_is_opened_is_what_is_judged(
    keys: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is put there between the look and the opening is not taken unseen."""
    keys.write("me", PUBLIC, SECRET)
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    os.chmod(keys.secret_file("me"), 0o644)
    os.chmod(keys.authorized_file, 0o666)
    honest = os.stat(keys.public_file("me"))
    fake = os.stat_result((stat.S_IFREG | 0o600, *tuple(honest)[1:]))
    monkeypatch.setattr(os, "stat", lambda *_, **__: fake)
    with pytest.raises(ConfigError, match="chmod 600"):
        keys.secret("me")
    with pytest.raises(ConfigError, match="chmod 644"):
        keys.authorized()


# The list --------------------------------------------------------------------------------


def test_the_list_keeps_what_was_said_in_its_order(keys: KeyDirectory) -> None:
    entries = [
        Authorized("monitoring.1", PUBLIC, "caller", ("vm.*", 'odd"\\')),
        Authorized("node", OTHER, "worker"),
    ]
    for entry in entries:
        keys.authorize(entry)
    assert keys.authorized() == entries
    assert mode(keys.authorized_file) == 0o644
    assert keys.revoke("monitoring.1") == entries[0]
    assert keys.authorized() == entries[1:]


def test_authorising_again_changes_what_one_may_do(keys: KeyDirectory) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller", ("vm.*",)))
    keys.authorize(Authorized("me", OTHER, "admin"))
    assert keys.authorized() == [Authorized("me", OTHER, "admin")]


def test_one_key_has_one_name(keys: KeyDirectory) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    with pytest.raises(ConfigError, match="authorised already, as me; `vpoller keys revoke me`"):
        keys.authorize(Authorized("you", PUBLIC, "caller"))
    assert [entry.name for entry in keys.authorized()] == ["me"]


def test_revoking_somebody_unknown_says_so(keys: KeyDirectory) -> None:
    with pytest.raises(ConfigError, match="names no 'ghost'; see `vpoller keys list`"):
        keys.revoke("ghost")


def test_a_list_that_was_closed_stays_closed(keys: KeyDirectory) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    os.chmod(keys.authorized_file, 0o600)
    keys.authorize(Authorized("you", OTHER, "caller"))
    assert mode(keys.authorized_file) == 0o600


@pytest.mark.parametrize("bits", [0o664, 0o646])
def test_a_list_that_others_can_write_is_refused(keys: KeyDirectory, bits: int) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    os.chmod(keys.authorized_file, bits)
    with pytest.raises(ConfigError, match=f"mode {bits:04o}.*chmod 644"):
        keys.authorized()


def test_a_list_of_another_user_is_refused(
    keys: KeyDirectory, as_another: Callable[[str], None]
) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    as_another(keys.authorized_file)
    with pytest.raises(ConfigError, match="belongs to another user"):
        keys.authorized()


@pytest.mark.parametrize("bits", [0o775, 0o757])
def test_a_list_that_others_can_replace_is_refused(keys: KeyDirectory, bits: int) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    os.chmod(keys.path, bits)
    with pytest.raises(ConfigError, match=f"mode {bits:04o}.*chmod go-w {keys.path}"):
        keys.authorized()
    os.chmod(keys.path, bits | stat.S_ISVTX)
    assert keys.authorized()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_list_that_root_changes_stays_its_owners(keys: KeyDirectory) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    for path in (keys.path, keys.authorized_file):
        os.chown(path, 12345, 23456)
    keys.authorize(Authorized("you", OTHER, "caller"))
    found = os.stat(keys.authorized_file)
    assert (found.st_uid, found.st_gid) == (12345, 23456)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_takes_no_list_from_somebody_whose_directory_it_is_not(keys: KeyDirectory) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    os.chown(keys.authorized_file, 12345, -1)
    with pytest.raises(ConfigError, match="uid 12345"):
        keys.authorized()


def test_a_directory_that_cannot_be_opened_is_said_to_be(
    keys: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match=r"cannot change what is in .*: Permission denied"):
        keys.revoke("me")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[me", "is not valid TOML"),
        ("me = 1", r"\[me\].*object"),
        ('["a/b"]\npublic_key = "x"\nrole = "caller"', r"\[a/b\]: a key's name has"),
        ('[me]\nrole = "caller"', r"\[me\].*public_key"),
        ('[me]\npublic_key = "x"\nrole = "caller"', r"\[me\]: public_key is not the 40"),
        (f'[me]\npublic_key = "{"#" * 40}"\nrole = "caller"', r"\[me\]: public_key is not the 40"),
        (f'[me]\npublic_key = "{PUBLIC}"\nrole = "root"', r"\[me\].*root"),
        (f'[me]\npublic_key = "{PUBLIC}"\nrole = "caller"\nmethod = []', r"\[me\].*`method`"),
        (f'[me]\npublic_key = "{PUBLIC}"\nrole = "caller"\nmethods = "*"', r"\[me\].*methods"),
        (
            f'[a]\npublic_key = "{PUBLIC}"\nrole = "caller"\n'
            f'[b]\npublic_key = "{PUBLIC}"\nrole = "admin"',
            r"\[b\] has the same key as \[a\]",
        ),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_the_entry(
    keys: KeyDirectory, text: str, said: str
) -> None:
    os.makedirs(keys.path)
    Path(keys.authorized_file).write_text(text)
    os.chmod(keys.authorized_file, 0o644)
    with pytest.raises(ConfigError, match=said):
        keys.authorized()


def test_a_failed_change_leaves_the_list_as_it_was(keys: KeyDirectory) -> None:
    keys.authorize(Authorized("me", PUBLIC, "caller"))
    before = Path(keys.authorized_file).read_text()
    with pytest.raises(ConfigError):
        keys.revoke("ghost")
    assert Path(keys.authorized_file).read_text() == before
    assert os.listdir(keys.path) == ["authorized.toml"]


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
