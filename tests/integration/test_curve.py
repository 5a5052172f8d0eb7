"""CURVE and ZAP over real sockets: who comes in, as whom, and what the others are told."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.support import zmtp
from tests.support.broker import PATIENCE, RunningBroker, ScriptedWorker, receive
from tests.support.curve import Keys, raw_ask
from vpoller_like.broker import BrokerServer
from vpoller_like.broker.events import Request
from vpoller_like.client import AsyncVPollerClient, VPollerClient
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import ConfigError, Refused, Unauthorized, Unreachable
from vpoller_like.protocol import worker as wire


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """A broker's key; ``me`` may ask for all, ``boss`` is an admin, ``node`` is a worker."""
    keys = Keys(tmp_path)
    keys.add("me")
    keys.add("boss", "admin")
    keys.add("node", "worker")
    return keys


@pytest.fixture
def broker(keys: Keys) -> Iterator[RunningBroker]:
    with RunningBroker(keys, key="broker") as broker:
        yield broker


@pytest.fixture
def worker(broker: RunningBroker, keys: Keys) -> Iterator[ScriptedWorker]:
    with ScriptedWorker(broker.backend, credentials=keys.shown_by("node")) as worker:
        yield worker


def client(broker: RunningBroker, keys: Keys, name: str, **options: Any) -> VPollerClient:
    arguments = keys.as_arguments(name) | {"timeout": 20_000, "retries": 1} | options
    return VPollerClient(broker.server.endpoints["frontend"], **arguments)


def status(broker: RunningBroker, keys: Keys) -> dict[str, Any]:
    reply = raw_ask(
        broker.context,
        broker.server.endpoints["admin"],
        keys.shown_by("boss"),
        {"method": "status"},
    )
    result: dict[str, Any] = reply["result"]
    return result


# Coming in -------------------------------------------------------------------------------


def test_a_key_that_is_listed_asks_in_every_way(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    with client(broker, keys, "me") as asking:
        assert asking.call("echo", data="hi") == "hi"
        replies = list(asking.map([{"method": "echo", "data": n} for n in range(50)]))
        assert [reply["result"] for reply in replies] == list(range(50))

    async def ask() -> Any:
        endpoint = broker.server.endpoints["frontend"]
        async with AsyncVPollerClient(endpoint, **keys.as_arguments("me")) as asking:
            return await asking.call("echo", data=7)

    assert asyncio.run(ask()) == 7


def test_any_req_socket_with_the_three_options_set_comes_in(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    frontend = broker.server.endpoints["frontend"]
    reply = raw_ask(
        broker.context, frontend, keys.shown_by("me"), {"method": "echo", "data": [1, "ä"]}
    )
    assert (reply["success"], reply["result"]) == (0, [1, "ä"])


def test_the_program_of_the_documentation_comes_in(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    program = Path(__file__).resolve().parents[1] / "interop" / "ask_curve.py"
    frontend = broker.server.endpoints["frontend"]
    files = [keys.public_file("broker"), keys.secret_file("me")]
    done = subprocess.run(
        [sys.executable, str(program), frontend, *files, '{"method": "echo", "data": "hi"}'],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == "hi"


def test_an_unknown_key_is_told_so_at_once_and_works_when_it_is_authorised(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    keys.make("stranger")
    with client(broker, keys, "stranger", timeout=60_000) as asking:
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            asking.call("echo")
        assert time.monotonic() - began < 30.0  # not after the timeout
        assert "does not let this key in as a caller; run `vpoller keys authorize" in (
            refused.value.message
        )
        assert keys.public("stranger") in refused.value.message
        envelope = asking.run({"method": "echo"})
        assert (envelope["success"], envelope["error"]["code"]) == (1, "refused")
        assert envelope["error"]["retryable"] is False
        assert envelope["msg"] == refused.value.message
        keys.add("stranger")
        broker.server.reload()
        assert asking.call("echo", data=1) == 1
    assert status(broker, keys)["counters"]["refused_handshakes"] >= 2


def test_a_wrong_server_key_is_named(broker: RunningBroker, keys: Keys) -> None:
    keys.make("other")
    with client(broker, keys, "me", server_key="other", timeout=2000) as asking:
        with pytest.raises(Unreachable, match="whose key is not the server_key") as caught:
            asking.call("echo")
        assert keys.public("other") in caught.value.message


def test_a_client_without_a_key_is_told_that_one_is_asked_for(
    broker: RunningBroker, keys: Keys
) -> None:
    del keys
    with (
        VPollerClient(broker.server.endpoints["frontend"], timeout=60_000) as asking,
        pytest.raises(Refused, match=r"asks for a key \(CURVE\); set key and server_key"),
    ):
        asking.call("echo")


def test_a_client_with_a_key_is_told_that_the_broker_asks_for_none(keys: Keys) -> None:
    with (
        RunningBroker() as plain,
        client(plain, keys, "me", timeout=60_000) as asking,
        pytest.raises(Refused, match="does not speak CURVE, and this side has a key"),
    ):
        asking.call("echo")


def test_a_refusal_by_one_broker_leaves_the_other(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    with RunningBroker() as plain:
        endpoints = [plain.server.endpoints["frontend"], broker.server.endpoints["frontend"]]
        with VPollerClient(endpoints, timeout=20_000, **keys.as_arguments("me")) as asking:
            assert asking.call("echo", data=3) == 3


def test_many_requests_of_a_stranger_are_each_told(broker: RunningBroker, keys: Keys) -> None:
    keys.make("stranger")
    with client(broker, keys, "stranger") as asking:
        replies = list(asking.map([{"method": "echo"}] * 20))
    assert [reply["error"]["code"] for reply in replies] == ["refused"] * 20


def test_wrong_keys_are_found_before_anything_is_sent(keys: Keys) -> None:
    with pytest.raises(ConfigError, match="there is no key"):
        VPollerClient(key="ghost", server_key="broker", keys=keys.path)
    with pytest.raises(ConfigError, match="key is set and server_key is not"):
        VPollerClient(key="me", keys=keys.path)
    Path(keys.secret_file("me")).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        VPollerClient(key="me", server_key="broker", keys=keys.path)


# What one may do -------------------------------------------------------------------------


def test_a_caller_outside_its_patterns_is_unauthorized_by_name(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    keys.add("narrow", "caller", "ech*", "vm.*")
    broker.server.reload()
    with client(broker, keys, "narrow") as asking:
        assert asking.call("echo", data=1) == 1
        with pytest.raises(
            Unauthorized, match=r"narrow may ask for ech\*, vm\.\* and not for hold"
        ):
            asking.call("hold")
    assert status(broker, keys)["counters"]["unauthorized"] == 1


def test_revocation_acts_on_a_connection_that_lives(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    with client(broker, keys, "me") as asking:
        assert asking.call("echo", data=1) == 1
        keys.authorized.revoke("me")
        broker.server.reload()
        with pytest.raises(Unauthorized, match="not authorised any more, and may not ask for echo"):
            asking.call("echo", data=2)
        keys.add("me")
        broker.server.reload()
        assert asking.call("echo", data=3) == 3


def test_a_worker_key_asks_for_nothing(broker: RunningBroker, keys: Keys) -> None:
    with client(broker, keys, "node") as asking, pytest.raises(Unauthorized, match="worker's key"):
        asking.call("echo")


@pytest.mark.parametrize("verb", ["status", "workers", "methods", "shutdown", "nonsense"])
def test_admin_verbs_need_an_admin(broker: RunningBroker, keys: Keys, verb: str) -> None:
    for name in ("me", "node"):
        reply = raw_ask(
            broker.context,
            broker.server.endpoints["admin"],
            keys.shown_by(name),
            {"method": verb, "meta": {"id": "1"}},
        )
        assert reply["error"]["code"] == "unauthorized"
        assert f"{verb} needs an admin's key, and {name} is" in reply["msg"]
        assert reply["meta"] == {"id": "1"}
    assert not broker.server.draining


def test_an_admin_asks_for_methods_too(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    with client(broker, keys, "boss") as asking:
        assert asking.call("echo", data=1) == 1


def test_ids_of_two_principals_are_two_ids(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    keys.add("you")
    broker.server.reload()
    frontend = broker.server.endpoints["frontend"]

    def ask(name: str, data: int) -> dict[str, Any]:
        return raw_ask(
            broker.context,
            frontend,
            keys.shown_by(name),
            {"method": "echo", "data": data, "meta": {"id": "same"}},
        )

    assert ask("me", 1)["result"] == 1
    assert ask("you", 2)["result"] == 2
    assert worker.got == 2
    assert ask("me", 1)["result"] == 1
    assert worker.got == 2  # remembered
    assert ask("me", 2)["error"]["code"] == "id_reused"


def test_turns_go_by_principal_and_not_by_connection(broker: RunningBroker, keys: Keys) -> None:
    """One key with many connections gets no more turns than one with a single connection."""
    keys.add("you")
    broker.server.reload()
    frontend = broker.server.endpoints["frontend"]
    offer = wire.Offer("test", [wire.Method(name="hold")])
    node = keys.shown_by("node")
    answered: list[str] = []

    def ask(name: str) -> None:
        raw_ask(broker.context, frontend, keys.shown_by(name), {"method": "hold"})
        answered.append(name)

    with ScriptedWorker(broker.backend, offer, slots=1, credentials=node) as worker:

        def queued(count: int) -> bool:
            return bool(status(broker, keys)["queued"] == count)

        greedy = [threading.Thread(target=ask, args=("me",)) for _ in range(9)]
        for thread in greedy:
            thread.start()
        broker.eventually(lambda: queued(8), "eight wait")
        modest = threading.Thread(target=ask, args=("you",))
        modest.start()
        broker.eventually(lambda: queued(9), "nine wait")
        worker.finish()
        for thread in (*greedy, modest):
            thread.join(PATIENCE)
    # Not before the one that ran and the one whose turn it was; soon after them.
    assert answered.index("you") <= 4, answered


# Workers ---------------------------------------------------------------------------------


def test_only_a_worker_key_registers(broker: RunningBroker, keys: Keys) -> None:
    for name in ("me", "boss"):
        with broker.context.socket(zmq.DEALER) as socket:
            keys.shown_by(name).apply(socket)
            events = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
            socket.connect(broker.backend)
            assert events.poll(round(PATIENCE * 1000)), name
            socket.disable_monitor()
            events.close(0)
    assert status(broker, keys)["workers"] == 0


def test_a_worker_serves_what_its_key_may(broker: RunningBroker, keys: Keys) -> None:
    keys.add("node", "worker", "echo")
    broker.server.reload()
    with ScriptedWorker(broker.backend, credentials=keys.shown_by("node")):
        with client(broker, keys, "me") as asking:
            assert asking.call("echo", data=1) == 1
            reply = asking.run({"method": "hold"})
            assert reply["error"]["code"] == "unknown_method"
        # What it may serve more is taken up without its being started again.
        keys.add("node", "worker", "*")
        broker.server.reload()
        broker.eventually(
            lambda: (
                status(broker, keys)["counters"]["lost_workers"] == 0
                and "hold" in methods(broker, keys)
            ),
            "hold is served",
        )


def methods(broker: RunningBroker, keys: Keys) -> set[str]:
    admin = broker.server.endpoints["admin"]
    reply = raw_ask(broker.context, admin, keys.shown_by("boss"), {"method": "methods"})
    return {entry["method"] for entry in reply["result"]}


def test_a_revoked_worker_is_given_up_at_once_and_told_so(keys: Keys) -> None:
    node = keys.shown_by("node")
    with (
        # Silence alone would not be noticed within this test.
        RunningBroker(keys, key="broker", liveness_ms=600_000) as broker,
        ScriptedWorker(broker.backend, credentials=node) as worker,
        client(broker, keys, "me") as asking,
    ):
        outcome: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: outcome.append(asking.run({"method": "hold"})))
        thread.start()
        broker.eventually(lambda: worker.held, "the worker holds the task")
        keys.authorized.revoke("node")
        broker.server.reload()
        thread.join(PATIENCE * 2)
        assert outcome[0]["error"]["code"] == "worker_lost"
        assert worker.sent_away.wait(PATIENCE)
        # Its heartbeats go on, and bring it nothing.
        before = status(broker, keys)["counters"]["unauthorized"]
        broker.eventually(
            lambda: status(broker, keys)["counters"]["unauthorized"] > before, "it is still heard"
        )
        assert status(broker, keys)["workers"] == 0


def test_another_keys_worker_cannot_take_a_workers_place(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    keys.add("rogue", "worker")
    broker.server.reload()
    rogue = ScriptedWorker(broker.backend, name="rogue", credentials=keys.shown_by("rogue"))
    rogue._instance = worker._instance
    rogue._thread.start()
    try:
        assert rogue.sent_away.wait(PATIENCE)
        assert not rogue.welcomed.is_set()
        with client(broker, keys, "me") as asking:
            assert asking.call("echo", data=1) == 1
        assert worker.got == 1
    finally:
        rogue.end()


# Doors -----------------------------------------------------------------------------------


def own_address() -> str:
    """Return an address of this machine that is not loopback, as it would be used outwards."""
    with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "0.0.0.0"
        address: str = probe.getsockname()[0]
        return address


@pytest.mark.parametrize("door", ["frontend", "backend", "admin", "plain"])
def test_an_open_address_is_refused_with_what_mends_it(door: str, keys: Keys) -> None:
    doors = dict.fromkeys(("frontend", "backend", "plain", "admin"), "tcp://127.0.0.1:*")
    settings = BrokerSettings(**doors | {door: "tcp://0.0.0.0:*"})
    with pytest.raises(ConfigError) as caught:
        BrokerServer(settings, keys=keys)
    said = caught.value.message
    if door == "plain":
        assert "bind 127.0.0.1 and reach it through a tunnel" in said
    else:
        assert "`vpoller keys new broker`" in said
        assert "`vpoller keys authorize NAME" in said
        assert 'broker.key = "broker"' in said


def test_with_a_key_every_address_may_be_bound_but_the_plain_one(keys: Keys) -> None:
    anywhere = dict.fromkeys(("frontend", "backend", "admin"), "tcp://0.0.0.0:*")
    with RunningBroker(keys, key="broker", **anywhere) as broker:
        security = status_at(broker, keys)["security"]
    assert security == {
        "frontend": "curve",
        "backend": "curve",
        "plain": "plain (loopback)",
        "admin": "curve",
        "keys": {"caller": 1, "admin": 1, "worker": 1},
    }
    with pytest.raises(ConfigError, match="not a loopback address"):
        RunningBroker(keys, key="broker", plain="tcp://0.0.0.0:*")


def status_at(broker: RunningBroker, keys: Keys) -> dict[str, Any]:
    port = broker.server.endpoints["admin"].rpartition(":")[2]
    admin = f"tcp://127.0.0.1:{port}"
    shown = keys.shown_by("boss")
    result: dict[str, Any] = raw_ask(broker.context, admin, shown, {"method": "status"})["result"]
    return result


def test_curve_without_a_list_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nobody is authorised: .*`vpoller keys authorize"):
        RunningBroker(Keys(tmp_path), key="broker")


def test_the_open_frontend_takes_plain_clients_of_its_networks_beside_curve(keys: Keys) -> None:
    opened: dict[str, Any] = {
        "open_frontend": "tcp://127.0.0.1:*",
        "allow_plain": ["127.0.0.0/8"],
        "open_methods": ["ech*"],
    }
    with RunningBroker(keys, key="broker", **opened) as broker:
        node = keys.shown_by("node")
        with ScriptedWorker(broker.backend, credentials=node) as worker:
            door = "open_frontend"
            assert broker.ask("echo", door, data=1)["result"] == 1
            refused = broker.ask("hold", door)
            assert refused["error"]["code"] == "unauthorized"
            assert "clients without a key may ask for ech* and not for hold" in refused["msg"]
            # The other door of the same socket asks for keys as before, and ids are apart.
            with client(broker, keys, "me") as asking:
                assert asking.run({"method": "echo", "data": 2, "meta": {"id": "x"}})["result"] == 2
            assert broker.ask("echo", door, data=3, meta={"id": "x"})["result"] == 3
            assert worker.got == 3
            with VPollerClient(broker.server.endpoints["frontend"]) as keyless:
                # Which of the two it is depends on who notices first.
                reply = keyless.run({"method": "echo"})
                assert reply["error"]["code"] in ("refused", "unreachable")
                assert "set key and server_key" in reply["error"]["detail"]
        assert (
            status(broker, keys)["security"]["open_frontend"] == "plain (allow_plain 127.0.0.0/8)"
        )


def test_the_open_frontend_refuses_other_addresses_in_words(keys: Keys) -> None:
    opened: dict[str, Any] = {"open_frontend": "tcp://127.0.0.1:*", "allow_plain": ["192.0.2.0/24"]}
    with RunningBroker(keys, key="broker", **opened) as broker:
        with (
            VPollerClient(broker.server.endpoints["open_frontend"], timeout=60_000) as asking,
            pytest.raises(Refused, match=r"from this address; .*broker\.allow_plain"),
        ):
            asking.call("echo")
        assert status(broker, keys)["counters"]["refused_handshakes"] >= 1


def test_the_open_frontend_needs_no_key_at_the_broker() -> None:
    opened: dict[str, Any] = {"open_frontend": "tcp://0.0.0.0:*", "allow_plain": ["127.0.0.1"]}
    with RunningBroker(**opened) as broker, ScriptedWorker(broker.backend):
        assert broker.ask("echo", data=1)["result"] == 1
        port = broker.server.endpoints["open_frontend"].rpartition(":")[2]
        with VPollerClient(f"tcp://127.0.0.1:{port}") as near:
            assert near.call("echo", data=2) == 2
        address = own_address()
        if address not in ("0.0.0.0", "127.0.0.1"):
            # The kernel gives a connection to one's own address that address as its source.
            with VPollerClient(f"tcp://{address}:{port}", timeout=60_000) as far:
                assert far.run({"method": "echo"})["error"]["code"] == "refused"


@pytest.mark.parametrize("user", [b"plain 203.0.113.9", b"local", b"", b"\xff\xfe"])
@pytest.mark.parametrize("door", ["frontend", "open_frontend"])
def test_what_a_client_says_of_itself_is_not_who_it_is(door: str, user: bytes) -> None:
    opened: dict[str, Any] = {
        "open_frontend": "tcp://127.0.0.1:*",
        "allow_plain": ["127.0.0.1"],
        "open_methods": ["echo"],
    }
    principals: list[str] = []
    with RunningBroker(**opened) as broker, ScriptedWorker(broker.backend) as worker:
        handlers = broker.server._core._handlers
        handle = handlers[Request]

        def spy(request: Request, now: float) -> None:
            principals.append(request.principal)
            handle(request, now)

        handlers[Request] = spy
        with zmtp.connect(broker.server.endpoints[door], timeout=PATIENCE) as raw:
            said = zmtp.ready(b"DEALER", b"", (b"User-Id", user))
            raw.sendall(zmtp.greeting() + said)
            heard = b""
            while b"\x05READY" not in heard:
                heard += raw.recv(4096) or pytest.fail("the connection was closed")
            raw.sendall(zmtp.message([b"", b'{"method": "echo"}']))
            broker.eventually(lambda: principals, "it is read")
        assert principals == ["" if door == "frontend" else "plain 127.0.0.1"]
        broker.eventually(lambda: worker.got == 1, "it is served")
        assert broker.ask("echo", data=1)["result"] == 1


def test_with_a_key_a_reply_cannot_be_left_to_who_takes_the_routing_id_next(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    with broker.context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.set(zmq.ROUTING_ID, b"zabbix1")
        keys.shown_by("me").apply(socket)
        socket.connect(broker.server.endpoints["frontend"])
        socket.send_multipart([b"", b'{"method": "hold"}'])
        reply = json.loads(receive(socket)[-1])
    assert reply["error"]["code"] == "unauthorized"
    assert "set no ROUTING_ID" in reply["msg"]
    assert worker.got == 0


def test_a_worker_with_a_key_leaves_its_routing_id_to_the_broker(
    broker: RunningBroker, keys: Keys
) -> None:
    with broker.context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.set(zmq.ROUTING_ID, b"node")
        keys.shown_by("node").apply(socket)
        socket.connect(broker.backend)
        socket.send_multipart(wire.encode(wire.Heartbeat(1, 0)))
        refused = wire.decode_from_broker(receive(socket))
    assert isinstance(refused, wire.Refused)
    assert "set no ROUTING_ID" in refused.reason
    assert status(broker, keys)["workers"] == 0


def test_strangers_who_keep_knocking_hold_up_nobody(
    broker: RunningBroker, keys: Keys, worker: ScriptedWorker
) -> None:
    del worker
    keys.make("stranger")
    shown = keys.shown_by("stranger")
    strangers: list[zmq.Socket[bytes]] = []
    with client(broker, keys, "me") as asking:
        for number in range(100):
            socket = broker.context.socket(zmq.DEALER)
            shown.apply(socket)
            socket.connect(broker.server.endpoints["frontend"])
            strangers.append(socket)
            if number % 10 == 0:
                assert asking.call("echo", data=number) == number
        broker.eventually(
            lambda: status(broker, keys)["counters"]["refused_handshakes"] >= 100, "all are refused"
        )
        assert asking.call("echo", data="still") == "still"
    for socket in strangers:
        socket.close(0)
