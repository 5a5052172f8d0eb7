"""Requests behind a door that asks for keys, like those that were let in before."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from vpoller_like.authorized import Authorized
from vpoller_like.broker import access as access_module
from vpoller_like.broker.access import Access
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Reply, Request
from vpoller_like.broker.gate import Gate
from vpoller_like.broker.intake import Intake
from vpoller_like.config import BrokerSettings
from vpoller_like.protocol.reply import parse_reply
from vpoller_like.transport.port import Message

ANN, BOB, STRANGER = ("a" * 40, "b" * 40, "s" * 40)
MEMBERS = [
    Authorized("ann", ANN, "caller", ("vm.*",)),
    Authorized("bob", BOB, "caller", ("host.get",)),
]
#: Routing ids: one as a ROUTER gives it, and one that its peer chose.
GIVEN, CHOSEN = b"\0peer", b"mine"


class Desk:
    """An intake behind a list of keys, what it answered, and what it asked the gate."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.access = Access(MEMBERS, ["10.0.0.0/8"], ["vm.get"])
        self.counters = Counters()
        self.replies: list[Reply] = []
        self.asked = 0
        judge = Gate.request

        def request(gate: Gate, request: Request, user: str) -> Request | Reply:
            self.asked += 1
            return judge(gate, request, user)

        monkeypatch.setattr(Gate, "request", request)
        gate = Gate(self.access, self.counters)
        self.intake = Intake(BrokerSettings(), gate, self.counters, self.replies.append)

    def ask(self, user: str, *methods: str, peer: bytes = GIVEN) -> list[str]:
        """Ask for ``methods``, for several in a batch; return as whom what was let in was."""
        bodies = [b'{"method":"%s"}' % method.encode() for method in methods]
        body = bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"
        self.intake.messages.append(Message([peer, b"", body], False, user))
        requests = self.intake.take(asks_users=True)
        assert not self.intake.messages
        assert [request.body for request in requests if request.index is None] in ([], bodies)
        return [request.principal for request in requests]

    def errors(self) -> list[str]:
        """Return the codes of what was answered since this was last asked."""
        replies, self.replies[:] = list(self.replies), []
        return [parse_reply(reply.body)["error"]["code"] for reply in replies]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def test_the_gate_is_asked_once_for_each_user_and_method(desk: Desk) -> None:
    for _ in range(3):
        assert desk.ask(ANN, "vm.get") == ["ann"]
        assert desk.ask(BOB, "host.get") == ["bob"]
    assert desk.asked == 2
    assert desk.ask(ANN, "vm.set") == ["ann"]
    assert desk.asked == 3
    assert not desk.replies


def test_what_one_may_another_may_not(desk: Desk) -> None:
    assert desk.ask(ANN, "vm.get") == ["ann"]
    for user in (BOB, STRANGER, ""):
        assert desk.ask(user, "vm.get") == []
    assert desk.errors() == ["unauthorized"] * 3
    assert desk.ask(ANN, "host.get") == []
    assert desk.errors() == ["unauthorized"]
    assert desk.counters.unauthorized == 4


@pytest.mark.parametrize("entries", [[], MEMBERS[1:], [Authorized("ann", ANN, "caller", ("x",))]])
def test_a_list_that_has_changed_counts_with_the_next_request(
    desk: Desk, entries: Iterable[Authorized]
) -> None:
    assert desk.ask(ANN, "vm.get") == ["ann"]
    desk.access.renew(entries)
    assert desk.ask(ANN, "vm.get") == []
    assert desk.errors() == ["unauthorized"]
    desk.access.renew([Authorized("other", ANN, "caller")])
    assert desk.ask(ANN, "vm.get") == ["other"]


def test_a_routing_id_of_ones_own_choice_is_always_judged(desk: Desk) -> None:
    assert desk.ask(ANN, "vm.get") == ["ann"]
    assert desk.ask(ANN, "vm.get", peer=CHOSEN) == []
    assert desk.ask(ANN, "vm.get", peer=b"\1peer") == []
    assert desk.errors() == ["unauthorized"] * 2
    # Who came without a key may have one.
    for _ in range(2):
        assert desk.ask("plain 10.1.1.1", "vm.get", peer=CHOSEN) == ["plain 10.1.1.1"]
    assert desk.asked == 5


def test_in_a_batch_each_is_judged(desk: Desk) -> None:
    assert desk.ask(ANN, "vm.get", "host.get", "vm.get") == ["ann", "ann"]
    assert desk.errors() == ["unauthorized"]
    assert desk.ask(ANN, "vm.get", "vm.get") == ["ann", "ann"]
    assert desk.asked == 3
    assert desk.ask(BOB, "host.get", "vm.get") == ["bob"]
    assert desk.errors() == ["unauthorized"]


def test_what_is_kept_has_a_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "_MANY", 10)
    for number in range(35):
        assert desk.ask(ANN, f"vm.{number}") == ["ann"]
        assert len(desk.access.let_in) <= 10
    assert desk.ask(ANN, "vm.34") == ["ann"]
    assert desk.asked == 35
