"""Whatever a peer says that parses, the core's books stay in order and the next is served."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import strategies as some
from tests.support.core import Player, Stage, offer, request_body, safe
from vpoller_like.broker import events as ev
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.request import fingerprint, parse_head

FIELDS = st.fixed_dictionaries(
    {"method": st.sampled_from(["safe", "once", "away"]) | some.names},
    optional={
        "hostname": some.text(0, 10),
        "meta": st.fixed_dictionaries(
            {},
            optional={
                "id": st.sampled_from("xy"),
                "age_ms": st.floats(0, 1e12),
                "moved": st.booleans(),
                "deadline_ms": st.floats(0, 1e12),
                "priority": st.integers(0, 9),
            },
        ),
        "data": some.values,
    },
)


def small(message: wire.FromWorker, numbers: list[int], draw: Any) -> wire.FromWorker:
    """``message``, its task numbers and queries taken from those that mean something."""
    fields: dict[str, Any] = {}
    for name in ("task", "query"):
        if name in message.__struct_fields__:
            fields[name] = draw(st.sampled_from(numbers))
    for name in ("items", "held"):
        part = getattr(message, name, None)
        if isinstance(part, list):
            fields[name] = [small(item, numbers, draw) for item in part]
        elif part is not None:
            fields[name] = small(part, numbers, draw)
    if "attempt" in message.__struct_fields__:
        fields["attempt"] = draw(st.integers(0, 3))
    if "id" in message.__struct_fields__:
        fields["id"] = draw(st.sampled_from([None, "x", "y"]))
        fields["principal"] = ""
        fields["fingerprint"] = draw(st.sampled_from([None, b"", MARK]))
    if isinstance(message, wire.Hello):
        fields["version"] = draw(st.sampled_from([wire.VERSION, wire.VERSION, 7]))
        fields["instance"] = draw(st.sampled_from(["instance-w", "instance-v"]))
    return msgspec.structs.replace(message, **fields)


BODY = request_body("once", meta={"id": "x"})
MARK = fingerprint(BODY)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.data())
def test_nothing_that_parses_upsets_the_core(data: st.DataObject) -> None:
    stage = Stage(grace=data.draw(st.booleans()), remember_bytes=2048)
    stage.feed(ev.PlainPeers(data.draw(st.integers(0, 1))))
    honest = Player(stage, offer(safe("safe"), "once", "still"), slots=2, ahead=1)
    for number in range(data.draw(st.integers(1, 12))):
        step = data.draw(st.sampled_from(["ask", "ask", "say", "say", "say", "plain", "wait"]))
        if step == "ask":
            body = BODY if data.draw(st.booleans()) else msgspec.json.encode(data.draw(FIELDS))
            stage.ask_raw(body, b"%d" % number)
        elif step == "say":
            known = [*stage.core.dispatcher.live, stage.last_number + 1, 0, 77 << 40]
            message = small(data.draw(some.from_workers), known, data.draw)
            peer = data.draw(st.sampled_from([honest.peer, b"stranger"]))
            stage.feed(ev.WorkerSays(peer, message))
        elif step == "plain" and stage.asked_plain:
            token = stage.asked_plain[-1].token
            stage.feed(ev.PlainReply(token, data.draw(some.odd_json)))
        else:
            stage.pass_time(data.draw(st.sampled_from([0.05, 1.0, 3.5])))
        stage.check()
    served = Player(stage, offer("served.now"), name="new")
    stage.ask("served.now", client=b"last")
    served.done()
    assert stage.answers(b"last")[0]["success"] == 0


@settings(max_examples=300)
@given(some.odd_json | some.odd_messagepack | some.mutated(st.just(BODY)))
def test_no_request_that_parses_upsets_the_core(body: bytes) -> None:
    try:
        head = parse_head(body)
    except ProtocolError:
        return
    stage = Stage()
    stage.feed(ev.PlainPeers(1))
    Player(stage, offer("m", "once"))
    # Not parsed again: what is nested deeply may be too deep a few calls further in.
    stage.feed(ev.Request((b"c", b""), body, head))
    stage.feed(ev.StopAsked())
    assert len(stage.replies) == 1
