"""Who may do what: roles, patterns, networks, and a list that changes meanwhile."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import cast

import pytest

from vpoller_like.authorized import Authorized, AuthorizedList
from vpoller_like.broker.access import Access, Patterns
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Reply, Request, WorkerGarbled, WorkerSays
from vpoller_like.broker.gate import Gate
from vpoller_like.broker.keyring import Keyring
from vpoller_like.broker.porter import Porter
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import ConfigError, Unauthorized
from vpoller_like.keys import KeyDirectory
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.reply import parse_reply
from vpoller_like.protocol.request import parse_head
from vpoller_like.transport.curve import new_pair
from vpoller_like.transport.zap import Knock, Zap

CALLER, WORKER, ADMIN, STRANGER = ("c" * 40, "w" * 40, "a" * 40, "s" * 40)
MEMBERS = [
    Authorized("caller", CALLER, "caller", ("vm.*", "host.get")),
    Authorized("worker", WORKER, "worker", ("vm.*",)),
    Authorized("boss", ADMIN, "admin", ("nothing",)),
]


@pytest.fixture
def access() -> Access:
    return Access(MEMBERS, ["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"], ["vm.get"])


#: A routing id as a ROUTER gives it.
GIVEN = b"\0peer"


def request(method: str, meta: str = "", peer: bytes = GIVEN) -> Request:
    body = f'{{"method": "{method}"{meta}}}'.encode()
    return Request((peer, b""), body, parse_head(body))


@pytest.mark.parametrize(
    ("patterns", "method", "allowed"),
    [
        (["*"], "anything.at.all", True),
        (["vm.*"], "vm.get", True),
        (["vm.*"], "vm.snapshot.make", True),
        (["vm.*"], "vmx.get", False),
        (["vm.*"], "xvm.get", False),
        (["vm.get"], "vm.get2", False),
        (["vm.get"], "VM.get", False),
        (["vm.?et"], "vm.set", True),
        (["vm.[gs]et"], "vm.set", True),
        (["vm.get", "host.*"], "host.x", True),
        (["vm.*"], "vm.get\nhost", True),
        (["vm.get"], "vm.get\n", False),
        ([], "vm.get", False),
        ([""], "vm.get", False),
    ],
)
def test_patterns_fit_whole_names(patterns: list[str], method: str, allowed: bool) -> None:
    assert Patterns(patterns).allow(method) is allowed


# At the door -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "key", "let_in"),
    [
        ("frontend", CALLER, True),
        ("frontend", WORKER, True),
        ("frontend", STRANGER, False),
        ("frontend", "", False),
        ("backend", WORKER, True),
        ("backend", CALLER, False),
        ("backend", ADMIN, False),
        ("backend", STRANGER, False),
        ("admin", ADMIN, True),
        ("admin", CALLER, True),
        ("admin", STRANGER, False),
        ("open_frontend", ADMIN, False),
        ("", ADMIN, False),
        ("plain", ADMIN, False),
    ],
)
def test_a_door_lets_in_who_is_listed(access: Access, door: str, key: str, let_in: bool) -> None:
    user, reason = access.admit(door, key, "203.0.113.1")
    assert (user == key and not reason) if let_in else (not user and reason)


@pytest.mark.parametrize(
    ("address", "let_in"),
    [
        ("10.1.2.3", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("not an address", False),
    ],
)
def test_the_open_frontend_goes_by_address(access: Access, address: str, let_in: bool) -> None:
    assert bool(access.admit("open_frontend", "", address)[0]) is let_in


def test_who_came_by_address_is_never_taken_for_a_key(access: Access) -> None:
    user, _ = access.admit("open_frontend", "", "10.1.2.3")
    assert access.principal(user, "vm.get") == user
    with pytest.raises(Unauthorized, match=r"clients without a key may ask for vm\.get and not"):
        access.principal(user, "vm.set")
    with pytest.raises(Unauthorized):
        access.require_admin(user, "status")
    assert not access.is_worker(user)


# Inside ----------------------------------------------------------------------------------


def test_a_caller_asks_for_its_methods_under_its_name(access: Access) -> None:
    assert access.principal(CALLER, "vm.get") == "caller"
    with pytest.raises(
        Unauthorized, match=r"caller may ask for vm\.\*, host\.get and not for"
    ) as no:
        access.principal(CALLER, "host.set")
    assert no.value.details["method"] == "host.set"


def test_an_admin_asks_for_everything(access: Access) -> None:
    assert access.principal(ADMIN, "host.set") == "boss"
    access.require_admin(ADMIN, "shutdown")


@pytest.mark.parametrize("user", [CALLER, WORKER, STRANGER, ""])
def test_admin_verbs_need_an_admin(access: Access, user: str) -> None:
    with pytest.raises(Unauthorized, match="status"):
        access.require_admin(user, "status")


@pytest.mark.parametrize("user", [WORKER, STRANGER, ""])
def test_who_is_no_caller_asks_for_nothing(access: Access, user: str) -> None:
    with pytest.raises(Unauthorized, match=r"vm\.get"):
        access.principal(user, "vm.get")


def test_a_worker_offers_what_its_key_may_serve(access: Access) -> None:
    def offer(agent: str, *names: str) -> wire.Offer:
        return wire.Offer(agent, [wire.Method(name=name) for name in names])

    kept, refused = access.allowed(WORKER, [offer("a", "vm.get", "host.get"), offer("b", "x")])
    assert [(o.agent, [m.name for m in o.methods]) for o in kept] == [("a", ["vm.get"])]
    assert refused == ["host.get", "x"]
    all_of_them = [offer("a", "vm.get")]
    assert access.allowed(WORKER, all_of_them) == (all_of_them, [])


def test_without_keys_everybody_is_the_same() -> None:
    access = Access()
    assert access.principal("", "vm.get") == ""
    assert access.is_worker("")
    access.require_admin("", "shutdown")


def test_a_frontend_without_keys_names_all_who_come_the_same() -> None:
    access = Access(None, ["192.0.2.0/24"], ["vm.get"])
    user, _ = access.admit("frontend", "", "127.0.0.1")
    assert user
    assert access.principal(user, "anything") == ""
    assert access.admit("backend", "", "127.0.0.1")[0] == ""
    assert access.admit("open_frontend", "", "127.0.0.1")[0] == ""


def test_a_renewed_list_counts_at_once_and_tells_whose_entry_is_another(access: Access) -> None:
    changed = access.renew(
        [MEMBERS[0], Authorized("worker", WORKER, "worker"), Authorized("new", STRANGER, "caller")]
    )
    assert changed == {WORKER, ADMIN}
    assert access.principal(STRANGER, "vm.get") == "new"
    with pytest.raises(Unauthorized, match="not authorised any more"):
        access.principal(ADMIN, "vm.get")
    assert access.counts == {"caller": 2, "worker": 1}


# What the gate answers -------------------------------------------------------------------


def test_a_refused_request_is_answered_with_its_id_and_counted(access: Access) -> None:
    counters = Counters()
    refused = Gate(access, counters).request(request("host.set", ', "meta": {"id": "7"}'), CALLER)
    assert isinstance(refused, Reply)
    reply = parse_reply(refused.body)
    assert (reply["error"]["code"], reply["error"]["method"]) == ("unauthorized", "host.set")
    assert reply["meta"] == {"id": "7"}
    assert refused.envelope == (GIVEN, b"")
    assert counters.unauthorized == 1


def test_what_is_let_in_carries_its_principal(access: Access) -> None:
    passed = Gate(access, Counters()).request(request("vm.get"), CALLER)
    assert isinstance(passed, Request)
    assert passed.principal == "caller"


@pytest.mark.parametrize("peer", [b"zabbix1", b"12345", b"\0abc", b"\0abcde"])
def test_who_has_a_key_leaves_its_routing_id_to_the_broker(access: Access, peer: bytes) -> None:
    counters = Counters()
    gate = Gate(access, counters)
    for refused in (
        gate.request(request("vm.get", peer=peer), CALLER),
        gate.admin(request("status", peer=peer), ADMIN),
    ):
        assert isinstance(refused, Reply)
        reply = parse_reply(refused.body)
        assert reply["error"]["code"] == "unauthorized"
        assert "set no ROUTING_ID" in reply["msg"]
    assert "set no ROUTING_ID" in gate.refusal(peer, WORKER)
    assert counters.unauthorized == 3
    assert isinstance(gate.admin(request("status"), ADMIN), Request)
    assert gate.refusal(GIVEN, WORKER) == ""


def test_without_a_key_a_routing_id_may_be_chosen(access: Access) -> None:
    near, _ = access.admit("open_frontend", "", "10.1.2.3")
    passed = Gate(access, Counters()).request(request("vm.get", peer=b"zabbix1"), near)
    assert isinstance(passed, Request)
    without = Gate(Access(), Counters())
    assert isinstance(without.request(request("vm.get", peer=b"zabbix1"), ""), Request)
    assert isinstance(without.admin(request("status", peer=b"zabbix1"), ""), Request)
    assert without.refusal(b"node", "") == ""


def test_what_a_worker_may_not_serve_is_left_out_with_a_warning(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    offers = [wire.Offer("a", [wire.Method(name="vm.get"), wire.Method(name="host.get")])]
    hello = wire.Hello(
        version=1, label="n/0", instance="i", session=1, pid=1, slots=1, ahead=0, offers=offers
    )
    event = Gate(access, Counters()).worker_event(WorkerSays(b"p", hello), WORKER)
    assert isinstance(event, WorkerSays)
    assert event.key == WORKER
    assert [m.name for m in cast("wire.Hello", event.message).offers[0].methods] == ["vm.get"]
    assert "worker n/0 offers what its key worker may not serve" in caplog.text
    assert "host.get" in caplog.text


def test_a_name_of_a_method_cannot_begin_a_line_of_the_log_nor_fill_it(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    offers = [wire.Offer("a", [wire.Method(name="x\nINFO forged")])]
    hello = wire.Hello(
        version=1, label="n/0", instance="i", session=1, pid=1, slots=1, ahead=0, offers=offers
    )
    gate = Gate(access, Counters(), lambda: now)
    for _ in range(100):
        gate.worker_event(WorkerSays(b"p", hello), WORKER)
    assert len(caplog.records) == 1
    assert "\n" not in caplog.records[0].getMessage()
    now = 60.0
    gate.worker_event(WorkerSays(b"p", hello), WORKER)
    assert "and 99 others since" in caplog.records[1].getMessage()


def test_garbage_of_a_worker_stays_garbage(access: Access) -> None:
    garbled = WorkerGarbled(b"p")
    assert Gate(access, Counters()).worker_event(garbled, WORKER) is garbled


# Knocking --------------------------------------------------------------------------------


class FakeZap:
    """A desk at which these have knocked."""

    def __init__(self, *knocks: Knock) -> None:
        self.waiting = list(knocks)
        self.answers: list[str | None] = []

    def knocks(self, ready: bool) -> list[Knock]:
        return self.waiting if ready else []

    def answer(self, knock: Knock, user: str | None) -> bool:
        del knock
        self.answers.append(user)
        return True


def knock(key: str, door: str = "frontend") -> Knock:
    return Knock(door, "203.0.113.1", "CURVE", key, b"asker", b"1")


def test_a_flood_of_strangers_is_counted_and_logged_once_in_a_while(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    porter = Porter(access, counters)
    zap = FakeZap(*[knock(STRANGER)] * 100, knock(CALLER))
    porter.answer(cast("Zap", zap), True, 0.0)
    assert zap.answers == [None] * 100 + [CALLER]
    assert counters.refused_handshakes == 100
    assert len(caplog.records) == 1
    line = caplog.records[0].getMessage()
    assert "frontend: key ssssssss... from 203.0.113.1 is not let in" in line
    assert STRANGER not in line
    porter.answer(cast("Zap", FakeZap(knock(STRANGER))), True, 60.0)
    assert "and 99 others since" in caplog.records[1].getMessage()


# The broker's own keys -------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    keys = KeyDirectory(tmp_path)
    pair = new_pair()
    keys.write("broker", pair.public, pair.secret)
    return keys


@pytest.fixture
def authorized(keys: KeyDirectory) -> AuthorizedList:
    return AuthorizedList(keys.path)


def test_curve_without_a_list_cannot_start(keys: KeyDirectory, authorized: AuthorizedList) -> None:
    with pytest.raises(ConfigError, match=r"nobody is authorised: .*run `vpoller keys authorize"):
        Keyring(BrokerSettings(key="broker"), keys)
    Path(authorized.file).touch(0o600)
    with pytest.raises(ConfigError, match="nobody is authorised"):
        Keyring(BrokerSettings(key="broker"), keys)


def test_a_change_of_the_list_is_seen_within_a_second(
    keys: KeyDirectory, authorized: AuthorizedList
) -> None:
    authorized.add(MEMBERS[0])
    ring = Keyring(BrokerSettings(key="broker"), keys)
    assert ring.look(0.0) == set()
    authorized.add(MEMBERS[1])
    assert ring.look(0.5) == set()
    assert not ring.access.is_worker(WORKER)
    ring.look(1.1)
    assert ring.access.is_worker(WORKER)
    authorized.revoke("worker")
    assert ring.reload() == {WORKER}
    assert not ring.access.is_worker(WORKER)


def test_a_version_counts_when_it_has_settled(
    keys: KeyDirectory, authorized: AuthorizedList
) -> None:
    """An editor that writes in place leaves half a list for a while."""
    authorized.add(MEMBERS[0])
    authorized.add(MEMBERS[1])
    ring = Keyring(BrokerSettings(key="broker"), keys)
    path = Path(authorized.file)
    whole = path.read_text()
    path.write_text(whole[: whole.index('["worker"]')])
    assert ring.look(10.0) == set()
    path.write_text(whole)
    assert ring.look(20.0) == set()
    assert ring.look(30.0) == set()
    assert ring.access.is_worker(WORKER)
    authorized.revoke("worker")
    assert ring.look(40.0) == set()
    assert ring.look(50.0) == {WORKER}


def test_what_hindered_the_reading_need_not_be_in_the_file(
    keys: KeyDirectory, authorized: AuthorizedList, caplog: pytest.LogCaptureFixture
) -> None:
    authorized.add(MEMBERS[0])
    ring = Keyring(BrokerSettings(key="broker"), keys)
    authorized.add(MEMBERS[1])
    os.chmod(authorized.file, 0o666)
    os.chmod(keys.path, 0o777)
    with caplog.at_level(logging.ERROR):
        for now in range(10, 20):
            ring.look(now)
        assert len(caplog.records) == 1  # not one at each look
        os.chmod(authorized.file, 0o644)
        for now in range(20, 30):
            ring.look(now)
        assert len(caplog.records) == 2
    assert not ring.access.is_worker(WORKER)
    os.chmod(keys.path, 0o755)
    ring.look(30.0)
    assert ring.access.is_worker(WORKER)


def test_a_change_that_keeps_time_and_size_is_seen(
    keys: KeyDirectory, authorized: AuthorizedList
) -> None:
    authorized.add(MEMBERS[0])
    ring = Keyring(BrokerSettings(key="broker"), keys)
    path = Path(authorized.file)
    before = path.stat()
    path.write_text(path.read_text().replace(CALLER, STRANGER))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    ring.look(10.0)
    assert ring.look(20.0) == {CALLER}


@pytest.mark.parametrize("harm", ["garbage", "absence", "emptiness", "open to others"])
def test_a_broken_list_changes_nothing_and_is_logged(
    keys: KeyDirectory, authorized: AuthorizedList, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    authorized.add(MEMBERS[0])
    ring = Keyring(BrokerSettings(key="broker"), keys)
    path = Path(authorized.file)
    if harm == "garbage":
        path.write_text("[")
    elif harm == "absence":
        path.unlink()
    elif harm == "emptiness":
        path.write_text("\n")
    else:
        os.chmod(path, 0o666)
    with caplog.at_level(logging.ERROR):
        assert ring.reload() == set()
    assert "those who were authorised before still are" in caplog.text
    assert ring.access.principal(CALLER, "vm.get") == "caller"


def test_the_last_one_may_be_revoked_too(keys: KeyDirectory, authorized: AuthorizedList) -> None:
    authorized.add(MEMBERS[0])
    ring = Keyring(BrokerSettings(key="broker"), keys)
    authorized.revoke("caller")
    assert ring.reload() == {CALLER}
    with pytest.raises(Unauthorized):
        ring.access.principal(CALLER, "vm.get")


def test_without_a_key_no_file_is_looked_at(tmp_path: Path) -> None:
    ring = Keyring(BrokerSettings(), KeyDirectory(tmp_path / "none"))
    assert ring.pair is None
    assert ring.look(100.0) == set()
    assert not ring.access.asks_keys
