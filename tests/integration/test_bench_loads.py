"""The benchmark's loads take no answer but the right one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from tests.bench.compiling import NoCompiler, programs
from tests.bench.measuring import CLIENT_CALLS, PYLOAD
from tests.bench.ways import BARE, META
from tests.support.fabric import ROOT
from tests.support.tools import missing

#: Makes the reply's body of the request's; ``None`` is no reply.
Answer = Callable[[dict[str, Any]], Any]


def right(request: dict[str, Any]) -> Any:
    return {"success": 0, "msg": "", "result": request["data"]}


def without_payload(request: dict[str, Any]) -> Any:
    return {"success": 0, "msg": request["data"], "result": None}


def cut_short(request: dict[str, Any]) -> Any:
    return {"success": 0, "msg": "", "result": request["data"][:-1]}


def altered(request: dict[str, Any]) -> Any:
    return {"success": 0, "msg": "", "result": request["data"][:-1] + "y"}


def anothers(request: dict[str, Any]) -> Any:
    return {"success": 0, "msg": "", "result": f"{123456:016x}" + request["data"][16:]}


def failed(request: dict[str, Any]) -> Any:
    return {"success": 1, "msg": "", "result": request["data"]}


class Server:
    """Answers at ``endpoint`` by ``answer``; the first request of all is answered right."""

    def __init__(self, answer: Answer, in_packs: Callable[[list[Any]], Any]) -> None:
        self._answer, self._in_packs = answer, in_packs
        self._greeted = False
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.set_hwm(0)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            if self._socket.poll(20):
                *envelope, body = self._socket.recv_multipart()
                reply = json.dumps(self._reply(json.loads(body))).encode()
                self._socket.send_multipart([*envelope, reply])
        self._socket.close()

    def _reply(self, request: Any) -> Any:
        if isinstance(request, list):
            return self._in_packs([self._answer(each) for each in request])
        if self._greeted:
            return self._answer(request)
        self._greeted = True
        return right(request)


def numbered(replies: list[Any]) -> Any:
    return list(enumerate(replies))


@contextmanager
def serving(answer: Answer, in_packs: Callable[[list[Any]], Any] = numbered) -> Iterator[str]:
    server = Server(answer, in_packs)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.endpoint
    finally:
        server.ended.set()
        thread.join()


def c_load(endpoint: str, *words: str, template: str = BARE) -> list[str]:
    try:
        return [str(programs().load), endpoint, *words, "0.1", "112", template]
    except NoCompiler as error:
        missing(str(error))


def python_load(endpoint: str, *words: str, template: str = BARE) -> list[str]:
    return [sys.executable, str(PYLOAD), endpoint, *words, "0.1", "112", template]


def client_load(endpoint: str, *words: str) -> list[str]:
    command = [sys.executable, str(CLIENT_CALLS), "vpoller_like.client", endpoint]
    return [*command, *words, "0.1", "112", BARE]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    return subprocess.run(
        command, input="go\n", capture_output=True, text=True, env=env, timeout=60
    )


LOADS = {"c": c_load, "python": python_load}
KINDS = {
    "one REQ": ("req", "1", "1", "1"),
    "many REQ": ("req", "5", "1", "1"),
    "DEALER": ("dealer", "1", "20", "1"),
    "batches": ("dealer", "1", "20", "4"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("load", LOADS.values(), ids=list(LOADS))
def test_right_answers_are_counted(load: Callable[..., list[str]], kind: str) -> None:
    with serving(right) as endpoint:
        done = run(load(endpoint, *KINDS[kind], template=META))
    assert done.returncode == 0, done.stderr
    ready, report = done.stdout.splitlines()
    assert ready == "ready"
    found = json.loads(report)
    assert found["answers"] >= found["timely"] > 0
    assert 0 < found["p50_us"] <= found["p99_us"]


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("DEALER", without_payload),
        ("DEALER", cut_short),
        ("DEALER", anothers),
        ("one REQ", failed),
        ("many REQ", altered),
        ("batches", altered),
    ],
)
@pytest.mark.parametrize("load", LOADS.values(), ids=list(LOADS))
def test_a_wrong_answer_ends_the_load(
    load: Callable[..., list[str]], kind: str, answer: Answer
) -> None:
    with serving(answer) as endpoint:
        done = run(load(endpoint, *KINDS[kind]))
    assert done.returncode == 1, done.stdout
    assert done.stderr


@pytest.mark.parametrize(
    "in_packs",
    [
        lambda replies: [[index + 1, reply] for index, reply in enumerate(replies)],
        lambda replies: [[0, replies[0]], [0, replies[0]]],
        lambda replies: [[0] for _ in replies],
    ],
    ids=["wrong index", "twice", "no reply"],
)
@pytest.mark.parametrize("load", LOADS.values(), ids=list(LOADS))
def test_a_wrong_pack_ends_the_load(
    load: Callable[..., list[str]], in_packs: Callable[[list[Any]], Any]
) -> None:
    with serving(right, in_packs) as endpoint:
        done = run(load(endpoint, *KINDS["batches"]))
    assert done.returncode == 1, done.stdout
    assert done.stderr


@pytest.mark.parametrize("how", ["run", "map"])
def test_a_client_in_use_as_a_load_checks_its_answers(how: str) -> None:
    with serving(right) as endpoint:
        done = run(client_load(endpoint, how, "8"))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[1])["answers"] > 0
    with serving(altered) as endpoint:
        done = run(client_load(endpoint, how, "8"))
        assert done.returncode == 1
        assert "not an answer" in done.stderr
