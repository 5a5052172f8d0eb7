"""The synchronous client against a scripted broker, over real sockets."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.fake_broker import (
    Crash,
    Later,
    Seen,
    Several,
    Silence,
    Verbatim,
    closed_port,
    echo,
    failure,
    fake_broker,
    in_turn,
    silent,
    success,
)
from vpoller_like.client import VPollerClient
from vpoller_like.errors import (
    Busy,
    ConfigError,
    InvalidParams,
    ReplyTimeout,
    ShuttingDown,
    Unreachable,
)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def numbers(count: int) -> Iterator[dict[str, Any]]:
    return ({"method": "echo", "n": n} for n in range(count))


# run and call ---------------------------------------------------------------------------


def test_run_returns_the_replys_envelope() -> None:
    with fake_broker() as broker:
        client = VPollerClient(endpoint=broker.endpoint, retries=1, timeout=1000)
        result = client.run({"method": "vm.discover", "hostname": "vc01.example.org", "x": 1})
        client.close()
    assert result["success"] == 0
    assert result["result"] == {"x": 1}
    assert json.loads(json.dumps(result, indent=4)) == result


def test_call_returns_the_result_and_passes_parameters_of_any_name() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        params = {"name": "vm01", "timeout": 5, "self": 1, "msg": 2, "retries": 3, "window": 4}
        assert client.call("vm.get", "vc01", **params) == params
        assert client.call("vm.get", hostname="vc02") == {}
        hosts = [seen.fields.get("hostname") for seen in broker.requests]
    assert hosts == ["vc01", "vc02"]


def test_call_leaves_hostname_out_when_none_is_given() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        client.call("system.status")
        assert set(broker.requests[0].fields) == {"method", "meta"}


def test_call_raises_the_error_that_the_reply_tells_of() -> None:
    answer = failure("invalid_params", "name: missing field", field="name")
    with fake_broker(in_turn(answer)) as broker, VPollerClient(broker.endpoint) as client:
        with pytest.raises(InvalidParams, match="name: missing field") as caught:
            client.call("vm.get")
        assert caught.value.details == {"field": "name"}
        assert client.run({"method": "vm.get"}) == answer


def test_a_parameter_cannot_be_named_method() -> None:
    client = VPollerClient()
    with pytest.raises(TypeError, match="method"):
        client.call("x", method="y")


def test_every_request_has_an_id_of_its_own() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        for _ in range(20):
            client.call("x")
        assert len(set(broker.ids)) == 20


def test_an_idle_connection_is_used_again() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        client.call("x")
        before = descriptors()
        for _ in range(50):
            client.call("x")
        assert descriptors() == before


def test_an_unencodable_request_does_not_leave_the_client() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        assert client.run({"method": "x", "a": object()})["error"]["code"] == "bad_request"
        assert client.run({"method": "x", "a": "b" * (1 << 20)})["error"]["code"] == "too_large"
        with pytest.raises(TypeError, match="dict"):
            client.run("vm.get")  # type: ignore[arg-type]
        assert client.call("x") == {}
        assert len(broker.requests) == 1


def test_a_large_request_and_its_large_reply_come_through() -> None:
    data = "x" * (1 << 20)
    with fake_broker() as broker, VPollerClient(broker.endpoint, max_request=2 << 20) as client:
        assert client.call("x", data=data) == {"data": data}


# Silence, refusal, death ----------------------------------------------------------------


def test_silence_is_answered_as_vpoller_does() -> None:
    with fake_broker(silent) as broker, VPollerClient(broker.endpoint, 60, 3) as client:
        envelope = client.run({"method": "x"})
        assert envelope["success"] == 1
        assert envelope["msg"] == "Did not receive response, aborting..."
        assert envelope["error"]["code"] == "timeout"
        assert envelope["error"]["tries"] == 3
        assert len(broker.requests) == 3
        assert len(set(broker.ids)) == 1
        with pytest.raises(ReplyTimeout, match="3 times"):
            client.call("x")


def test_tries_are_not_used_up_by_earlier_calls() -> None:
    with fake_broker(silent) as broker, VPollerClient(broker.endpoint, 30, 2) as client:
        for calls in (1, 2, 3):
            client.run({"method": "x"})
            assert len(broker.requests) == 2 * calls


def test_age_grows_and_the_deadline_shrinks_from_try_to_try() -> None:
    with fake_broker(silent) as broker, VPollerClient(broker.endpoint, 100, 3) as client:
        client.run({"method": "x"})
        ages = [seen.meta["age_ms"] for seen in broker.requests]
        deadlines = [seen.meta["deadline_ms"] for seen in broker.requests]
    assert ages[0] == 0
    assert 80 <= ages[1] < ages[2]
    assert 300 >= deadlines[0] > deadlines[1] > deadlines[2] > 0


def test_each_try_after_silence_has_a_fresh_connection() -> None:
    # A correlation token counts a connection's sends: a fresh one begins again.
    with fake_broker(silent) as broker, VPollerClient(broker.endpoint, 50, 3) as client:
        client.run({"method": "x"})
        assert len({seen.envelope[0] for seen in broker.requests}) == 1


def test_the_client_is_usable_after_a_failure() -> None:
    script = in_turn(Silence(), Silence(), echo)
    with fake_broker(script) as broker, VPollerClient(broker.endpoint, 50, 2) as client:
        assert client.run({"method": "x"})["success"] == 1
        assert client.run({"method": "x", "a": 1})["result"] == {"a": 1}


def test_an_unreachable_broker_is_named() -> None:
    with closed_port() as endpoint, VPollerClient(endpoint, 50, 2) as client:
        envelope = client.run({"method": "x"})
        assert envelope["error"]["code"] == "unreachable"
        assert envelope["error"]["endpoints"] == [endpoint]
        assert envelope["error"]["waited_ms"] >= 90
        with pytest.raises(Unreachable, match=endpoint):
            client.call("x")


def test_a_broker_that_starts_late_is_found() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        broker.stop()
        starter = threading.Timer(0.3, broker.start)
        starter.start()
        assert client.call("x", a=1) == {"a": 1}
        starter.join()
        assert broker.requests[0].meta["age_ms"] == 0


def test_a_restart_under_a_waiting_client_is_survived_well_before_the_timeout() -> None:
    script = in_turn(Crash(back_after=0.2), echo)
    with fake_broker(script) as broker, VPollerClient(broker.endpoint, 30_000, 3) as client:
        started = time.monotonic()
        assert client.call("x", a=1) == {"a": 1}
        assert time.monotonic() - started < 15
        first, second = broker.requests
    assert first.meta["id"] == second.meta["id"]
    assert second.meta["age_ms"] >= 200
    assert "moved" not in second.meta


def test_a_restart_between_calls_goes_unnoticed() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        for _ in range(3):
            assert client.call("x", a=1) == {"a": 1}
            broker.stop()
            broker.start()
            time.sleep(0.05)  # the end of the old connection is under way
        assert [seen.meta["age_ms"] for seen in broker.requests] == [0, 0, 0]


def test_the_next_endpoint_answers_when_one_is_down() -> None:
    with closed_port() as down, fake_broker() as broker:
        endpoints = [down, broker.endpoint]
        with VPollerClient(endpoints, 20_000, 3) as client:
            started = time.monotonic()
            assert client.call("x", a=1) == {"a": 1}
            assert client.call("x", a=2) == {"a": 2}
            assert time.monotonic() - started < 10
            assert all("moved" not in seen.meta for seen in broker.requests)


def test_the_endpoint_that_answered_last_is_asked_first() -> None:
    with fake_broker(silent) as mute, fake_broker() as broker:
        endpoints = [mute.endpoint, broker.endpoint]
        with VPollerClient(endpoints, 200, 3) as client:
            client.call("x")
            client.call("x")
            assert len(mute.requests) == 1
            assert len(broker.requests) == 2
            assert broker.requests[0].meta["moved"] is True
            assert "moved" not in broker.requests[1].meta


def test_busy_is_retried_until_there_is_room() -> None:
    busy = failure("busy", retryable=True, retry_after_ms=100)
    with fake_broker(in_turn(busy, busy, echo)) as broker:
        with VPollerClient(broker.endpoint, retries=1) as client:
            assert client.call("x", a=1) == {"a": 1}
        first, second, _ = broker.requests
    assert second.at - first.at >= 0.1
    assert second.meta["age_ms"] == 0


def test_a_broker_that_stays_busy_is_given_up_in_time() -> None:
    busy = failure("busy", "queue full", retryable=True)
    with fake_broker(in_turn(busy)) as broker, VPollerClient(broker.endpoint, 200, 2) as client:
        with pytest.raises(Busy, match="queue full"):
            client.call("x")
        assert len(broker.requests) > 2


def test_shutting_down_sends_the_request_to_the_next_endpoint() -> None:
    with fake_broker(in_turn(failure("shutting_down"))) as leaving, fake_broker() as broker:
        with VPollerClient([leaving.endpoint, broker.endpoint]) as client:
            assert client.call("x", a=1) == {"a": 1}
            assert "moved" not in broker.requests[0].meta
        with VPollerClient(leaving.endpoint, 100, 1) as alone, pytest.raises(ShuttingDown):
            alone.call("x")


@pytest.mark.parametrize("body", [b"", b"junk", b"[]", b'{"data": 1}'])
def test_a_malformed_reply_is_an_envelope_and_the_next_call_works(body: bytes) -> None:
    with fake_broker(in_turn(body, echo)) as broker, VPollerClient(broker.endpoint) as client:
        assert client.run({"method": "x"})["error"]["reason"] == "malformed_reply"
        assert client.call("x", a=1) == {"a": 1}


def test_a_late_reply_never_reaches_another_call() -> None:
    def slow_then_echo(seen: Seen) -> Any:
        return Later(0.15, success("late")) if seen.params.get("slow") else echo(seen)

    with fake_broker(slow_then_echo) as broker, VPollerClient(broker.endpoint, 50, 1) as client:
        for n in range(10):
            assert client.run({"method": "x", "slow": True})["error"]["code"] == "timeout"
            assert client.run({"method": "x", "n": n})["result"] == {"n": n}


def test_a_second_reply_to_one_request_never_reaches_the_next_call() -> None:
    def twice(seen: Seen) -> Any:
        return Several([echo(seen), {**success("again")}, success("and again", seen)])

    with fake_broker(twice) as broker, VPollerClient(broker.endpoint) as client:
        for n in range(50):
            assert client.call("x", n=n) == {"n": n}


def test_replies_that_do_not_belong_to_the_request_are_ignored() -> None:
    def confused(seen: Seen) -> Any:
        token = seen.envelope[0]
        body = json.dumps(success("wrong")).encode()
        strangers = [
            Verbatim([b"other", b"", body]),
            Verbatim([token, body]),
            Verbatim([b"", body]),
            Verbatim([body]),
            Verbatim([token, b"", body, b"more"]),
            Verbatim([b"x"] * 5000),
            {**success("wrong"), "meta": {"id": "another"}},
        ]
        return Several([*strangers, echo(seen)])

    with fake_broker(confused) as broker, VPollerClient(broker.endpoint) as client:
        for n in range(5):
            assert client.call("x", n=n) == {"n": n}


def test_an_interrupted_call_leaves_the_client_usable() -> None:
    def interrupted(_signum: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupted)
    try:
        script = in_turn(Later(0.3, success("old")), echo)
        with fake_broker(script) as broker, VPollerClient(broker.endpoint) as client:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                client.call("x")
            assert client.call("x", a=1) == {"a": 1}
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_a_broker_that_answers_at_the_deadline_is_heard() -> None:
    def at_the_deadline(seen: Seen) -> Any:
        return Later(seen.meta["deadline_ms"] / 1000, failure("deadline", retryable=True))

    with fake_broker(at_the_deadline) as broker, VPollerClient(broker.endpoint, 2000, 1) as client:
        assert client.run({"method": "x"})["error"]["code"] == "deadline"


# Threads, forks, closing ----------------------------------------------------------------


def test_threads_share_one_client() -> None:
    wrong: list[Any] = []

    def ask(client: VPollerClient, thread: int) -> None:
        for n in range(200):
            result = client.call("x", thread=thread, n=n)
            if result != {"thread": thread, "n": n}:
                wrong.append(result)

    with fake_broker() as broker, VPollerClient(broker.endpoint, 20_000) as client:
        threads = [threading.Thread(target=ask, args=(client, n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(broker.requests) == 1600
    assert wrong == []


def test_threads_share_one_client_whose_broker_loses_replies_and_restarts() -> None:
    def unreliable(seen: Seen) -> Any:
        if seen.count in (150, 400):
            return Crash(back_after=0.05)
        return Silence() if seen.count % 97 == 5 else echo(seen)

    wrong: list[Any] = []

    def ask(client: VPollerClient, thread: int) -> None:
        for n in range(80):
            envelope = client.run({"method": "x", "thread": thread, "n": n})
            if envelope.get("result") != {"thread": thread, "n": n}:
                wrong.append(envelope)

    with fake_broker(unreliable) as broker, VPollerClient(broker.endpoint, 1000, 8) as client:
        threads = [threading.Thread(target=ask, args=(client, n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert wrong == []


def test_nothing_stays_open_after_close() -> None:
    with fake_broker(in_turn(Silence(), echo)) as broker, closed_port() as down:
        for endpoint in (broker.endpoint, down):
            before = descriptors()
            for _ in range(5):
                client = VPollerClient([endpoint, broker.endpoint], 50, 2)
                client.run({"method": "x"})
                list(client.map(numbers(10)))
                client.close()
            assert eventually(lambda: descriptors() <= before)  # noqa: B023


def test_a_forgotten_client_is_closed_without_a_warning() -> None:
    with fake_broker() as broker, warnings.catch_warnings():
        warnings.simplefilter("error")
        before = descriptors()
        for _ in range(3):
            client = VPollerClient(broker.endpoint)
            stream = client.map(numbers(10))
            next(stream)
            client.call("x")
            del client, stream
        assert eventually(lambda: descriptors() <= before)


def test_a_closed_client_says_so() -> None:
    with fake_broker() as broker:
        client = VPollerClient(broker.endpoint)
        client.call("x")
        client.close()
        client.close()
        for use in (lambda: client.run({}), lambda: client.call("x"), lambda: client.map([])):
            with pytest.raises(RuntimeError, match="closed"):
                use()


def test_close_does_not_wait_for_a_map_that_was_not_finished() -> None:
    with fake_broker(in_turn(echo, silent)) as broker:
        before = descriptors()
        client = VPollerClient(broker.endpoint, 50, 2)
        stream = client.map(numbers(10))
        next(stream)
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            list(stream)
        assert eventually(lambda: descriptors() <= before)


def test_close_lets_another_threads_call_finish() -> None:
    results: list[Any] = []
    with fake_broker(in_turn(Later(0.3, success("done")))) as broker:
        client = VPollerClient(broker.endpoint)
        thread = threading.Thread(target=lambda: results.append(client.call("x")))
        thread.start()
        assert eventually(lambda: len(broker.requests) == 1)
        client.close()
        thread.join(10)
    assert results == ["done"]


SCRIPT = """
import os, sys, threading
from vpoller_like.client import VPollerClient
client = VPollerClient(sys.argv[1], timeout=5000)
assert client.call("x", a=1) == {"a": 1}
"""


def run_script(source: str, endpoint: str) -> subprocess.CompletedProcess[str]:
    return run_python("-X", "dev", "-W", "error", "-c", SCRIPT + textwrap.dedent(source), endpoint)


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "client.close()",
        "stream = client.map({'method': 'x'} for _ in range(100)); next(stream)",
        "stream = client.map({'method': 'x'} for _ in range(9)); next(stream); client.close()",
        "threading.Thread(target=client.run, args=({'method': 'mute'},), daemon=True).start();"
        "import time; time.sleep(0.5)",
        "client.self = client",
    ],
)
def test_a_program_ends_at_once_and_silently_however_it_leaves_its_client(ending: str) -> None:
    def script(seen: Seen) -> Any:
        return Silence() if seen.fields["method"] == "mute" else echo(seen)

    with fake_broker(script) as broker:
        started = time.monotonic()
        done = run_script(ending, broker.endpoint)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert time.monotonic() - started < 10


def test_a_forked_child_has_connections_of_its_own() -> None:
    source = """
    import time
    def child(n):
        results = [client.call("x", child=n, i=i) for i in range(50)]
        assert results == [{"child": n, "i": i} for i in range(50)], results
        list(client.map({"method": "x"} for _ in range(10)))
    children = []
    for n in range(4):
        pid = os.fork()
        if pid == 0:
            child(n)
            if n % 2:
                client.close()
            sys.exit(0)
        children.append(pid)
    child("parent")
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes == [0] * 4, codes
    assert client.call("x", a=2) == {"a": 2}
    """
    with fake_broker() as broker:
        done = run_script(source, broker.endpoint)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert len(set(broker.ids)) == len(broker.ids) == 1 + 5 * 60 + 1


def test_importing_the_package_loads_neither_asyncio_nor_agents() -> None:
    source = (
        "import sys, vpoller_like.client as c; "
        "early = {'zmq', 'asyncio', 'vpoller_like.agent'} & set(sys.modules); "
        "c.VPollerClient; late = {'vpoller_like.agent', 'zmq.asyncio'} & set(sys.modules); "
        "sys.exit(str(early | late) if early | late else 0)"
    )
    done = run_python("-c", source)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "endpoint",
    ["", "localhost:10123", "tcp://localhost", "tcp://:1", "tcp://h:0", "tcp://h:99999", "udp://h:1",
     "ipc://", ["tcp://127.0.0.1:1", "x"], []],
)  # fmt: skip
def test_an_endpoint_that_cannot_be_connected_to_is_refused(endpoint: Any) -> None:
    with pytest.raises(ConfigError, match=r"^endpoint: "):
        VPollerClient(endpoint)
