"""A password that is a secret parameter, or an agent's setting, is seen nowhere else.

Real processes, all at debug level, are sent the password in every way that could make one of
them speak of it. Then all that they said is searched for the password's beginning, in clear
and in base64: so a part of it, and it in any spelling, is found too.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import msgpack
import psutil
import pytest
import zmq

from tests.support.fabric import Fabric, eventually, free_endpoints
from tests.support.req import Req, ask
from tests.support.running_worker import RunningWorker
from vpoller_like.protocol import worker as wire

#: Each begins with something that no other text holds, whatever escapes what follows.
PARAMETER = "Kanarie7Q\"'\\\u00e9 <&>=%z"
SETTING = "Vogel8W\"'\\\u00e9 <&>=%z"
PIN = "Spatz9E\"'\\\u00e9 <&>=%z"
TRACES = [
    form
    for secret in ("Kanarie7Q", "Vogel8W", "Spatz9E")
    for form in (secret, base64.b64encode(secret[:6].encode()).decode()[:8])
]

CONFIG = f"""
[agents.keeper]
password = {json.dumps(SETTING)}
pin = {json.dumps(PIN)}
"""


def told(text: str) -> list[str]:
    """Return what is found in ``text`` of the secrets, each with what stands around it."""
    places = ((trace, text.find(trace)) for trace in TRACES)
    return [text[max(0, at - 200) : at + 60] for _, at in places if at >= 0]


class Evidence:
    """What the processes said."""

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.commands: dict[str, str] = {}
        self.logs = ""
        self.admin = ""
        self.proc = ""
        self.files: dict[str, str] = {}


def login(**more: Any) -> dict[str, Any]:
    return {"method": "keeper.login", "password": PARAMETER, "meta": {}, **more}


#: Each is answered, with an error or a success, and only the echo may hold the password.
REQUESTS: dict[str, dict[str, Any] | bytes] = {
    "valid": login(),
    "echo": login(how="echo"),
    **{
        how: login(how=how)
        for how in (
            *("raise", "chain", "group", "forms", "refuse", "invalid"),
            *("opaque", "log", "thread", "exit", "kill", "stick"),
        )
    },
    "another parameter is wrong": login(seconds="soon"),
    "a secret enum": login(kind=PARAMETER),
    "a secret in a list": login(password=[PARAMETER]),
    "a secret in an object": login(password={"inner": {"deeper": PARAMETER}}),
    "a secret as a key": login(password={PARAMETER: 1}),
    "a secret as a name": login(**{PARAMETER: 1, "seconds": "soon"}),
    "unknown method": login(method="keeper.lgoin"),
    "unknown method, secret head": login(method={"password": PARAMETER}),
    "unknown host": login(hostname="nowhere"),
    "undeclared": login(method="keeper.loose"),
    "undeclared, inside": login(method="keeper.loose", password=None, auth={"pwd": PARAMETER}),
    "id": login(meta={"id": "once", "age_ms": 0}),
    "id reused": login(password=f"{PARAMETER} another", meta={"id": "once", "age_ms": 5}),
    "too large": login(filler="x" * (1 << 20)),
    "cut off": json.dumps(login()).encode()[:-30],
    "no object": json.dumps([PARAMETER]).encode(),
    "only that": PARAMETER.encode(),
    "not UTF-8": b'{"method": "keeper.login", "password": "Kanarie7Q\xff"}',
    "too deep": b'{"password": "Kanarie7Q", "method": ' + b"[" * 10_000,
    "bad meta": login(meta={"id": 7, "token": PARAMETER}),
    "MessagePack": msgpack.packb(login(how="raise")),
    "MessagePack, bytes": msgpack.packb(login(password=PARAMETER.encode() + b"\xff")),
    "MessagePack, cut off": msgpack.packb(login())[:-10],
}
ECHOES = {"echo"}


def _vpoller(
    fabric: Fabric, *arguments: str, stdin: str = "", env: dict[str, str] | None = None
) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vpoller_like.cli", "-vv", *arguments],
        env={**fabric.env, **(env or {})},
        cwd=fabric.place,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def _ask_everything(fabric: Fabric, evidence: Evidence) -> None:
    for name, request in REQUESTS.items():
        with Req(fabric.frontend) as req:
            req.send(request)
            evidence.replies[name] = req.receive_bytes().decode("utf-8", "replace")


def _ask_while_it_ends(fabric: Fabric, evidence: Evidence) -> None:
    """Have a request wait, and one be with the broker, while both go."""
    with Req(fabric.frontend) as running, Req(fabric.frontend) as waiting:
        running.send(login(how="wait", seconds=20))
        eventually(lambda: fabric.status()["running"] == 1, "a task runs")
        evidence.replies["too late"] = json.dumps(
            ask(fabric.frontend, login(meta={"deadline_ms": 100}))
        )
        waiting.send(login(how="wait", meta={"id": "other", "age_ms": 0}))
        eventually(lambda: fabric.status()["queued"] == 1, "a task waits")
        _look(fabric, evidence)
        # Its command line and environment, and everybody else's.
        for process in fabric.left():
            with contextlib.suppress(psutil.Error):
                evidence.proc += f"{process.cmdline()} {process.environ()}\n"
        _babble(fabric)
        for pid in fabric.worker_pids():
            os.kill(pid, 9)
        evidence.replies["lost with its worker"] = running.receive_bytes().decode()
        evidence.replies["run by the next"] = waiting.receive_bytes().decode()


def _look(fabric: Fabric, evidence: Evidence) -> None:
    for verb in ("status", "workers", "methods"):
        evidence.admin += json.dumps(ask(fabric.admin, {"method": verb}), ensure_ascii=False)
    for body in (b'{"method": "Kanarie7Q', b'{"method": "stauts", "password": "Kanarie7Q"}'):
        evidence.admin += json.dumps(ask(fabric.admin, body), ensure_ascii=False)


def _babble(fabric: Fabric) -> None:
    """Say to the backend and to the plain backend what is no message."""
    secret = PARAMETER.encode()
    context = zmq.Context.instance()
    with context.socket(zmq.DEALER) as worker:
        worker.linger = 1000
        worker.connect(fabric.backend)
        hello = {"version": 1, "label": 5, "instance": PARAMETER}
        for frames in (
            [secret],
            [secret, secret],
            [b"\x02", secret],
            [b"\x02", msgpack.packb([1, 1, 0, [[1, 1, "", 5, PARAMETER]]])],
            [b"\x01", msgpack.packb(hello)],
            [b"\x04", msgpack.packb([0, 0, [PARAMETER]])],
            [secret] * 9,
        ):
            worker.send_multipart(frames)
        # RESYNC: all of that has been read.
        assert worker.poll(30_000)
    with context.socket(zmq.REP) as plain:
        plain.linger = 1000
        plain.connect(fabric.plain)
        eventually(lambda: fabric.status()["plain_workers"] == 1, "a plain worker is known")
        thread = threading.Thread(target=_serve, args=(plain,))
        thread.start()
        for body in (login(method="plain.login"), msgpack.packb(login(method="plain.login"))):
            with Req(fabric.frontend) as req:
                req.send(body)
                req.receive_bytes()
        thread.join()


def _serve(plain: zmq.Socket[bytes]) -> None:
    """Answer two requests with what is no reply."""
    for _ in range(2):
        assert plain.poll(30_000)
        plain.send(b"no reply, but " + plain.recv())


def _command_lines(fabric: Fabric, evidence: Evidence) -> None:
    secret = fabric.place / "secret"
    secret.write_text(f"{PARAMETER}\n")
    to = ("--endpoint", fabric.frontend, "--timeout", "20000")
    nobody = ("--endpoint", free_endpoints(1)[0], "--timeout", "200", "--retries", "1")
    file = f"password@={secret}"
    call = ("call", "keeper.login")
    local = (*call, "--local", "--agents", "keeper", "--no-stdin", file)
    loose = ("call", "keeper.loose", "--local", "--agents", "keeper", "--no-stdin", file)
    runs: dict[str, tuple[Sequence[str], str]] = {
        "from a file": ((*call, file, *to), ""),
        "from stdin": ((*call, *to), json.dumps({"password": PARAMETER, "how": "raise"})),
        "bad stdin": ((*call, *to), json.dumps({"password": PARAMETER})[:-2]),
        "no JSON": ((*call, f"password:={PARAMETER}", *to), ""),
        "no parameter": ((*call, "password", PARAMETER, *to), ""),
        "no sign": ((*call, f"password:{PARAMETER}", *to), ""),
        "twice": ((*call, f"password={PARAMETER}", f"password={PARAMETER}", *to), ""),
        "an option": ((*call, f"--password={PARAMETER}", *to), ""),
        "nobody there": ((*call, file, *nobody), ""),
        "a failure": ((*call, file, "how=chain", *to), ""),
        "local": ((*local, "how=log"), ""),
        "local failure": ((*local, "how=forms"), ""),
        "local exit": ((*local, "how=exit"), ""),
        "local, loose": (loose, ""),
        "config show": (("config", "show"), ""),
        "config show, origins": (("config", "show", "--origin", "-o", "table"), ""),
        "methods": (("methods", "--admin", fabric.admin), ""),
        "doctor": (("doctor", "configuration", "agents"), ""),
    }

    def run(name: str) -> str:
        arguments, stdin = runs[name]
        return _vpoller(fabric, *arguments, stdin=stdin)

    with ThreadPoolExecutor(4) as pool:
        evidence.commands.update(zip(runs, pool.map(run, runs), strict=True))


def _failing_starts(fabric: Fabric, evidence: Evidence) -> None:
    starts: dict[str, Sequence[str]] = {
        "worker": ("worker", "run", "--agents", "keeper", "--processes", "1"),
        "local": ("call", "keeper.login", "--local", "--agents", "keeper", "password=x"),
        "doctor": ("doctor", "agents"),
    }
    configs = {fail: fabric.place / f"{fail}.toml" for fail in ("from_config", "setup")}
    for fail, config in configs.items():
        config.write_text(f'{CONFIG}fail = "{fail}"\n')

    def run(what: tuple[str, str]) -> str:
        config = str(configs[what[1]])
        agents = {"VPOLLER_WORKER_AGENTS": "keeper"}
        return _vpoller(fabric, "--config", config, *starts[what[0]], env=agents)

    runs = list(product(starts, configs))
    with ThreadPoolExecutor(4) as pool:
        for (start, fail), said in zip(runs, pool.map(run, runs), strict=True):
            evidence.commands[f"{start}, {fail} fails"] = said
    for config in configs.values():
        config.unlink()


def _dev(fabric: Fabric, evidence: Evidence) -> None:
    """Have ``vpoller dev`` serve one request that fails."""
    frontend, backend, plain, admin = free_endpoints(4)
    doors = ("--frontend", frontend, "--backend", backend, "--plain", plain, "--admin", admin)
    log = fabric.place / "dev.log"
    command = ("-vv", "dev", *doors, "--agents", "keeper", "--processes", "1")
    with open(log, "wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "vpoller_like.cli", *command],
            env=fabric.env,
            cwd=fabric.place,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        eventually(lambda: "methods are served" in log.read_text(), "vpoller dev is ready")
        evidence.replies["dev"] = json.dumps(ask(frontend, login(how="chain")))
    finally:
        process.terminate()
        process.wait(30)


def _files(fabric: Fabric) -> dict[str, str]:
    ours = {"vpoller.toml", "secret"}
    paths = [path for path in fabric.place.rglob("*") if path.is_file() and path.name not in ours]
    return {str(path): path.read_bytes().decode("utf-8", "replace") for path in paths}


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    evidence = Evidence()
    with Fabric({"grace_ms": 1}) as fabric:
        config = fabric.place / "vpoller.toml"
        config.write_text(CONFIG)
        config.chmod(0o600)
        fabric.start_worker(agents="keeper", settings={"stuck_ms": 1500})
        _ask_everything(fabric, evidence)
        _ask_while_it_ends(fabric, evidence)
        _command_lines(fabric, evidence)
        _failing_starts(fabric, evidence)
        _dev(fabric, evidence)
        evidence.replies["status"] = json.dumps(ask(fabric.admin, {"method": "drain"}))
        fabric.broker.wait()
        time.sleep(0.1)
        evidence.logs = fabric.logs()
        evidence.files = _files(fabric)
    return evidence


def test_no_log_tells_it(evidence: Evidence) -> None:
    assert told(evidence.logs) == []


def test_the_logs_tell_the_rest(evidence: Evidence) -> None:
    """At debug level, with tracebacks: else the test before this one would say little."""
    for text in (
        "connecting as root:***",
        "POST /login {'password': '***'}",
        "weak: ***",
        "never mind\nTraceback",
        "ValueError: cannot log in with ***, that is '***'",
        "tried {'password': '***'}",
        "RuntimeError: all failed:",
        "ends\nTraceback",
        "stood still for",
        "a worker sent what is no message",
        "died (SIGKILL)",
    ):
        assert text in evidence.logs, text


#: Beside those above.
MORE = ["too late", "lost with its worker", "run by the next", "dev"]


@pytest.mark.parametrize("name", [*REQUESTS, *MORE])
def test_no_reply_tells_it_but_one_whose_result_it_is(evidence: Evidence, name: str) -> None:
    assert bool(told(evidence.replies[name])) is (name in ECHOES)


def test_the_replies_say_what_was_to_be_seen(evidence: Evidence) -> None:
    codes = {
        name: json.loads(reply)["error"]["code"]
        for name, reply in evidence.replies.items()
        if reply.replace(" ", "").startswith('{"success":1')
    }
    expected = {
        "kill": "worker_lost",
        "stick": "worker_lost",
        "lost with its worker": "worker_lost",
        "raise": "task_failed",
        "exit": "task_failed",
        "undeclared, inside": "task_failed",
        "a secret in a list": "invalid_params",
        "a secret enum": "invalid_params",
        "unknown method": "unknown_method",
        "id reused": "id_reused",
        "too late": "deadline",
        "too large": "too_large",
        "cut off": "bad_request",
        "only that": "bad_request",
    }
    assert {name: codes.get(name) for name in expected} == expected


def test_no_admin_answer_tells_it(evidence: Evidence) -> None:
    assert told(evidence.admin) == []
    assert "keeper.login" in evidence.admin


def test_no_command_line_and_no_environment_tells_it(evidence: Evidence) -> None:
    assert told(evidence.proc) == []
    assert "worker.process" in evidence.proc


def test_no_file_holds_it(evidence: Evidence) -> None:
    found = {path: told(text) for path, text in evidence.files.items() if told(text)}
    assert found == {}
    assert any(path.endswith("broker.log") for path in evidence.files)


def test_no_command_says_it(evidence: Evidence) -> None:
    found = {name: told(said) for name, said in evidence.commands.items() if told(said)}
    assert found == {}
    assert evidence.commands["from a file"].startswith(f"exit code 0\n{len(PARAMETER)}\n")
    assert "***" in evidence.commands["local failure"]
    assert "***" in evidence.commands["config show"]
    assert "exit code 1" in evidence.commands["worker, setup fails"]
    assert "*** and '***' are wrong" in evidence.commands["doctor, from_config fails"]


def test_a_worker_that_a_broker_talks_nonsense_to_does_not_repeat_it(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as broker:
        broker.linger = 0
        port = broker.bind_to_random_port("tcp://127.0.0.1")
        with RunningWorker(tmp_path, f"tcp://127.0.0.1:{port}") as worker:
            assert broker.poll(30_000)
            peer = broker.recv_multipart()[0]
            secret = PARAMETER.encode()
            bad = msgpack.packb([1, [[1, 1, "m", None, "", None, None, PARAMETER]]])
            for frames in ([secret], [secret, secret], [b"\x82", secret], [b"\x82", bad]):
                broker.send_multipart([peer, *frames])
            eventually(lambda: worker.said().count("not a message") == 4, "all is read")
        assert told(worker.said()) == []


def test_a_wire_message_that_is_none_is_not_quoted() -> None:
    """Nor is the start of its bytes, which the error carries for whoever catches it."""
    for decode in (wire.decode_from_worker, wire.decode_from_broker):
        with pytest.raises(wire.ProtocolError) as caught:
            decode([b"\x02", PARAMETER.encode()])
        assert told(str(caught.value)) == []
