"""Ports: bursts, messages of any number of frames, and sends that never block."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from vpoller_like.transport.context import new_context
from vpoller_like.transport.outbox import OVERHEAD, Outbox
from vpoller_like.transport.poll import Poll
from vpoller_like.transport.port import MAX_BURST, MAX_FRAMES, Message, Port, Sent
from vpoller_like.transport.pure import BURST_BYTES, SKIPPED_PER_TURN
from vpoller_like.transport.sockets import backend, frontend

PATIENCE = 20.0


class Pair:
    """A ROUTER port, and DEALERs that connect to it."""

    def __init__(self) -> None:
        self.context = new_context()
        self.port, self._binding = backend(self.context, "tcp://127.0.0.1:*")
        self.poll = Poll()
        self.poll.watch(self.port)
        self._dealers: list[zmq.Socket[bytes]] = []

    def dealer(self, **options: int) -> zmq.Socket[bytes]:
        dealer = self.context.socket(zmq.DEALER)
        self._dealers.append(dealer)
        dealer.set(zmq.LINGER, 0)
        for name, value in options.items():
            dealer.set(getattr(zmq, name), value)
        dealer.connect(self._binding.endpoint)
        return dealer

    def round(self, timeout: float = 0.2) -> list[Message]:
        return self.port.receive(self.port.socket in self.poll.wait(timeout))

    def receive(self, count: int) -> list[Message]:
        messages: list[Message] = []
        deadline = time.monotonic() + PATIENCE
        while len(messages) < count and time.monotonic() < deadline:
            messages.extend(self.round())
        return messages

    def close(self) -> None:
        self.port.close()
        for dealer in self._dealers:
            dealer.close(0)
        self.context.term()


@pytest.fixture
def pair(burst_kind: str) -> Iterator[Pair]:  # noqa: ARG001
    pair = Pair()
    yield pair
    pair.close()


def known_peer(pair: Pair, dealer: zmq.Socket[bytes]) -> bytes:
    dealer.send(b"hello")
    (message,) = pair.receive(1)
    return message.frames[0]


# Receiving -----------------------------------------------------------------------------


def test_all_messages_come_in_their_order(pair: Pair) -> None:
    dealer = pair.dealer()
    for number in range(1000):
        dealer.send_multipart([b"%d" % number, b""])
    frames = [message.frames[1:] for message in pair.receive(1000)]
    assert frames == [[b"%d" % number, b""] for number in range(1000)]


def test_in_python_a_burst_is_one_message_and_doubles_and_in_c_all_there_is(
    pair: Pair, burst_kind: str
) -> None:
    dealer = pair.dealer(SNDHWM=0)
    known_peer(pair, dealer)
    pair.round(0)
    for number in range(40):
        dealer.send(b"%d" % number)
    deadline = time.monotonic() + PATIENCE
    sizes: list[int] = []
    while sum(sizes) < 40 and time.monotonic() < deadline:
        if pair.poll.wait(0.2):
            time.sleep(0.02)
            sizes.append(len(pair.round()))
    if burst_kind == "pure":
        assert sizes[:4] == [1, 2, 4, 8]
    else:
        assert len(sizes) < 4
    assert sum(sizes) == 40
    assert pair.round(0) == []
    dealer.send(b"later")
    assert len(pair.receive(1)) == 1


def test_a_burst_has_a_limit(pair: Pair) -> None:
    for _ in range(20):
        pair.port.receive(True)
    assert pair.port._burst == MAX_BURST


def test_a_burst_is_halved_while_the_socket_is_not_ready(pair: Pair, burst_kind: str) -> None:
    pair.port._burst = 8
    sizes = []
    for _ in range(5):
        pair.port.receive(False)
        sizes.append(pair.port._burst)
    assert sizes == ([4, 2, 1, 1, 1] if burst_kind == "pure" else [MAX_BURST] * 5)


def test_where_nothing_is_ready_nothing_is_tried(pair: Pair) -> None:
    assert pair.port.receive(False) == []
    assert pair.port.receive(True) == []


@pytest.mark.parametrize("extra", range(MAX_FRAMES + 3))
def test_a_message_of_any_number_of_frames_is_read_whole(pair: Pair, extra: int) -> None:
    dealer = pair.dealer()
    sent = [b"%d" % number for number in range(extra + 1)]
    dealer.send_multipart(sent)
    dealer.send_multipart([b"next", b""])
    first, second = pair.receive(2)
    assert first.frames[1:] == sent[: MAX_FRAMES - 1]
    assert first.truncated == (len(sent) >= MAX_FRAMES)
    assert second.frames[1:] == [b"next", b""]
    assert not second.truncated


def test_of_a_hundred_thousand_frames_some_are_kept_and_the_next_message_is_whole(
    pair: Pair,
) -> None:
    dealer = pair.dealer(SNDHWM=0)
    for _ in range(100_000):
        dealer.send(b"", zmq.SNDMORE)
    dealer.send(b"end")
    dealer.send_multipart([b"next"])
    first, second = pair.receive(2)
    assert (len(first.frames), first.truncated) == (MAX_FRAMES, True)
    assert second.frames[1:] == [b"next"]


def test_other_sockets_have_their_turn_amid_a_message_of_very_many_frames(pair: Pair) -> None:
    """Two mebibytes of empty frames had the whole broker read them in one go: seconds."""
    dealer = pair.dealer(SNDHWM=0)
    count = 5 * SKIPPED_PER_TURN
    for _ in range(count):
        dealer.send(b"", zmq.SNDMORE)
    dealer.send(b"end")
    dealer.send_multipart([b"next"])
    rounds = []
    while sum(map(len, rounds)) < 2:
        assert len(rounds) < 50
        rounds.append(pair.round(PATIENCE))
    assert rounds[:4] == [[]] * 4
    first, second = (message for messages in rounds for message in messages)
    assert (len(first.frames), first.truncated) == (MAX_FRAMES, True)
    assert second.frames[1:] == [b"next"]


def test_a_port_keeps_as_many_frames_as_it_is_told_to(pair: Pair) -> None:
    pair.port.max_frames = 3
    dealer = pair.dealer()
    dealer.send_multipart([b"1", b"2"])
    dealer.send_multipart([b"1", b"2", b"3"])
    first, second = pair.receive(2)
    assert (first.frames[1:], first.truncated) == ([b"1", b"2"], False)
    assert (second.frames[1:], second.truncated) == ([b"1", b"2"], True)


def test_a_burst_ends_at_a_number_of_bytes(pair: Pair) -> None:
    """256 messages of 8 MiB were read at once: two gibibytes."""
    dealer = pair.dealer(SNDHWM=0)
    size = BURST_BYTES // 4
    pair.port._burst = 20
    for _ in range(12):
        dealer.send(b"x" * size)
    sizes = []
    while sum(sizes) < 12:
        pair.poll.wait(PATIENCE)
        time.sleep(0.05)
        sizes.append(len(pair.round()))
    assert max(sizes) <= 4


# Sending -------------------------------------------------------------------------------


def test_a_send_to_a_peer_that_is_not_there_says_so(pair: Pair) -> None:
    assert pair.port.send([b"nobody", b"x"]) is Sent.GONE
    dealer = pair.dealer()
    peer = known_peer(pair, dealer)
    assert pair.port.send([peer, b"one", b"two"]) is Sent.DONE
    assert dealer.recv_multipart() == [b"one", b"two"]


def test_a_send_to_a_peer_that_left_says_so(pair: Pair) -> None:
    dealer = pair.dealer()
    peer = known_peer(pair, dealer)
    dealer.close(0)
    deadline = time.monotonic() + PATIENCE
    while pair.port.send([peer, b"x"]) is not Sent.GONE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def filled(pair: Pair) -> tuple[zmq.Socket[bytes], bytes]:
    """A peer that reads nothing, whose queues are full."""
    dealer = pair.dealer(RCVHWM=1, RCVBUF=4096)
    peer = known_peer(pair, dealer)
    quiet = 0
    while quiet < 20:
        if pair.port.send([peer, b"x" * 65_536]) is Sent.DONE:
            quiet = 0
        else:
            quiet += 1
            time.sleep(0.01)
    return dealer, peer


def test_a_send_to_a_peer_that_does_not_read_never_blocks(pair: Pair) -> None:
    _, peer = filled(pair)
    began = time.monotonic()
    assert pair.port.send([peer, b"x"]) is Sent.FULL
    assert time.monotonic() - began < 5


# Outbox --------------------------------------------------------------------------------


class FakePort:
    """Peers that take so many messages, that are full, or that are gone."""

    def __init__(self) -> None:
        self.room: dict[bytes, int] = {}
        self.gone: set[bytes] = set()
        self.sent: list[tuple[bytes, ...]] = []

    def send(self, frames: Any) -> Sent:
        peer = frames[0]
        if peer in self.gone:
            return Sent.GONE
        if self.room.get(peer, 0) == 0:
            return Sent.FULL
        self.room[peer] -= 1
        self.sent.append(tuple(frames))
        return Sent.DONE

    def send_all(self, messages: Any) -> list[Sent]:
        return [self.send(frames) for frames in messages]


@pytest.fixture
def port() -> FakePort:
    return FakePort()


def outbox(port: FakePort, max_bytes: int = 1 << 20, peer_bytes: int = 0) -> Outbox:
    return Outbox(port, max_bytes, peer_bytes or max_bytes)  # type: ignore[arg-type]


def test_what_a_peer_does_not_take_is_sent_later_in_its_order(port: FakePort) -> None:
    box = outbox(port)
    port.room[b"p"] = 2
    for number in range(5):
        assert box.send((b"p", b"%d" % number)) is Sent.DONE
    port.room[b"p"] = 2
    assert box.flush(1.0) == []
    port.room[b"p"] = 9
    assert box.send((b"p", b"5")) is Sent.DONE
    assert box.flush(2.0) == []
    assert [frames[1] for frames in port.sent] == [b"%d" % number for number in range(6)]
    assert box.bytes == 0


def test_a_peer_that_reads_is_not_held_up_by_one_that_does_not(port: FakePort) -> None:
    box = outbox(port)
    port.room[b"fast"] = 9
    box.send((b"slow", b"1"))
    assert box.send((b"fast", b"2")) is Sent.DONE
    assert port.sent == [(b"fast", b"2")]


def test_of_many_messages_each_is_sent_kept_or_lost_as_it_would_be_alone(port: FakePort) -> None:
    box = outbox(port, peer_bytes=2 * (OVERHEAD + 5))
    port.room = {b"fast": 9, b"slow": 1}
    port.gone = {b"gone"}
    done, full, gone = Sent.DONE, Sent.FULL, Sent.GONE
    peers = (b"fast", b"slow", b"gone", b"slow", b"fast", b"slow", b"slow")
    first = [(peer, b"%d" % number) for number, peer in enumerate(peers)]
    assert box.send_all(first) == [done, done, gone, done, done, done, full]
    # Now something waits for the slow one, and nothing more may.
    assert box.send_all(first[:4]) == [done, full, gone, full]
    port.room[b"slow"] = 9
    assert box.flush(1.0) == []
    assert box.send_all([(b"slow", b"7")]) == [done]
    to_slow = [number for peer, number in port.sent if peer == b"slow"]
    assert to_slow == [b"1", b"3", b"5", b"7"]
    assert len(port.sent) == 3 + len(to_slow)
    assert box.bytes == 0
    assert box.send_all([]) == []


def test_what_waits_is_bounded(port: FakePort) -> None:
    box = outbox(port, 3 * (OVERHEAD + 101))
    outcomes = [box.send((peer, b"x" * 100)) for peer in (b"p", b"q", b"r", b"s")]
    assert outcomes == [Sent.DONE] * 3 + [Sent.FULL]
    port.room = dict.fromkeys((b"p", b"q", b"r"), 9)
    assert box.messages == 3
    box.flush(3.0)
    assert len(port.sent) == 3
    assert box.bytes == 0


def test_messages_of_no_size_are_bounded_too(port: FakePort) -> None:
    """Five bytes of RESYNC cost 300 of memory."""
    box = outbox(port, 1 << 16)
    outcomes = [box.send((b"p", b"")) for _ in range(1000)]
    assert outcomes.count(Sent.DONE) < 300


def test_peers_that_are_gone_are_named_and_what_waited_for_them_is_dropped(
    port: FakePort,
) -> None:
    box = outbox(port)
    for peer in (b"p", b"q"):
        box.send((peer, b"1"))
        box.send((peer, b"2"))
    port.gone = {b"p"}
    port.room[b"q"] = 9
    assert box.flush(4.0) == [b"p"]
    assert box.bytes == 0
    assert [frames[0] for frames in port.sent] == [b"q", b"q"]
    assert box.send((b"p", b"3")) is Sent.GONE


def test_one_peer_has_a_share_of_what_may_wait(port: FakePort) -> None:
    """A client that never read had 256 MiB of replies kept, and nobody else any."""
    box = outbox(port, 1 << 20, peer_bytes=3 * (OVERHEAD + 101))
    outcomes = [box.send((b"p", b"x" * 100)) for _ in range(4)]
    assert outcomes == [Sent.DONE] * 3 + [Sent.FULL]
    assert box.send((b"q", b"x" * 100)) is Sent.DONE


def test_peers_that_take_all_they_may_leave_room_for_the_next_one(port: FakePort) -> None:
    """Eight deaf peers had all the room, and an honest one's reply was dropped."""
    box = outbox(port, 1 << 20, peer_bytes=1 << 17)
    for number in range(9):
        while box.send((b"deaf%d" % number, b"x" * 1000)) is Sent.DONE:
            pass
    assert box.send((b"honest", b"x" * 10_000)) is Sent.DONE
    assert box.bytes <= 1 << 20


def test_one_message_may_wait_for_a_peer_however_large_it_is(port: FakePort) -> None:
    box = outbox(port, 1 << 20, peer_bytes=1000)
    assert box.send((b"p", b"x" * 10_000)) is Sent.DONE
    assert box.send((b"p", b"")) is Sent.FULL


def test_a_peer_that_takes_nothing_for_too_long_is_given_up(port: FakePort) -> None:
    box = outbox(port)
    for peer in (b"deaf", b"slow"):
        for _ in range(200):
            box.send((peer, b"x"))
    gone = []
    for second in range(90):
        port.room[b"slow"] = 1
        gone += box.flush(float(second))
    assert gone == [b"deaf"]
    assert (box.dropped, box.peers) == (200, 1)
    assert box.bytes == (200 - 90) * (OVERHEAD + 5)


def test_where_somebody_reads_the_next_try_is_at_once_and_where_nobody_does_it_is_not(
    port: FakePort,
) -> None:
    """Each pipeful of replies to a client that reads had waited for the next tick."""
    box = outbox(port)
    assert box.due == float("inf")
    for _ in range(9):
        box.send((b"p", b""))
    port.room[b"p"] = 1
    box.flush(5.0)
    assert box.due <= 5.0
    box.flush(5.0)
    assert 5.0 < box.due <= 5.002
    box.flush(6.0)
    assert box.due > 6.04


def test_many_deaf_peers_do_not_make_a_flush_long(port: FakePort) -> None:
    box = outbox(port)
    for number in range(1000):
        box.send((b"%d" % number, b""))
    tries: list[Any] = []
    send = port.send
    port.send = lambda frames: (tries.append(frames[0]), send(frames))[1]  # type: ignore[method-assign]
    for second in range(8):
        before = len(tries)
        box.flush(float(second))
        assert len(tries) - before < 200
    assert len(set(tries)) == 1000


def test_a_real_peer_that_begins_to_read_gets_everything(pair: Pair) -> None:
    dealer, peer = filled(pair)
    box = Outbox(pair.port, 1 << 20, 1 << 20)
    assert box.send((peer, b"late", b"1")) is Sent.DONE
    assert box.send((peer, b"late", b"2")) is Sent.DONE
    assert box.bytes > 0
    got: list[list[bytes]] = []
    deadline = time.monotonic() + PATIENCE
    while len(got) < 2 and time.monotonic() < deadline:
        box.flush(time.monotonic())
        while dealer.poll(20):
            frames = dealer.recv_multipart()
            if frames[0] == b"late":
                got.append(frames)
    assert got == [[b"late", b"1"], [b"late", b"2"]]
    assert box.bytes == 0


@pytest.mark.usefixtures("burst_kind")
def test_a_frontend_takes_frames_up_to_eight_mebibytes() -> None:
    context = new_context()
    port, binding = frontend(context, "tcp://127.0.0.1:*")
    dealer = context.socket(zmq.DEALER)
    try:
        dealer.set(zmq.LINGER, 0)
        dealer.connect(binding.endpoint)
        dealer.send(b"x" * (8 << 20))
        poll = Poll()
        poll.watch(port)
        # A change of another kind, such as a connection, ends a wait too.
        deadline = time.monotonic() + PATIENCE
        messages: list[Message] = []
        while not messages and time.monotonic() < deadline:
            messages = port.receive(bool(poll.wait(1.0)))
        (message,) = messages
        assert len(message.frames[1]) == 8 << 20
    finally:
        dealer.close(0)
        port.close()
        context.term()


@pytest.mark.usefixtures("burst_kind")
def test_a_port_without_a_peer_is_full() -> None:
    context = new_context()
    port = Port(context.socket(zmq.DEALER))
    try:
        assert port.send([b"x"]) is Sent.FULL
    finally:
        port.close()
        context.term()


def test_a_port_of_which_little_is_read_at_once_is_read_to_its_end(pair: Pair) -> None:
    poll = Poll()
    poll.watch(pair.port)
    pair.port.max_burst = 8
    dealer = pair.dealer()
    for number in range(300):
        dealer.send(b"%d" % number)
    got: list[bytes] = []
    deadline = time.monotonic() + PATIENCE
    while len(got) < 300 and time.monotonic() < deadline:
        ready = poll.wait(0.01)
        got.extend(message.frames[1] for message in pair.port.receive(pair.port.socket in ready))
    assert got == [b"%d" % number for number in range(300)]


def test_what_comes_in_by_a_port_that_is_left_out_is_found_later(pair: Pair) -> None:
    dealer = pair.dealer()
    for number in range(3):
        dealer.send(b"%d" % number)
        assert not pair.poll.wait(0.2, without=pair.port)
        assert pair.poll.wait(PATIENCE) == {pair.port.socket}
        assert [m.frames[1] for m in pair.port.receive(True)] == [b"%d" % number]
