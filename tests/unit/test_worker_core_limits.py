"""What a worker holds back: replies that its broker does not take, greetings, memory."""

from __future__ import annotations

import itertools
import sys

from tests.support.core_rig import Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding, decode_object, encode
from vpoller_like.protocol.reply import success
from vpoller_like.worker.size import within


def joined(max_reply: int, **settings: int) -> Rig:
    rig = Rig(**settings)
    rig.tick()
    rig.say(wire.Welcome(1, "first", 1000, 3000, max_reply))
    return rig


def test_a_reply_that_the_broker_does_not_take_is_answered_too_large() -> None:
    """The broker closed the connection, and again each time that the result was sent anew."""
    rig = joined(2000)
    rig.run(task(1), body=success("x" * 3000, "ok"))
    (result,) = rig.only(wire.Results).items
    assert result.code == "too_large"
    reply = decode_object(result.body)
    assert (reply["error"]["code"], reply["error"]["limit"]) == ("too_large", 2000)
    rig.run(task(2), body=success("x" * 1000, "ok"))
    (result,) = rig.only(wire.Results).items
    assert (result.code, len(result.body) > 1000) == ("", True)


def test_one_that_is_remembered_is_not_told_at_its_full_size_either() -> None:
    rig = joined(2000)
    rig.run(task(1, request_id="x"), body=success("x" * 3000, "ok"))
    rig.say(wire.WhoHas(7, "quick", "anna", "x", b"print"))
    have = rig.only(wire.Have)
    assert have.state is wire.Possession.DONE
    assert have.result is not None
    assert have.result.code == "too_large"


def test_the_error_is_in_the_encoding_of_the_reply() -> None:
    body = encode({"success": 0, "msg": "", "result": "x" * 3000}, Encoding.MSGPACK)
    result = within(wire.Result(1, 1, "", 5, body), 2000)
    assert result.body[:1] not in b"{"
    assert decode_object(result.body)["error"]["code"] == "too_large"


def test_a_greeting_that_is_not_understood_is_repeated_ever_more_rarely() -> None:
    """It was sent, and answered with RESYNC, each second for ever."""
    rig = Rig()
    rig.tick()
    rig.say(wire.Resync())
    times = []
    for _ in range(1200):
        rig.tick(0.1)
        if rig.sent(wire.Hello):
            times.append(rig.now - 1000.0)
            rig.say(wire.Resync())
    assert len(times) < 10
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 25 < max(gaps) <= 31


def test_after_a_welcome_a_greeting_is_repeated_soon_again() -> None:
    rig = Rig()
    rig.tick()
    for _ in range(5):
        rig.say(wire.Resync())
    rig.welcome()
    rig.say(wire.Resync())
    rig.tick(0.1)
    assert rig.sent(wire.Hello)


def test_the_number_of_remembered_results_is_bounded() -> None:
    rig = Rig(remember_count=2).join()
    for number in range(1, 5):
        rig.run(task(number, request_id=f"x{number}"))
        rig.ack(number)
    for number, state in ((1, wire.Possession.NONE), (4, wire.Possession.DONE)):
        rig.say(wire.WhoHas(7, "quick", "anna", f"x{number}", b"print"))
        assert rig.only(wire.Have).state is state


def test_a_remembered_result_does_not_keep_its_request() -> None:
    rig = Rig().join()
    body = b"x" * 100_000
    alone = sys.getrefcount(body)
    rig.run(task(1, request_id="a", body=body))
    rig.ack(1)
    assert sys.getrefcount(body) == alone
    answer = rig.say(wire.WhoHas(1, "quick", "anna", "a", b"print"))
    assert answer, "it is remembered"
