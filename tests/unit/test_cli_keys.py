"""``vpoller keys``, and the flags by which other verbs get theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli import FakeClient, Vpoller, client, failure, vpoller
from vpoller_like.authorized import Authorized, AuthorizedList
from vpoller_like.keys import KeyDirectory, is_public_key
from vpoller_like.transport.curve import new_pair

__all__ = ["client", "vpoller"]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyDirectory:
    monkeypatch.setattr("vpoller_like.keys.SYSTEM_DIRECTORY", str(tmp_path / "none"))
    return KeyDirectory(tmp_path / "xdg" / "vpoller" / "keys")


@pytest.fixture
def authorized(keys: KeyDirectory) -> AuthorizedList:
    return AuthorizedList(keys.path)


def test_a_new_key_is_shown_with_what_to_do_with_it(vpoller: Vpoller, keys: KeyDirectory) -> None:
    made = vpoller("keys", "new", "me")
    assert made.code == 0
    assert made.data["name"] == "me"
    assert is_public_key(made.data["public_key"])
    assert made.data["public_key"] == keys.public("me")
    assert f"vpoller keys authorize me --role caller --public-key '{keys.public('me')}'" in made.err
    assert "vpoller broker run --key me" in made.err
    assert keys.secret("me") not in made.out + made.err
    again = vpoller("keys", "new", "me")
    assert (again.code, "never overwritten" in again.err) == (1, True)


def test_one_is_authorised_listed_and_revoked(vpoller: Vpoller, keys: KeyDirectory) -> None:
    vpoller("keys", "new", "me")
    done = vpoller("keys", "authorize", "me", "--methods", "vm.*, host.*")
    assert (done.code, "me may ask for vm.*, host.*" in done.err) == (0, True)
    (row,) = vpoller("keys", "list").data
    assert row == {
        "name": "me",
        "role": "caller",
        "methods": ["vm.*", "host.*"],
        "public_key": keys.public("me"),
        "secret": True,
        "differs": False,
    }
    assert vpoller("keys", "revoke", "me").code == 0
    (row,) = vpoller("keys", "list").data
    assert (row["role"], row["methods"]) == (None, None)
    assert vpoller("keys", "revoke", "me").code == 1


def test_a_key_from_elsewhere_is_given_itself(vpoller: Vpoller, authorized: AuthorizedList) -> None:
    vpoller("keys", "new", "far", "--keys", "elsewhere")
    public = KeyDirectory("elsewhere").public("far")
    assert "copy far.pub there" in vpoller("keys", "authorize", "far").err
    given = ("--role", "worker", "--public-key", public)
    assert vpoller("keys", "authorize", "far", *given).code == 0
    # Said again, it need not be given again.
    assert vpoller("keys", "authorize", "far", "--role", "worker", "--methods", "vm.*").code == 0
    (entry,) = authorized.read()
    assert (entry.public_key, entry.role, entry.methods) == (public, "worker", ("vm.*",))
    (row,) = vpoller("keys", "list").data
    assert (row["secret"], row["public_key"]) == (False, public)


def test_a_key_that_was_made_anew_is_shown_to_differ(vpoller: Vpoller, keys: KeyDirectory) -> None:
    vpoller("keys", "new", "me")
    vpoller("keys", "authorize", "me")
    os.unlink(keys.secret_file("me"))
    os.unlink(keys.public_file("me"))
    vpoller("keys", "new", "me")
    (row,) = vpoller("keys", "list").data
    assert row["differs"] is True


def test_what_is_not_said_again_stays_as_it_was(
    vpoller: Vpoller, authorized: AuthorizedList
) -> None:
    first, second = new_pair().public, new_pair().public
    vpoller("keys", "authorize", "a", "--methods", "vm.get", "--public-key", first)
    changed = vpoller("keys", "authorize", "a", "--public-key", second)
    assert "a may ask for vm.get:" in changed.err
    assert authorized.read() == [Authorized("a", second, "caller", ("vm.get",))]
    vpoller("keys", "authorize", "a", "--role", "worker")
    assert authorized.read() == [Authorized("a", second, "worker", ("vm.get",))]
    assert "a may serve vm.*:" in vpoller("keys", "authorize", "a", "--methods", "vm.*").err
    assert authorized.read() == [Authorized("a", second, "worker", ("vm.*",))]


def test_a_key_that_was_replaced_does_not_come_back(
    vpoller: Vpoller, authorized: AuthorizedList
) -> None:
    vpoller("keys", "new", "a")
    vpoller("keys", "authorize", "a")
    new = new_pair().public
    vpoller("keys", "authorize", "a", "--public-key", new)
    refused = vpoller("keys", "authorize", "a", "--methods", "vm.get")
    assert refused.code != 0
    assert "a.pub holds" in refused.err
    assert "--public-key" in refused.err
    assert authorized.read() == [Authorized("a", new, "caller")]
    given = ("--methods", "vm.get", "--public-key", new)
    assert vpoller("keys", "authorize", "a", *given).code == 0
    assert authorized.read() == [Authorized("a", new, "caller", ("vm.get",))]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["authorize", "me", "--role", "root"], "root"),
        (["authorize", "me", "--public-key", "#" * 40], "--public-key needs the 40 characters"),
        (["authorize", "me", "--methods", " , "], "--methods needs a pattern"),
        (["authorize", "me", "--public-key", "short"], "--public-key needs the 40 characters"),
        (["new", "a/b"], "a key's name has"),
    ],
)
def test_what_cannot_be_is_refused(
    vpoller: Vpoller, authorized: AuthorizedList, words: list[str], said: str
) -> None:
    outcome = vpoller("keys", *words)
    assert outcome.code != 0
    assert said in outcome.err
    assert not os.path.exists(authorized.file)


@pytest.mark.parametrize(
    "verb", [["call", "m"], ["status"], ["workers"], ["methods"], ["broker", "stop"]]
)
def test_a_verb_that_asks_shows_the_key_it_is_told(
    vpoller: Vpoller, client: type[FakeClient], keys: KeyDirectory, verb: list[str]
) -> None:
    vpoller(*verb, "--key", "me", "--server-key", "broker")
    options = client.made[0].options
    assert options["key"] == keys.secret_file("me")
    assert options["server_key"] == keys.public_file("broker")
    vpoller(*verb)
    assert not {"key", "server_key"} & set(client.made[-1].options)


def test_keys_come_from_the_settings_too(
    vpoller: Vpoller, client: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    public = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
    Path("vpoller.toml").write_text(
        f'[security]\nkeys = "here"\n[client]\nkey = "me"\nserver_key = "{public}"\n'
    )
    vpoller("call", "m")
    assert client.made[0].options["key"] == os.path.join("here", "me.key")
    assert client.made[0].options["server_key"] == public
    monkeypatch.setenv("VPOLLER_CLIENT_KEY", "you")
    vpoller("status")
    assert client.made[1].options["key"] == os.path.join("here", "you.key")


@pytest.mark.parametrize("code", ["refused", "unauthorized"])
def test_who_may_not_gets_an_exit_code_of_its_own(
    vpoller: Vpoller, client: type[FakeClient], code: str
) -> None:
    client.replies["m"] = failure(code, "No.")
    assert vpoller("call", "m").code == 6
