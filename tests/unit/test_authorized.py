"""The list of those who may use a broker: it keeps what was said, and says what is wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.owners import as_another, mode, show_all_as_closed
from vpoller_like.authorized import Authorized, AuthorizedList
from vpoller_like.errors import ConfigError

__all__ = ["as_another"]

PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
OTHER = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


@pytest.fixture
def authorized(tmp_path: Path) -> AuthorizedList:
    return AuthorizedList(tmp_path / "keys")


def test_the_list_keeps_what_was_said_in_its_order(authorized: AuthorizedList) -> None:
    entries = [
        Authorized("monitoring.1", PUBLIC, "caller", ("vm.*", 'odd"\\')),
        Authorized("node", OTHER, "worker"),
    ]
    for entry in entries:
        authorized.add(entry)
    assert authorized.read() == entries
    assert mode(authorized.file) == 0o644
    assert authorized.revoke("monitoring.1") == entries[0]
    assert authorized.read() == entries[1:]


@pytest.mark.parametrize("name", ["", "a/b", "x" * 33])
def test_a_name_that_no_key_can_have_is_refused(authorized: AuthorizedList, name: str) -> None:
    with pytest.raises(ConfigError, match="a key's name has"):
        authorized.add(Authorized(name, PUBLIC, "caller"))
    assert not os.path.exists(authorized.file)


def test_authorising_again_changes_what_one_may_do(authorized: AuthorizedList) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller", ("vm.*",)))
    authorized.add(Authorized("me", OTHER, "admin"))
    assert authorized.read() == [Authorized("me", OTHER, "admin")]


def test_one_key_has_one_name(authorized: AuthorizedList) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    with pytest.raises(ConfigError, match="authorised already, as me; `vpoller keys revoke me`"):
        authorized.add(Authorized("you", PUBLIC, "caller"))
    assert [entry.name for entry in authorized.read()] == ["me"]


def test_revoking_somebody_unknown_says_so(authorized: AuthorizedList) -> None:
    with pytest.raises(ConfigError, match="names no 'ghost'; see `vpoller keys list`"):
        authorized.revoke("ghost")


def test_a_list_that_was_closed_stays_closed(authorized: AuthorizedList) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    os.chmod(authorized.file, 0o600)
    authorized.add(Authorized("you", OTHER, "caller"))
    assert mode(authorized.file) == 0o600


@pytest.mark.parametrize("bits", [0o664, 0o646])
def test_a_list_that_others_can_write_is_refused(authorized: AuthorizedList, bits: int) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    os.chmod(authorized.file, bits)
    with pytest.raises(ConfigError, match=f"mode {bits:04o}.*chmod 644"):
        authorized.read()


def test_a_list_of_another_user_is_refused(
    authorized: AuthorizedList, as_another: Callable[[str], None]
) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    as_another(authorized.file)
    with pytest.raises(ConfigError, match="belongs to another user"):
        authorized.read()


def test_the_list_that_is_opened_is_the_one_judged(
    authorized: AuthorizedList, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    os.chmod(authorized.file, 0o666)
    show_all_as_closed(monkeypatch, authorized.file)
    with pytest.raises(ConfigError, match="chmod 644"):
        authorized.read()


@pytest.mark.parametrize("bits", [0o775, 0o757])
def test_a_list_that_others_can_replace_is_refused(authorized: AuthorizedList, bits: int) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    os.chmod(authorized.directory, bits)
    with pytest.raises(ConfigError, match=f"mode {bits:04o}.*chmod go-w {authorized.directory}"):
        authorized.read()
    os.chmod(authorized.directory, bits | stat.S_ISVTX)
    assert authorized.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_list_that_root_changes_stays_its_owners(authorized: AuthorizedList) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    for path in (authorized.directory, authorized.file):
        os.chown(path, 12345, 23456)
    authorized.add(Authorized("you", OTHER, "caller"))
    found = os.stat(authorized.file)
    assert (found.st_uid, found.st_gid) == (12345, 23456)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_takes_no_list_from_somebody_whose_directory_it_is_not(
    authorized: AuthorizedList,
) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    os.chown(authorized.file, 12345, -1)
    with pytest.raises(ConfigError, match="uid 12345"):
        authorized.read()


def test_a_directory_that_cannot_be_opened_is_said_to_be(
    authorized: AuthorizedList, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match=r"cannot change what is in .*: Permission denied"):
        authorized.revoke("me")


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
    authorized: AuthorizedList, text: str, said: str
) -> None:
    os.makedirs(authorized.directory)
    Path(authorized.file).write_text(text)
    os.chmod(authorized.file, 0o644)
    with pytest.raises(ConfigError, match=said):
        authorized.read()


def test_a_failed_change_leaves_the_list_as_it_was(authorized: AuthorizedList) -> None:
    authorized.add(Authorized("me", PUBLIC, "caller"))
    before = Path(authorized.file).read_text()
    with pytest.raises(ConfigError):
        authorized.revoke("ghost")
    assert Path(authorized.file).read_text() == before
    assert os.listdir(authorized.directory) == ["authorized.toml"]
