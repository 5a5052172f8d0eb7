"""Batches at the broker: read into requests, and answered in packs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.core import Player, Stage, request_body
from vpoller_like.broker import events as ev
from vpoller_like.broker.access import Access
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.figures import TURN
from vpoller_like.broker.gate import Gate
from vpoller_like.broker.intake import Intake
from vpoller_like.broker.packs import reply_messages
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import TaskFailed
from vpoller_like.protocol import batch
from vpoller_like.protocol.encoding import Encoding, decode_object, encode
from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.transport.port import Message

ENVELOPE = (b"client", b"token", b"")


class Desk:
    """An intake, and what it answered by itself."""

    def __init__(self, **settings: Any) -> None:
        self.replies: list[ev.Reply] = []
        self.counters = Counters()
        gate = Gate(Access(), self.counters)
        self.intake = Intake(BrokerSettings(**settings), gate, self.counters, self.replies.append)

    def read(self, body: bytes) -> list[ev.Request]:
        self.intake.messages.extend([Message([*ENVELOPE, body], False)])
        return self.intake.take(asks_users=False)

    def error(self) -> dict[str, Any]:
        (reply,) = self.replies
        assert reply.index is None
        return dict(decode_object(reply.body)["error"], msg=decode_object(reply.body)["msg"])


def bodies(count: int, encoding: Encoding = Encoding.JSON) -> list[bytes]:
    return [encode({"method": "m", "n": number}, encoding) for number in range(count)]


@pytest.mark.parametrize("encoding", list(Encoding))
def test_each_element_of_a_batch_is_a_request_with_its_place(encoding: Encoding) -> None:
    desk = Desk()
    requests = desk.read(batch.join_requests(bodies(20, encoding), encoding))
    assert [request.index for request in requests] == list(range(20))
    assert [request.body for request in requests] == bodies(20, encoding)
    assert {request.envelope for request in requests} == {ENVELOPE}
    assert not desk.replies


@pytest.mark.parametrize("space", [b"", b" ", b"\n\t "])
def test_white_space_may_stand_before_a_batch(space: bytes) -> None:
    assert len(Desk().read(space + b'[{"method": "m"}]')) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "an empty batch"),
        (b"\x90", "an empty batch"),
        (b'[{"method": "m"}', "not valid JSON"),
        (b"\xdd\xff\xff\xff\xff", "a batch of 4294967295 requests is more than the 5 allowed"),
        (b'[{"method": "m"},{"method": "m"}] and more', "not valid JSON"),
        (batch.join_requests(bodies(6), Encoding.JSON), "a batch of 6 requests is more than the 5"),
    ],
)
def test_a_batch_that_is_wrong_as_a_whole_has_one_answer(body: bytes, says: str) -> None:
    desk = Desk(max_batch=5)
    assert desk.read(body) == []
    error = desk.error()
    assert error["code"] == "bad_request"
    assert says in error["msg"]
    assert desk.counters.bad_requests == 1
    assert len(desk.read(batch.join_requests(bodies(5), Encoding.JSON))) == 5


def test_a_batch_may_have_no_more_bytes_than_a_request() -> None:
    desk = Desk(max_request=200)
    assert desk.read(batch.join_requests(bodies(50), Encoding.JSON)) == []
    assert desk.error()["code"] == "too_large"


@pytest.mark.parametrize("encoding", list(Encoding))
def test_an_element_that_is_no_request_is_answered_at_its_place(encoding: Encoding) -> None:
    desk = Desk()
    good, other = bodies(2, encoding)
    wrong = msgspec.json.encode(7) if encoding is Encoding.JSON else msgspec.msgpack.encode(7)
    nameless = encode({"n": 1}, encoding)
    body = batch.join_requests([good, wrong, nameless, other], encoding)
    assert [request.index for request in desk.read(body)] == [0, 3]
    assert [reply.index for reply in desk.replies] == [1, 2]
    for reply in desk.replies:
        assert decode_object(reply.body)["error"]["code"] == "bad_request"
    (message,) = reply_messages(desk.replies)
    pack = batch.parse_replies(message[-1])
    assert pack is not None
    assert [index for index, _ in pack] == [1, 2]


def test_a_flood_of_batches_leaves_turns_to_others() -> None:
    desk = Desk()
    body = batch.join_requests(bodies(200), Encoding.JSON)
    desk.intake.messages.extend([Message([*ENVELOPE, body], False)] * 10)
    first = desk.intake.take(asks_users=False)
    assert TURN <= len(first) < TURN + 200
    assert desk.intake.messages
    rest = 0
    while desk.intake.messages:
        rest += len(desk.intake.take(asks_users=False))
    assert len(first) + rest == 2000


# What comes back -----------------------------------------------------------------------


def test_replies_to_one_batch_go_together_and_others_alone() -> None:
    other = (b"other", b"")
    replies = [ev.Reply(ENVELOPE, b'{"n":%d}' % n, n) for n in range(3)]
    replies.insert(1, ev.Reply(other, b"{}"))
    messages = reply_messages(replies)
    assert (*other, b"{}") in messages
    assert (*ENVELOPE, b'[[0,{"n":0}],[1,{"n":1}],[2,{"n":2}]]') in messages
    assert len(messages) == 2


def test_a_pack_closes_when_it_is_large() -> None:
    body = encode({"data": "x" * (MAX_PACK // 2)}, Encoding.JSON)
    messages = reply_messages([ev.Reply(ENVELOPE, body, n) for n in range(5)])
    packs = [batch.parse_replies(message[-1]) for message in messages]
    assert [len(pack or ()) for pack in packs] == [2, 2, 1]


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize(
    "garbage", [b"", b"helper", b'{"a": 1}],[2,{}', b'{"a":"\xff"}', b"\x80", b"\x91\x01", b"\xc1"]
)
def test_a_reply_that_is_no_whole_value_spoils_no_other(garbage: bytes, encoding: Encoding) -> None:
    stage = Stage()
    stage.feed(ev.PlainPeers(1))
    replies: list[ev.Reply] = []
    requests = Desk().read(batch.join_requests(bodies(3, encoding), encoding))
    for request, body in zip(requests, (garbage, b'{"success":0}', b'{"success":0}'), strict=True):
        stage.feed(request)
        actions = stage.feed(ev.PlainReply(stage.asked_plain[-1].token, body))
        replies += [action for action in actions if isinstance(action, ev.Reply)]
    (message,) = reply_messages(replies)
    pack = dict(batch.parse_replies(message[-1]) or ())
    assert pack[1] == pack[2] == encode({"success": 0}, encoding)
    # Which what a plain worker says in MessagePack may be, to who asked in it.
    told = decode_object(pack[0]) or {"error": {"code": "task_failed"}}
    assert told["error"]["code"] == "task_failed"


def test_two_with_one_id_in_a_batch_run_once_and_both_are_answered() -> None:
    stage = Stage()
    player = Player(stage, slots=4)
    body = request_body(meta={"id": "same", "age_ms": 0})
    desk = Desk()
    stage.core.handle_all(
        desk.read(batch.join_requests([body, body], Encoding.JSON)), stage.now, print
    )
    stage.core._out.clear()
    (task,) = stage.core.dispatcher.live.values()
    assert [waiter.index for waiter in task.waiters] == [0, 1]
    stage.core.dispatcher.fail(task, TaskFailed("as told"), stage.now)
    assert [action.index for action in stage.core._out if isinstance(action, ev.Reply)] == [0, 1]
    stage.core._out.clear()
    assert not player.inbox


def test_the_broker_answers_for_one_request_of_a_batch_that_it_fails_at() -> None:
    stage = Stage()
    requests = Desk().read(batch.join_requests(bodies(3), Encoding.JSON))
    Player(stage, slots=4)
    real = stage.core._handlers[ev.Request]

    def fail_at_one(event: Any, now: float) -> None:
        if event.index == 1:
            raise ZeroDivisionError
        real(event, now)

    stage.core._handlers[ev.Request] = fail_at_one
    actions = stage.core.handle_all(requests, stage.now, lambda *_: None)
    (reply,) = [action for action in actions if isinstance(action, ev.Reply)]
    assert reply.index == 1
    assert decode_object(reply.body)["error"]["reason"] == "internal"
    (give,) = [action for action in actions if isinstance(action, ev.Give)]
    assert len(give.items) == 2
