"""The database of hosts, its key, and what an agent makes of both."""

from __future__ import annotations

import contextlib
import os
import pickle
import sqlite3
import stat
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("pyVmomi")
pytest.importorskip("cryptography")

from tests.support.hosts import by_variable, encrypted, keeper_at, make_vconnector
from tests.support.hosts import nobody_elses_hosts as nobody_elses_hosts
from vpoller_like.agent.vault import VAULT
from vpoller_like.errors import ConfigError
from workers.vsphere import VSphereAgent
from workers.vsphere.hosts import places, schema
from workers.vsphere.hosts.configured import from_database, from_settings
from workers.vsphere.hosts.key import KeyFile
from workers.vsphere.hosts.password import from_file
from workers.vsphere.hosts.record import Source
from workers.vsphere.hosts.store import HostStore

SECRET = "Kanarie-4711"


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    return caught.value.message


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


# The file -------------------------------------------------------------------------------


def test_what_is_put_in_comes_out(tmp_path: Path) -> None:
    store = keeper_at(tmp_path).store
    records = [by_variable("vc02", port=8443, verify=False), by_variable("vc01", ca_file="/x.pem")]
    store.put(records)
    assert store.all() == records[::-1]
    assert store.find("vc02") == records[0]
    assert store.find("vc03") is None


def test_no_file_is_no_hosts_and_looking_makes_none(tmp_path: Path) -> None:
    store = keeper_at(tmp_path).store
    assert store.all() == []
    assert not store.enable("vc01", True)
    assert not store.remove("vc01")
    assert list(tmp_path.iterdir()) == []


def test_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keeper = keeper_at(tmp_path / "new")
        keeper.put([encrypted(keeper, "vc01", SECRET)])
    finally:
        os.umask(before)
    assert (mode(keeper.store.path), mode(keeper.key.path)) == (0o600, 0o600)
    assert mode(tmp_path / "new") & 0o022 == 0
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """Its id may be ours."""
    (tmp_path / f"hosts.db.{os.getpid()}.new").write_text("half")
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc01")])
    assert [record.host for record in store.all()] == ["vc01"]
    assert [path.name for path in tmp_path.iterdir()] == ["hosts.db"]


def test_what_root_makes_belongs_to_whom_the_directory_does(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(tmp_path, 12345, 12346)
    keeper = keeper_at(tmp_path)
    keeper.put([encrypted(keeper, "vc01", SECRET)])
    for path in (keeper.store.path, keeper.key.path):
        assert (os.stat(path).st_uid, os.stat(path).st_gid) == (12345, 12346)


def test_a_database_that_others_can_touch_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Whoever could write it could name a command, which a worker would run."""
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc01")])
    os.chmod(store.path, 0o660)
    assert refusal(store.all).endswith(f"(mode 0660); chmod 600 {store.path}")
    assert "0660" in refusal(store.put, [by_variable("vc02")])


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    pipe = str(tmp_path / "pipe")
    for call in (HostStore(pipe).all, KeyFile(pipe).require, from_file(pipe)):
        assert f"{pipe} is no regular file" in refusal(call)
    assert "is no regular file" in refusal(HostStore(str(tmp_path)).all)


def test_a_database_out_of_reach_is_not_an_empty_one(tmp_path: Path) -> None:
    """Else a worker would take all hosts back, because of a directory's mode."""
    if os.geteuid() == 0:
        pytest.skip("nothing is out of root's reach")
    store = keeper_at(tmp_path / "closed").store
    store.put([by_variable("vc01")])
    (tmp_path / "closed").chmod(0)
    try:
        assert "Permission denied" in refusal(store.all)
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_host_that_somebody_else_adds_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    keeper = keeper_at(tmp_path)
    keeper.add(by_variable("vc01", "THEIRS"))
    assert "vc01 is there already" in refusal(keeper.add, by_variable("vc01", "OURS"))
    assert keeper.store.all() == [by_variable("vc01", "THEIRS")]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("user", ""),
        ("options", "no JSON"),
        ("options", "[]"),
        ("options", '{"port": "x"}'),
        ("password", "text"),
        ("password", b"\xff"),
        ("password_kind", "command"),
    ],
)
def test_a_row_that_nobody_here_wrote_is_named_with_the_remedy(
    tmp_path: Path, column: str, value: Any
) -> None:
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc01")])
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(f"UPDATE hosts SET {column} = ?", (value,))
    assert "what it says of vc01 is of another version" in refusal(store.all)
    assert store.remove("vc01")
    assert store.all() == []


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hosts.db"
    path.write_text("hello, this is a file of another kind\n" * 100)
    path.chmod(0o600)
    assert "file is not a database" in refusal(HostStore(str(path)).all)


def test_vconnectors_own_database_is_not_written_into(tmp_path: Path) -> None:
    path = make_vconnector(tmp_path / "hosts.db", ("vc01", "root", SECRET, 1))
    path.chmod(0o600)
    before = path.read_bytes()
    store = HostStore(str(path))
    for call in (store.all, store.make):
        assert "is vConnector's; take its hosts over" in refusal(call)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hosts.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE things (name)")
    path.chmod(0o600)
    assert "another program's database" in refusal(HostStore(str(path)).make)


def test_a_database_of_a_version_to_come_is_refused(tmp_path: Path) -> None:
    store = keeper_at(tmp_path).store
    store.make()
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")
    assert "upgrade it" in refusal(store.all)
    assert "upgrade it" in refusal(store.put, [by_variable("vc01")])


def test_an_older_version_is_brought_up_to_date_by_the_next_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc01")])
    step = "ALTER TABLE hosts ADD COLUMN note TEXT"
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, step))
    monkeypatch.setattr("workers.vsphere.hosts.store.STEPS", schema.STEPS)
    assert "of an older version" in refusal(store.all)
    store.put([by_variable("vc02")])
    assert [record.host for record in store.all()] == ["vc01", "vc02"]


def test_hosts_are_written_all_or_none(tmp_path: Path) -> None:
    store = keeper_at(tmp_path).store
    wrong = msgspec.structs.replace(by_variable("vc02"), enabled=7)
    with pytest.raises(ConfigError, match="cannot be used"):
        store.put([by_variable("vc01"), wrong])
    assert store.all() == []


def test_a_removed_hosts_password_is_overwritten(tmp_path: Path) -> None:
    keeper = keeper_at(tmp_path)
    record = encrypted(keeper, "vc01", SECRET)
    keeper.put([record])
    assert record.source.value in Path(keeper.store.path).read_bytes()
    keeper.remove("vc01")
    assert record.source.value not in Path(keeper.store.path).read_bytes()


def test_readers_and_a_writer_do_not_disturb_each_other(tmp_path: Path) -> None:
    """As several worker processes and the program do: each look is at a whole state."""
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc01", "A"), by_variable("vc02", "A")])
    seen: set[tuple[bytes, ...]] = set()
    errors: list[Exception] = []
    done = threading.Event()

    def look() -> None:
        try:
            while not done.is_set():
                seen.add(tuple(record.source.value for record in HostStore(store.path).all()))
        except Exception as error:
            errors.append(error)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for name in "BA" * 20:
        store.put([by_variable("vc01", name), by_variable("vc02", name)])
    done.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert seen <= {(b"A", b"A"), (b"B", b"B")}


def test_only_what_was_said_is_kept_so_a_default_may_become_another(tmp_path: Path) -> None:
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc01", port=8443)])
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        (options,) = connection.execute("SELECT options FROM hosts").fetchone()
    assert options == '{"port":8443}'


@pytest.mark.parametrize("is_file", [True, False])
def test_root_neither_runs_nor_reads_what_another_users_database_names(
    tmp_path: Path, is_file: bool
) -> None:
    """Who can write it would be root otherwise, as soon as root tests a host."""
    if os.geteuid() != 0:
        pytest.skip("for others, such a database cannot be read at all")
    keeper = keeper_at(tmp_path)
    touch = Source.of_command(["touch", str(tmp_path / "ran")])
    kept = msgspec.structs.replace(by_variable("vc01"), source=touch)
    keeper.put([kept, by_variable("vc02", "HOME"), encrypted(keeper, "vc03", SECRET)])
    # Theirs to change, or to put another one into its place.
    os.chown(keeper.store.path if is_file else tmp_path, 12345, 12345)
    found = {host.arguments["host"]: host.arguments["pwd"] for host in keeper.to_try([])}
    for name in ("vc01", "vc02"):
        assert "belongs to another user" in refusal(found[name])
    assert found["vc03"]() == SECRET
    assert not (tmp_path / "ran").exists()


# Where it is ------------------------------------------------------------------------------


def test_the_files_are_the_users_own_unless_said() -> None:
    found = places.find(environ={"HOME": "/home/me"})
    assert found.database == "/home/me/.config/vpoller/vsphere-hosts.db"
    assert found.key_file == "/home/me/.config/vpoller/vsphere-hosts.key"
    assert places.find("/a/b.db").key_file == "/a/vsphere-hosts.key"
    assert places.find("/a/b.db", "/c/key") == places.Places("/a/b.db", "/c/key")


def test_a_service_and_root_share_the_services_directory(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    assert places.find().database == str(tmp_path / "system" / "vsphere-hosts.db")


# The key ----------------------------------------------------------------------------------


def test_a_password_is_decrypted_for_its_own_host_alone(tmp_path: Path) -> None:
    key = KeyFile(str(tmp_path / "key"))
    key.make()
    data = key.encrypt("vc01", SECRET)
    assert SECRET.encode() not in data
    assert key.decrypt("vc01", data) == SECRET
    message = refusal(key.decrypt, "vc02", data)
    assert "the password of vc02 was not encrypted with" in message
    assert "--replace" in message


def test_a_password_is_encrypted_differently_each_time(tmp_path: Path) -> None:
    key = KeyFile(str(tmp_path / "key"))
    key.make()
    assert key.encrypt("vc01", SECRET) != key.encrypt("vc01", SECRET)


@pytest.mark.parametrize("at", [0, 15, -1])
def test_a_password_that_was_changed_in_the_file_is_refused(tmp_path: Path, at: int) -> None:
    key = KeyFile(str(tmp_path / "key"))
    key.make()
    data = bytearray(key.encrypt("vc01", SECRET))
    data[at] ^= 1
    assert "was not encrypted with" in refusal(key.decrypt, "vc01", bytes(data))
    assert "was not encrypted with" in refusal(key.decrypt, "vc01", b"")


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_touch_is_refused_with_the_remedy(tmp_path: Path, bits: int) -> None:
    key = KeyFile(str(tmp_path / "key"))
    key.make()
    os.chmod(key.path, bits)
    for call, argument in ((key.encrypt, SECRET), (key.decrypt, b"")):
        assert refusal(call, "vc01", argument) == (
            f"key_file: {key.path} is open to others (mode {bits:04o}); chmod 600 {key.path}"
        )


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\xff\xfe", b"QUJD\n"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    assert str(path) in refusal(KeyFile(str(path)).require)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    key = KeyFile(str(tmp_path / "key"))
    key.make()
    before = Path(key.path).read_bytes()
    key.make()
    assert Path(key.path).read_bytes() == before


def test_a_lost_key_is_not_replaced_while_passwords_need_it(tmp_path: Path) -> None:
    keeper = keeper_at(tmp_path)
    keeper.put([encrypted(keeper, "vc01", SECRET)])
    os.unlink(keeper.key.path)
    message = refusal(keeper.encrypted, "vc02", SECRET)
    assert "is gone, and with it the passwords of vc01" in message
    keeper.remove("vc01")
    keeper.put([encrypted(keeper, "vc01", SECRET)])
    assert keeper.password_of(keeper.store.all()[0]) == SECRET


def test_a_decrypted_password_is_hidden_from_then_on(tmp_path: Path) -> None:
    key = KeyFile(str(tmp_path / "key"))
    key.make()
    password = f"{SECRET}-{os.getpid()}"
    key.decrypt("vc01", key.encrypt("vc01", password))
    assert VAULT.hide(f"login of root:{password}") == "login of root:***"


# What an agent makes of it ----------------------------------------------------------------


def agents(section: dict[str, Any]) -> list[VSphereAgent]:
    return list(VSphereAgent.from_config(section))


def listed(host: str = "vc09", **changes: Any) -> dict[str, Any]:
    return {"host": host, "user": "root", "password": SECRET, **changes}


def test_hosts_of_both_are_served_and_disabled_ones_are_not(tmp_path: Path) -> None:
    section = {"database": str(tmp_path / "hosts.db"), "hosts": [listed()]}
    keeper = keeper_at(tmp_path)
    keeper.put([encrypted(keeper, "vc01", SECRET), by_variable("vc02")])
    keeper.enable("vc02", False)
    assert [agent.hostnames for agent in agents(section)] == [["vc09"], ["vc01"]]


def test_all_settings_of_a_host_reach_the_agent(tmp_path: Path) -> None:
    keeper = keeper_at(tmp_path)
    said = {"port": 8443, "verify": False, "timeout_ms": 1500, "connect_timeout_ms": 500}
    keeper.put([encrypted(keeper, "vc01", SECRET, **said)])
    (found,) = from_database({"database": keeper.store.path})
    (same,) = from_settings({"hosts": [listed("vc01", **said)]})
    ours, theirs = dict(found.arguments), dict(same.arguments)
    assert ours.pop("pwd")() == theirs.pop("pwd")() == SECRET
    assert ours == theirs


def test_a_host_in_both_is_refused(tmp_path: Path) -> None:
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc09")])
    message = refusal(agents, {"database": store.path, "hosts": [listed()]})
    assert "vc09 is in the database" in message
    assert "vpoller host remove vc09" in message


def test_a_host_that_cannot_be_served_does_not_keep_others_from_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc01", ca_file=str(tmp_path / "gone.pem")), by_variable("vc02")])
    assert [agent.hostnames for agent in agents({"database": store.path})] == [["vc02"]]
    assert "vc01 is left out: ca_file: there is no" in caplog.text


def test_a_password_that_cannot_be_read_fails_the_request_and_not_the_worker(
    tmp_path: Path,
) -> None:
    keeper = keeper_at(tmp_path)
    keeper.put([encrypted(keeper, "127.0.0.1", SECRET, port=9)])
    os.chmod(keeper.key.path, 0o644)
    (agent,) = agents({"database": keeper.store.path})
    reply = agent.about(msg={})
    assert reply["error"]["reason"] == "config"
    assert f"chmod 600 {keeper.key.path}" in reply["msg"]


def test_the_revision_changes_with_each_change_and_not_without(tmp_path: Path) -> None:
    keeper = keeper_at(tmp_path)
    section = {"database": keeper.store.path}
    changes = [
        lambda: keeper.store.put([by_variable("vc01")]),
        lambda: keeper.enable("vc01", False),
        lambda: keeper.enable("vc01", True),
        lambda: keeper.store.put([by_variable("vc02")]),
        lambda: keeper.remove("vc01"),
        lambda: os.unlink(keeper.store.path),
        lambda: keeper.store.put([by_variable("vc01")]),
    ]
    seen = [VSphereAgent.revision(section)]
    for change in changes:
        change()
        seen.append(VSphereAgent.revision(section))
        from_database(section)
        assert VSphereAgent.revision(section) == seen[-1]
    assert seen[0] is not None
    # Gone is as never there; any two others differ.
    assert seen[6] == seen[0]
    assert len({*seen[:6], seen[7]}) == 7


def test_two_changes_in_one_tick_of_the_clock_are_two(tmp_path: Path) -> None:
    store = keeper_at(tmp_path).store
    store.put([by_variable("vc01")])
    revisions = []
    for enabled in (False, True) * 10:
        store.enable("vc01", enabled)
        os.utime(store.path, ns=(1, 1))
        found = store.revision()
        assert isinstance(found, tuple)
        revisions.append(found[-1])
    assert len(set(revisions)) == 20


def test_asking_for_the_revision_is_cheap(tmp_path: Path) -> None:
    """A worker does so every couple of seconds: compared with one look at the hosts."""
    store = keeper_at(tmp_path).store
    store.put([by_variable(f"vc{number:03}") for number in range(200)])

    def least(call: Any) -> float:
        times = []
        for _ in range(20):
            since = time.perf_counter()
            call()
            times.append(time.perf_counter() - since)
        return min(times)

    assert least(store.revision) < least(store.all) / 10


def variant_of(section: dict[str, Any]) -> Any:
    (agent,) = agents(section)
    return agent.variant


def test_the_variant_of_a_host_changes_with_all_that_matters(tmp_path: Path) -> None:
    keeper = keeper_at(tmp_path)
    section = {"database": keeper.store.path}
    first = encrypted(keeper, "vc01", SECRET)
    others = [
        encrypted(keeper, "vc01", "another password"),
        by_variable("vc01"),
        by_variable("vc01", "SOMEWHERE"),
        *(
            msgspec.structs.replace(
                first, settings=msgspec.structs.replace(first.settings, **changed)
            )
            for changed in (
                {"port": 1},
                {"user": "other"},
                {"verify": False},
                {"thumbprint": "ab" * 20},
                {"timeout_ms": 1},
                {"connect_timeout_ms": 1},
                {"max_calls": 1},
            )
        ),
    ]
    variants = []
    for record in (first, *others):
        keeper.put([record])
        variants.append(variant_of(section))
    assert len(set(variants)) == len(variants)
    keeper.put([first])
    keeper.enable("vc01", False)
    keeper.enable("vc01", True)
    assert variant_of(section) == variants[0]


def test_the_variant_of_a_host_in_the_settings_knows_the_password_and_does_not_tell_it() -> None:
    one, same, other = (
        variant_of({"hosts": [listed(password=password)]})
        for password in (SECRET, SECRET, "another password")
    )
    assert one == same != other
    assert hash(one) == hash(same)
    assert SECRET not in repr(one)
    assert SECRET.encode() not in pickle.dumps(one)


def test_the_variant_of_a_host_in_the_database_does_not_tell_the_password(tmp_path: Path) -> None:
    keeper = keeper_at(tmp_path)
    record = encrypted(keeper, "vc01", SECRET)
    keeper.put([record])
    shown = repr(variant_of({"database": keeper.store.path})) + repr(record) + str(record)
    assert SECRET not in shown
    assert repr(record.source.value) not in shown
