"""A first try without trouble, which goes without a policy of its own, and as by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.fake_broker import failure, success
from vpoller_like.client.draft import Draft
from vpoller_like.client.lane import Leg, Parcel
from vpoller_like.client.outcome import is_success, success_in
from vpoller_like.client.policy import Done, Exchange, Policy, Try, policy
from vpoller_like.errors import TooLarge

A, B = "tcp://a:1", "tcp://b:1"
MSG = {"method": "vm.get", "name": "vm01"}
START = 100.0
POLICIES = [
    Policy((A,)),
    Policy((A, B), timeout=0.4, retries=1),
    Policy((A, B), timeout=20.0, retries=5),
]


def leg(settings: Policy, message: dict[str, Any] = MSG, endpoint: int = 0) -> Leg:
    return Leg("key", settings, Draft(message, lambda: "id-1"), START, endpoint)


def exchange(settings: Policy, endpoint: int = 0) -> Exchange:
    return Exchange(settings, MSG, START, first=endpoint, jitter=lambda: 0.0, new_id=lambda: "id-1")


def begun(settings: Policy, endpoint: int = 0) -> tuple[Leg, Exchange, Try]:
    """Return a leg and an exchange whose first try has begun."""
    easy, thorough = leg(settings, endpoint=endpoint), exchange(settings, endpoint)
    assert easy.begin()
    action = thorough.next_action(START)
    assert isinstance(action, Try)
    return easy, thorough, action


def depart(easy: Leg, at: float) -> None:
    easy.depart(Parcel(b"token", [easy], 100), 0, at)


@pytest.mark.parametrize("settings", POLICIES)
def test_a_first_try_ends_when_the_policy_says(settings: Policy) -> None:
    easy, _, action = begun(settings)
    assert (easy.until, easy.reply_until) == (action.connect_until, action.until)
    depart(easy, START)
    assert easy.until == action.until


@pytest.mark.parametrize("settings", POLICIES)
@pytest.mark.parametrize("waited", [0.0, 0.001, 0.0137, 0.3])
def test_a_first_try_says_what_the_policy_would(settings: Policy, waited: float) -> None:
    easy, thorough, _ = begun(settings)
    assert easy.body(START + waited) == thorough.body(START + waited)


@pytest.mark.parametrize("waited", [0.0001, 0.0009])
def test_what_passes_before_it_is_sent_is_told_to_the_millisecond(waited: float) -> None:
    easy, thorough, _ = begun(Policy((A,)))
    said, true = (json.loads(each.body(START + waited))["meta"] for each in (easy, thorough))
    assert abs(said.pop("deadline_ms") - true.pop("deadline_ms")) <= 1
    assert said == true


def lost(ex: Exchange, now: float) -> None:
    ex.on_loss(now)


def silent(ex: Exchange, _now: float) -> None:
    ex.on_silence()


def busy(ex: Exchange, now: float) -> None:
    assert ex.on_value(failure("busy", retryable=True), now)


def turned_back(ex: Exchange, _now: float) -> None:
    ex.on_turned_back()


@pytest.mark.parametrize("trouble", [lost, silent, busy, turned_back])
@pytest.mark.parametrize("settings", POLICIES)
def test_the_policy_of_a_leg_goes_on_as_if_it_had_been_there(
    settings: Policy, trouble: Any
) -> None:
    easy, thorough, _ = begun(settings, endpoint=len(settings.endpoints) - 1)
    depart(easy, START + 0.05)
    thorough.on_sent(START + 0.05)
    late = easy.exchange
    late._jitter = lambda: 0.0
    for each in (late, thorough):
        trouble(each, START + 0.2)
    for now in (START + 0.2, START + 2.0, START + 1000):
        action = thorough.next_action(now)
        assert late.next_action(now) == action
        if isinstance(action, Try):
            assert late.body(now) == thorough.body(now)
        assert isinstance(action, Done) or now < START + 1000
    assert easy.exchange is late


def test_a_leg_that_found_no_connection_has_sent_nothing() -> None:
    easy, thorough, action = begun(Policy((A,), retries=1))
    for each in (easy.exchange, thorough):
        each.on_unconnected("no way")
    assert easy.exchange.next_action(action.until) == thorough.next_action(action.until)
    envelope = easy.exchange.envelope
    assert envelope is not None
    assert envelope["error"]["code"] == "unreachable"
    assert envelope["error"]["tries"] == 1


def test_after_trouble_a_leg_says_what_its_policy_says() -> None:
    easy, _, action = begun(Policy((A,)))
    depart(easy, START)
    easy.exchange.on_silence()
    easy.exchange.next_action(action.until)
    assert easy.body(action.until) == easy.exchange.body(action.until)
    assert json.loads(easy.body(action.until))["meta"]["age_ms"] == 3000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Policy((A,)), {**MSG, "meta": {"priority": 9}}),
        (Policy((A,), timeout=0.0005, retries=1), MSG),
    ],
)
def test_what_is_not_plain_or_has_no_time_needs_its_policy(
    settings: Policy, message: dict[str, Any]
) -> None:
    easy = leg(settings, message)
    assert not easy.begin()
    assert not easy.is_trying


def test_settings_are_equal_where_what_was_given_is() -> None:
    assert policy([A, B], 400, 1, 1 << 20) == POLICIES[1]


@pytest.mark.parametrize("message", [MSG, {}, {**MSG, "meta": None}, {"meta": {}}])
def test_a_plain_drafts_body_is_what_every_later_one_is(message: dict[str, Any]) -> None:
    ex = Exchange(Policy((A,)), message, START, new_id=lambda: "id-1")
    first = json.loads(ex.body(START))
    assert first.pop("meta") == {"id": "id-1", "age_ms": 0, "deadline_ms": 8750}
    assert first == {key: value for key, value in message.items() if key != "meta"}


@pytest.mark.parametrize("meta", [{}, {"meta": {"id": "mine"}}])
def test_a_draft_may_be_as_large_as_allowed_to_the_byte(meta: dict[str, Any]) -> None:
    message = {**MSG, "data": "x" * 500, **meta}
    with pytest.raises(TooLarge) as caught:
        Draft(message, lambda: "id-1", 100)
    size = caught.value.details["size"]
    Draft(message, lambda: "id-1", size)
    with pytest.raises(TooLarge):
        Draft(message, lambda: "id-1", size - 1)


# Successes -----------------------------------------------------------------------------

VALUES = [
    success(1),
    {**success(1), "meta": {"id": "id-1"}},
    {**success(1), "meta": {"id": "id-1", "worker": "w"}},
    {**success(1), "meta": {"id": "another"}},
    {**success(1), "meta": {"id": None}},
    {**success(1), "meta": {}},
    {**success(1), "meta": None},
    {**success(1), "meta": "id-1"},
    {**success(1), "meta": ["id-1"]},
    {"success": 0},
    {"success": False},
    {"success": 0.0},
    {"success": "0"},
    {"success": 1},
    {"success": 2},
    {"success": None},
    {},
    failure("busy"),
    failure("task_failed"),
    [],
    [["success", 0]],
    "success",
    None,
    0,
]


@pytest.mark.parametrize("value", VALUES)
def test_what_is_taken_for_a_success_the_policy_takes_for_the_requests_end(value: Any) -> None:
    _, thorough, _ = begun(Policy((A,)))
    thorough.on_sent(START)
    settled = thorough.on_value(value, START)
    ends = settled and thorough.envelope == value and value["success"] == 0
    if is_success(value, "id-1"):
        assert ends
    # And mostly the other way round: this is all that makes it worth a look.
    strange = isinstance(value, dict) and "meta" in value and value["meta"] != {"id": "id-1"}
    assert is_success(value, "id-1") or strange or not ends
    body = json.dumps(value).encode()
    assert success_in(body, "id-1") == (value if is_success(value, "id-1") else None)


@pytest.mark.parametrize("body", [b"", b"junk", b"{", b'{"success":0', b"\xff", b"\x80"])
def test_what_cannot_be_read_is_no_success(body: bytes) -> None:
    assert success_in(body, "id-1") is None
