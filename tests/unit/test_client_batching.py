"""What is drawn and sent together, without a socket."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from tests.support.fake_broker import failure, success
from vpoller_like.client.draft import Draft
from vpoller_like.client.lane import Leg, Parcel, Room, together
from vpoller_like.client.outcome import Refusal, refusal_of
from vpoller_like.client.policy import Done, Exchange, Policy, new_id
from vpoller_like.client.source import Iterated, Source, source
from vpoller_like.errors import BadRequest
from vpoller_like.protocol.batch import join_requests
from vpoller_like.protocol.encoding import Encoding

POLICY = Policy(("tcp://a:1",))


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# Drawing -------------------------------------------------------------------------------


def slow(clock: Time, delays: Callable[[int], float]) -> Iterator[dict[str, Any]]:
    for number in range(1000):
        clock.now += delays(number)
        yield {"n": number}


def drawn(requests: Iterated, times: int, most: int = 1000) -> list[int]:
    return [len(requests.draw(most)) for _ in range(times)]


def test_a_quick_iterable_is_drawn_in_ever_larger_bursts() -> None:
    assert drawn(Iterated({"n": n} for n in range(100)), 9) == [1, 2, 4, 8, 16, 32, 37, 0, 0]


def test_no_more_is_drawn_than_there_is_room_for() -> None:
    requests = Iterated({"n": n} for n in range(100))
    assert drawn(requests, 8, most=10) == [1, 2, 4, 8, 10, 10, 10, 10]


def test_requests_are_drawn_in_order_and_all() -> None:
    requests = Iterated([{"n": n} for n in range(50)])
    seen: list[Any] = []
    while not requests.is_exhausted:
        seen.extend(requests.draw(20))
    assert seen == [{"n": n} for n in range(50)]


def test_a_slow_iterable_is_drawn_one_at_a_time() -> None:
    clock = Time()
    assert drawn(Iterated(slow(clock, lambda _: 0.002), clock), 20) == [1] * 20


def test_an_iterable_that_becomes_slow_is_drawn_one_at_a_time_until_it_is_quick_again() -> None:
    clock = Time()
    requests = Iterated(slow(clock, lambda n: 0.01 if 3 <= n < 9 else 0.0), clock)
    assert drawn(requests, 8) == [1, 2, 4, 1, 1, 1, 2, 4]


def test_an_iterable_that_paused_once_is_drawn_one_at_a_time_for_good() -> None:
    clock = Time()
    requests = Iterated(slow(clock, lambda n: 1.0 if n == 5 else 0.0), clock)
    assert drawn(requests, 10) == [1, 2, 4, *[1] * 7]


def test_what_the_iterable_raises_reaches_the_caller() -> None:
    def requests() -> Iterator[dict[str, Any]]:
        yield {}
        raise LookupError("no more")

    drawing = Iterated(requests())
    drawing.draw(1)
    with pytest.raises(LookupError, match="no more"):
        drawing.draw(1)


class Mail:
    """A source: what was put into it."""

    def __init__(self) -> None:
        self.is_exhausted = False

    def draw(self, most: int) -> Sequence[dict[str, Any] | BadRequest]:
        del most
        return []

    def filenos(self) -> list[int]:
        return []


def test_a_source_is_taken_as_it_is_and_any_iterable_is_wrapped() -> None:
    mail = Mail()
    assert source(mail) is mail
    assert isinstance(source([]), Source)
    assert isinstance(source(iter([])), Iterated)


# Grouping ------------------------------------------------------------------------------


def legs(*sizes: int) -> list[Leg]:
    return [
        Leg(n, POLICY, Draft({"n": n, "data": "x" * size}, new_id), 100.0, 0)
        for n, size in enumerate(sizes)
    ]


def groups(legs: list[Leg], room: Room) -> list[list[Any]]:
    return [[leg.key for leg in group] for group, _ in together(legs, 100.0, room)]


def test_a_message_holds_as_many_requests_as_there_is_room_for() -> None:
    assert groups(legs(*[1] * 7), Room(3, 1 << 20)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert groups(legs(*[1] * 3), Room(1, 1 << 20)) == [[0], [1], [2]]
    assert groups([], Room()) == []


@pytest.mark.parametrize("limit", [400, 1000, 1001, 1002, 5000])
def test_a_message_holds_as_many_bytes_as_there_is_room_for(limit: int) -> None:
    sizes = [100, 250, 10, 900, 1, 1, 1, 3000, 100, 100, 100]
    grouped = list(together(legs(*sizes), 100.0, Room(256, limit)))
    assert [leg.key for group, _ in grouped for leg in group] == list(range(len(sizes)))
    for group, bodies in grouped:
        assert [json.loads(body)["n"] for body in bodies] == [leg.key for leg in group]
        written = join_requests(bodies, Encoding.JSON)
        assert len(written) <= limit or len(group) == 1
    # And not fewer: the next one would have been too many.
    for (_, bodies), (_, following) in itertools.pairwise(grouped):
        assert len(join_requests([*bodies, following[0]], Encoding.JSON)) > limit


def test_a_message_may_be_as_large_as_there_is_room_to_the_byte() -> None:
    three = legs(10, 20, 30)
    bodies = [leg.body(100.0) for leg in three]
    exactly = len(join_requests(bodies, Encoding.JSON))
    assert groups(three, Room(256, exactly)) == [[0, 1, 2]]
    assert groups(three, Room(256, exactly - 1)) == [[0, 1], [2]]


@pytest.mark.parametrize(
    ("code", "limit", "room"),
    [
        ("bad_request", 100, Room(100, 5000)),
        ("bad_request", 1, Room(1, 5000)),
        ("bad_request", 256, Room(1, 5000)),
        ("bad_request", 0, Room(1, 5000)),
        ("bad_request", -5, Room(1, 5000)),
        ("bad_request", None, Room(1, 5000)),
        ("bad_request", "100", Room(1, 5000)),
        ("bad_request", True, Room(1, 5000)),
        ("too_large", 1000, Room(256, 1000)),
        ("too_large", 5000, Room(1, 5000)),
        ("too_large", None, Room(1, 5000)),
    ],
)
def test_a_refusal_always_leaves_less_room(code: str, limit: Any, room: Room) -> None:
    assert Room(256, 5000).smaller(code, limit) == room


def test_a_message_fits_where_it_would_be_sent() -> None:
    parcel = Parcel(b"t", legs(1, 1, 1), 500)
    assert parcel.is_batch
    assert parcel.fits(Room(3, 500))
    assert not parcel.fits(Room(2, 500))
    assert not parcel.fits(Room(3, 499))


@pytest.mark.parametrize("code", ["bad_request", "too_large"])
def test_a_batch_that_is_wrong_as_a_whole_is_told_by_its_code(code: str) -> None:
    body = json.dumps(failure(code, limit=7)).encode()
    assert refusal_of(body) == Refusal(code, 7)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"helper", *(msgspec.json.encode(e) for e in (success(1), failure("busy")))],
)
def test_any_other_reply_does_not_say_that_the_batch_is_wrong(body: bytes) -> None:
    assert refusal_of(body) is None


# One of many ---------------------------------------------------------------------------


def asked() -> Exchange:
    exchange = Exchange(POLICY, {"method": "m"}, 100.0, new_id=lambda: "id-1")
    exchange.next_action(100.0)
    exchange.on_sent(100.0)
    return exchange


@pytest.mark.parametrize(
    "envelope",
    [
        success([1]),
        {**success(1), "meta": {"id": "id-1"}},
        failure("task_failed"),
        failure("busy", retryable=True),
        {"success": 1, "msg": "no more than that"},
        {"success": 2},
        {},
        {**success(1), "meta": {"id": "id-2"}},
    ],
)
def test_a_decoded_reply_is_taken_as_its_bytes_would_be(envelope: dict[str, Any]) -> None:
    one, two = asked(), asked()
    body = msgspec.json.encode(envelope)
    assert one.on_value(envelope, 100.1) is two.on_reply(body, 100.1)
    assert one.envelope == two.envelope
    assert type(one.next_action(100.1)) is type(two.next_action(100.1))


@pytest.mark.parametrize("value", [None, 7, "text", [], [1]])
def test_a_value_that_is_no_reply_ends_the_request_and_is_shown(value: Any) -> None:
    exchange = asked()
    assert exchange.on_value(value, 100.1)
    action = exchange.next_action(100.1)
    assert isinstance(action, Done)
    error = action.envelope["error"]
    assert error["reason"] == "malformed_reply"
    assert json.loads(error["reply"]) == value
