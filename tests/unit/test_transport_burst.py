"""Bursts: the C extension and the pure one do the same, and the extension survives failures."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
import zmq.backend

from tests.support.bursting import work
from tests.support.bursts import FakeLibzmq, need_extension
from tests.support.extensions import shown
from vpoller_like.transport import burst
from vpoller_like.transport.context import new_context
from vpoller_like.transport.message import Message, Sent
from vpoller_like.transport.pure import user_of

ROOT = Path(__file__).resolve().parents[2]
MESSAGE = (b"peer", b"", b"body")


class Both:
    """A ROUTER and a DEALER in one process, each read and written in bursts."""

    def __init__(self) -> None:
        self.context = new_context()
        self.router = self.socket(zmq.ROUTER)
        self.router.set(zmq.ROUTER_MANDATORY, 1)
        self.router.bind("inproc://both")
        self.dealer = self.socket(zmq.DEALER)
        self.dealer.set(zmq.ROUTING_ID, b"peer")
        self.dealer.connect("inproc://both")
        self.left = burst.open_socket(self.router, True)
        self.right = burst.open_socket(self.dealer, False)

    def socket(self, kind: int) -> Any:
        return zmq.backend.Socket(self.context, kind)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self.router.close(0)
        self.dealer.close(0)
        self.context.term()


@pytest.fixture
def both(burst_kind: str) -> Iterator[Both]:  # noqa: ARG001
    both = Both()
    yield both
    both.close()


# What both do ----------------------------------------------------------------------------


def test_what_one_sends_the_other_receives(both: Both) -> None:
    sent = [[b"%d" % number, b"", b"x" * number] for number in range(0, 3000, 10)]
    assert both.right.send_all(sent) == [Sent.DONE] * len(sent)
    assert both.left.receive(1, 9, False) == ([Message([b"peer", *sent[0]], False, "")], True)
    messages, has_more = both.left.receive(1000, 9, False)
    assert messages == [Message([b"peer", *frames], False, "") for frames in sent[1:]]
    assert type(messages[0]) is Message
    assert not has_more
    assert both.left.receive(9, 9, False) == ([], False)


def test_it_says_whether_something_is_left_to_receive(both: Both) -> None:
    assert not both.left.pending()
    both.right.send_all([[b"one"], [b"two"]])
    assert both.left.pending()
    both.left.receive(1, 9, False)
    assert both.left.pending()
    both.left.receive(9, 9, False)
    assert not both.left.pending()


def test_one_look_says_what_can_be_received_and_whether_one_can_send(both: Both) -> None:
    assert both.left.look() == (False, True)
    both.right.send([b"one"])
    assert both.left.look() == (True, True)
    both.left.receive(9, 9, False)
    assert both.left.look() == (False, True)


def test_nobody_is_there_to_send_to_until_it_is_connected(both: Both) -> None:
    lonely = both.socket(zmq.DEALER)
    assert burst.open_socket(lonely, False).look() == (False, False)
    lonely.close(0)


def test_frames_may_be_any_bytes_like_object_and_messages_any_sequence(both: Both) -> None:
    frames: Any = [bytearray(b"one"), memoryview(b"two"), b""]
    assert both.right.send_all((frames, tuple(frames))) == [Sent.DONE] * 2
    messages, _ = both.left.receive(9, 9, False)
    assert [message.frames for message in messages] == [[b"peer", b"one", b"two", b""]] * 2


def test_nothing_is_sent_where_there_is_nothing_to_send(both: Both) -> None:
    assert both.right.send_all([]) == []
    assert both.right.send_all(()) == []
    with pytest.raises(IndexError):
        both.right.send([])
    with pytest.raises(IndexError):
        both.right.send_all([[]])
    with pytest.raises(TypeError):
        both.right.send([7])  # type: ignore[list-item]
    assert both.left.receive(9, 9, False) == ([], False)


def test_a_message_of_thousands_of_frames_and_one_of_mebibytes_are_sent_whole(both: Both) -> None:
    frames = [b"%d" % number for number in range(5000)]
    large = [b"x" * (5 << 20), b"y" * (1 << 20)]
    assert both.right.send_all([frames, large, [b"next"]]) == [Sent.DONE] * 3
    assert both.left.receive(1, 10_000, False)[0] == [Message([b"peer", *frames], False, "")]
    assert both.left.receive(9, 9, False)[0] == [
        Message([b"peer", *large], False, ""),
        Message([b"peer", b"next"], False, ""),
    ]


def test_each_message_is_told_apart_by_what_became_of_it(both: Both) -> None:
    both.right.send((b"hello",))
    messages = [(b"peer", b"1"), (b"nobody", b"2"), (b"peer", b"3"), (b"nobody", b"4")]
    done = [Sent.DONE, Sent.GONE, Sent.DONE, Sent.GONE]
    assert both.left.send_all(messages) == done
    assert [both.left.send(message) for message in messages] == done
    assert [both.dealer.recv() for _ in range(4)] == [b"1", b"3", b"1", b"3"]


def test_after_one_that_finds_no_room_the_others_of_that_peer_wait(both: Both) -> None:
    deaf, other = both.socket(zmq.DEALER), both.socket(zmq.DEALER)
    router = both.socket(zmq.ROUTER)
    try:
        router.set(zmq.ROUTER_MANDATORY, 1)
        router.set(zmq.SNDHWM, 1)
        router.bind("inproc://deaf")
        for socket, name, room in ((deaf, b"deaf", 1), (other, b"other", 1000)):
            socket.set(zmq.ROUTING_ID, name)
            socket.set(zmq.RCVHWM, room)
            socket.connect("inproc://deaf")
        left = burst.open_socket(router, True)
        messages = [(b"deaf", b"%d" % number) for number in range(9)]
        messages[3:3] = messages[-1:-1] = [(b"other", b"x"), (b"nobody", b"x")]
        outcomes = left.send_all(messages)
        told = zip(messages, outcomes, strict=True)
        deaf_ones = [sent for (peer, _), sent in told if peer == b"deaf"]
        assert Sent.FULL in deaf_ones
        assert deaf_ones == sorted(deaf_ones, key=[Sent.DONE, Sent.FULL].index)
        assert [outcomes[index] for index in (3, 4, -3, -2)] == [Sent.DONE, Sent.GONE] * 2
    finally:
        for socket in (deaf, other, router):
            socket.close(0)


def test_a_dealer_without_a_peer_keeps_the_order_of_what_waits(both: Both) -> None:
    lonely = both.socket(zmq.DEALER)
    try:
        socket = burst.open_socket(lonely, False)
        assert socket.send_all([(b"1",), (b"2",), (b"3",)]) == [Sent.FULL] * 3
        assert socket.send((b"1", b"2")) is Sent.FULL
    finally:
        lonely.close(0)


def test_surplus_frames_are_thrown_away_in_turns(both: Both) -> None:
    both.right.send_all([[b"x"] * 10_000, [b"next"]])
    assert both.left.receive(9, 3, False) == ([], True)
    assert both.left.receive(9, 3, False) == ([], True)
    expected = [Message([b"peer", b"x", b"x"], True, ""), Message([b"peer", b"next"], False, "")]
    assert both.left.receive(9, 3, False) == (expected, False)


def test_a_turn_throws_away_so_many_frames_and_not_so_many_of_each_message(both: Both) -> None:
    """256 messages of 4096 surplus frames each held up the broker for half a second."""
    both.right.send_all([[b"x"] * 1500] * 6)
    turns = []
    while sum(turns) < 6:
        turns.append(len(both.left.receive(256, 3, False)[0]))
    assert max(turns) <= 3


def test_a_closed_one_says_so_as_pyzmq_does(both: Both) -> None:
    both.left.close()
    both.left.close()
    for act in (
        lambda: both.left.receive(1, 9, False),
        lambda: both.left.send(MESSAGE),
        lambda: both.left.send_all([MESSAGE]),
    ):
        with pytest.raises(zmq.ZMQError) as caught:
            act()
        assert caught.value.errno == zmq.ENOTSOCK


def receive_forever(both: Both) -> None:
    while True:
        both.left.receive(1, 9, False)


def test_an_ended_context_is_told_as_pyzmq_tells_it(both: Both) -> None:
    ending = threading.Thread(target=both.context.term)
    ending.start()
    try:
        with pytest.raises(zmq.ContextTerminated):
            receive_forever(both)
        with pytest.raises(zmq.ContextTerminated):
            both.right.send(MESSAGE)
        with pytest.raises(zmq.ContextTerminated):
            both.right.send_all([MESSAGE])
    finally:
        both.router.close(0)
        both.dealer.close(0)
        ending.join()


def test_a_long_run_takes_no_memory(burst_kind: str) -> None:
    """A frame that is lost for each message would be tens of mebibytes."""
    work(burst_kind, 20)
    before = psutil.Process().memory_info().rss
    work(burst_kind, 50)
    assert psutil.Process().memory_info().rss - before < 8 << 20


# What the pure one does where libzmq fails ------------------------------------------------


@pytest.mark.parametrize(
    "error", [zmq.ZMQError(zmq.EINVAL), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")]
)
def test_who_cannot_be_told_is_nobody(error: Exception) -> None:
    class Frame:
        def get(self, _: str) -> str:
            raise error

    assert user_of(Frame()) == ""


# What the extension does where libzmq fails -----------------------------------------------


@pytest.fixture
def libzmq() -> Iterator[FakeLibzmq]:
    fake = FakeLibzmq()
    yield fake
    fake.script("")
    gc.collect()
    assert fake.open == 0


def frames_of(messages: list[Message]) -> list[list[bytes]]:
    return [message.frames for message in messages]


def test_an_interrupted_call_is_made_again(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    libzmq.script("I.")
    assert not socket.pending()
    libzmq.put(*MESSAGE)
    libzmq.script("II.")
    assert socket.pending()
    libzmq.script("I.")
    assert socket.look() == (True, False)
    libzmq.script("II.I..")
    assert frames_of(socket.receive(1, 9, False)[0]) == [list(MESSAGE)]
    libzmq.script("I.I.III.")
    assert socket.send(MESSAGE) is Sent.DONE
    assert libzmq.sent == "peer++body\n"


@pytest.mark.parametrize(
    ("script", "sent"),
    [
        ("A", ""),
        # A DEALER whose peer has left amid a message is shown the message's end.
        (".A..", "a+c+d\n"),
        ("..A.", "a+b+d\n"),
        # At the last frame there is no end left to show.
        ("...A", "a+b+c+"),
    ],
)
def test_a_message_that_was_begun_is_ended(libzmq: FakeLibzmq, script: str, sent: str) -> None:
    """The DEALER dropped the next request in silence, for it waited for the last frame."""
    socket = libzmq.socket(routed=False)
    libzmq.script(script)
    assert socket.send((b"a", b"b", b"c", b"d")) is Sent.FULL
    assert libzmq.sent == sent


def test_of_many_messages_those_before_and_after_a_missing_peers_are_sent(
    libzmq: FakeLibzmq,
) -> None:
    socket = libzmq.socket(routed=True)
    libzmq.script("..H..")
    outcomes = socket.send_all([(b"p", b"1"), (b"q", b"2"), (b"r", b"3")])
    assert outcomes == [Sent.DONE, Sent.GONE, Sent.DONE]
    assert libzmq.sent == "p+1\nr+3\n"


LARGE = b"x" * 70_000


@pytest.mark.parametrize(
    ("script", "sent", "outcome"),
    [
        ("...", "p++large\n", Sent.DONE),
        ("A", "", Sent.FULL),
        ("H", "", Sent.GONE),
        ("I.I.I.", "p++large\n", Sent.DONE),
        (".A.", "p+large\n", Sent.FULL),
        (".H", "p+", Sent.GONE),
    ],
)
def test_a_large_message_fares_as_a_small_one(
    libzmq: FakeLibzmq, script: str, sent: str, outcome: Sent
) -> None:
    socket = libzmq.socket(routed=True)
    libzmq.script(script)
    assert socket.send((b"p", b"", LARGE)) is outcome
    assert libzmq.sent.replace(LARGE.decode(), "large") == sent
    assert libzmq.open == 0


def test_large_and_small_ones_keep_their_order_and_their_fates(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    messages = [(b"p", b"1"), (b"q", LARGE), (b"q", b"2"), (b"r", LARGE), (b"p", b"3")]
    libzmq.script("..A.H")
    outcomes = socket.send_all([messages[0], messages[1], messages[2], messages[4], messages[3]])
    assert outcomes == [Sent.DONE, Sent.FULL, Sent.FULL, Sent.GONE, Sent.DONE]
    assert libzmq.open == 0


def test_what_else_fails_amid_a_large_message_is_raised(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    for script in ("T", ".T"):
        libzmq.script(script)
        with pytest.raises(zmq.ContextTerminated):
            socket.send((b"p", LARGE))
    libzmq.short_of_memory(True)
    with pytest.raises(MemoryError):
        socket.send_all([(b"p", LARGE)])
    assert libzmq.open == 0


def test_a_peer_that_is_gone_costs_no_more_for_having_many_messages(libzmq: FakeLibzmq) -> None:
    """Each message to it had all those behind it copied anew."""
    socket = libzmq.socket(routed=True)
    libzmq.script("H" * 200)
    outcomes = socket.send_all([(b"p", b"%d" % number) for number in range(200)])
    assert outcomes == [Sent.GONE] * 200
    assert libzmq.made <= 2 * 200


def test_what_waits_holds_up_its_own_peer_alone(libzmq: FakeLibzmq) -> None:
    messages = [(b"p", b"1"), (b"q", b"2"), (b"p", b"3"), (b"q", b"4"), (b"r", b"5"), (b"q", b"6")]
    libzmq.script("..A..A")
    outcomes = libzmq.socket(routed=True).send_all(messages)
    done, full = Sent.DONE, Sent.FULL
    assert outcomes == [done, full, done, full, full, full]
    assert libzmq.sent == "p+1\np+3\n"


def test_what_waits_at_a_dealer_holds_up_all_that_follows(libzmq: FakeLibzmq) -> None:
    libzmq.script(".A")
    outcomes = libzmq.socket(routed=False).send_all([(b"1",), (b"2",), (b"3",)])
    assert outcomes == [Sent.DONE, Sent.FULL, Sent.FULL]
    assert libzmq.sent == "1\n"


@pytest.mark.parametrize(("letter", "number"), [("T", zmq.ETERM), ("S", zmq.ENOTSOCK)])
@pytest.mark.parametrize("at", range(4))
def test_what_else_fails_is_raised_as_pyzmq_raises_it(
    libzmq: FakeLibzmq, letter: str, number: int, at: int
) -> None:
    socket = libzmq.socket(routed=True)
    kind = zmq.ContextTerminated if letter == "T" else zmq.ZMQError
    calls: list[Callable[[], object]] = [
        lambda: socket.send((b"p", b"1", b"2", b"3")),
        lambda: socket.send_all([(b"p", b"1"), (b"q", b"2")]),
        lambda: socket.receive(9, 9, False),
    ]
    for call in calls:
        libzmq.put(b"p", b"1", b"2", b"3", b"4")
        libzmq.script("." * at + letter)
        with pytest.raises(zmq.ZMQError) as caught:
            call()
        assert type(caught.value) is kind
        assert caught.value.errno == number


def test_what_a_failing_call_had_received_comes_with_the_next_one(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    for number in range(4):
        libzmq.put(b"p", b"%d" % number, b"x")
    libzmq.script("......" + "." + "S")
    with pytest.raises(zmq.ZMQError):
        socket.receive(9, 9, False)
    assert socket.pending()
    assert socket.look()[0]
    messages, has_more = socket.receive(9, 9, False)
    assert frames_of(messages) == [[b"p", b"%d" % number, b"x"] for number in range(4)]
    assert not has_more


def test_a_message_may_come_in_parts(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    libzmq.put(*MESSAGE)
    libzmq.script("..A")
    assert socket.receive(9, 9, False) == ([], False)
    assert frames_of(socket.receive(9, 9, False)[0]) == [list(MESSAGE)]


def test_a_burst_ends_at_its_bytes_and_at_its_surplus_frames(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    for _ in range(4):
        libzmq.put(b"p", b"x" * 499)
    assert [len(socket.receive(9, 9, False)[0]) for _ in range(2)] == [2, 2]
    libzmq.put(*[b"x"] * 25)
    assert [len(socket.receive(9, 2, False)[0]) for _ in range(3)] == [0, 0, 1]


def test_users_are_told_by_the_frame_after_the_routing_id(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    for user in (b"ann", "zoë".encode(), b"\xff", None):
        libzmq.put(*MESSAGE, user=user)
    messages, _ = socket.receive(9, 9, True)
    assert [message.user for message in messages] == ["ann", "zoë", "", ""]
    libzmq.put(*MESSAGE, user=b"ann")
    assert socket.receive(9, 9, False)[0][0].user == ""


def test_a_burst_is_as_long_as_asked_for_whatever_fits_in_one_chunk(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    expected = []
    for number in range(700):
        frames = [b""] * (1 + number % 7)
        libzmq.put(*frames)
        expected.append(frames)
    assert frames_of(socket.receive(600, 9, False)[0]) == expected[:600]
    assert frames_of(socket.receive(600, 9, False)[0]) == expected[600:]


def test_a_socket_serves_one_call_at_a_time(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)

    class Meddling(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            for act in (
                socket.close,
                lambda: socket.send(MESSAGE),
                lambda: socket.receive(1, 1, 0),
            ):
                with pytest.raises(RuntimeError, match="one thread"):
                    act()
            return super().__iter__()

    assert socket.send(Meddling(MESSAGE)) is Sent.DONE
    assert socket.send(MESSAGE) is Sent.DONE


def test_what_was_received_and_never_taken_goes_with_the_socket(libzmq: FakeLibzmq) -> None:
    for end in ("close", "forget"):
        socket = libzmq.socket(routed=True)
        libzmq.put(*MESSAGE, b"more")
        libzmq.script("...S")
        with pytest.raises(zmq.ZMQError):
            socket.receive(9, 9, False)
        if end == "close":
            socket.close()
        del socket
        gc.collect()
        assert libzmq.open == 0
        libzmq.script("")
        assert len(libzmq.socket(routed=True).receive(9, 9, False)[0]) == 1


def test_without_memory_nothing_of_a_message_is_sent(libzmq: FakeLibzmq) -> None:
    socket = libzmq.socket(routed=True)
    libzmq.short_of_memory(True)
    with pytest.raises(MemoryError):
        socket.send(MESSAGE)
    with pytest.raises(MemoryError):
        socket.send_all([MESSAGE, MESSAGE])
    assert libzmq.sent == ""
    libzmq.short_of_memory(False)
    assert socket.send(MESSAGE) is Sent.DONE


def test_whichever_allocation_fails_no_message_is_lost_or_sent_in_part() -> None:
    pytest.importorskip("_testcapi")
    need_extension()
    counts = subprocess.check_output(
        [sys.executable, "-m", "tests.support.starving"], cwd=ROOT, text=True, timeout=60
    ).split()
    assert min(map(int, counts)) > 3, counts


def test_what_is_not_libzmq_is_refused() -> None:
    socket, library = need_extension()
    module = importlib.import_module(socket.__module__)
    good = {"message": Message, "done": 1, "full": 2, "gone": 3, "error": burst.error_of}
    good |= {"burst_bytes": 1, "burst_skips": 1}
    with pytest.raises(ImportError, match="not loaded"):
        module.Library("/nowhere/libzmq.so", **good)
    with pytest.raises(ImportError, match=r"libzmq 0\.0 is not known"):
        module.Library(importlib.import_module("_ctypes").__file__, **good)
    backend: Any = importlib.import_module("zmq.backend.cython._zmq")
    with pytest.raises(TypeError):
        module.Library(backend.__file__, **good | {"message": list})
    for arguments in ((library, 0, True), (None, 1, True), (library, "1", True)):
        with pytest.raises((TypeError, ValueError)):
            socket(*arguments)


# Which one runs ---------------------------------------------------------------------------

_KIND, _REASON = (f"vpoller_like.transport.burst:{name}" for name in ("KIND", "REASON"))


def test_the_extension_runs_where_it_is_and_pure_python_where_that_is_asked_for() -> None:
    need_extension()
    assert shown(_KIND, _REASON) == "c"
    assert shown(_KIND, _REASON, VPOLLER_PURE="0") == shown(_KIND, _REASON, VPOLLER_PURE="") == "c"
    assert shown(_KIND, _REASON, VPOLLER_PURE="1") == "pure VPOLLER_PURE is set"


def test_an_extension_of_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    socket, _ = need_extension()
    monkeypatch.setattr(importlib.import_module(socket.__module__), "INTERFACE", 0)
    with pytest.raises(ImportError, match="another version"):
        burst.extension()
