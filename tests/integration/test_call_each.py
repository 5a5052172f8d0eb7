"""``vpoller call --each``: a request on each line of stdin, a reply on each line of stdout."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fabric import Fabric, eventually, free_endpoints

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        fabric.start_worker(processes=1, threads=2, agents="system")
        eventually(lambda: fabric.status()["uptime_s"] > 2.1, "the broker's first seconds pass")
        yield fabric


def command(fabric: Fabric, *arguments: str, endpoint: str = "") -> list[str]:
    where = [] if "--local" in arguments else ["--endpoint", endpoint or fabric.frontend]
    return [sys.executable, "-m", "vpoller_like.cli", "call", "--each", *arguments, *where]


def each(fabric: Fabric, stdin: str, *arguments: str, endpoint: str = "") -> Done:
    return subprocess.run(
        command(fabric, *arguments, endpoint=endpoint),
        env=fabric.env,
        cwd=fabric.place,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def started(fabric: Fabric, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(fabric, *arguments),
        env=fabric.env,
        cwd=fabric.place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def lines(*requests: Any) -> str:
    return "".join(json.dumps(request) + "\n" for request in requests)


def echoes(count: int) -> str:
    return lines(*({"method": "system.echo", "data": number} for number in range(count)))


def replies(done: Done) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


WHERE = pytest.mark.parametrize("where", [(), ("--local",)], ids=["broker", "local"])


@WHERE
def test_each_line_gets_its_reply_in_order(fabric: Fabric, where: tuple[str, ...]) -> None:
    done = each(fabric, echoes(500), *where)
    assert (done.returncode, done.stderr) == (0, "")
    assert [reply["result"] for reply in replies(done)] == list(range(500))


def test_no_lines_give_no_replies(fabric: Fabric) -> None:
    done = each(fabric, "\n \n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_last_line_needs_no_end(fabric: Fabric) -> None:
    done = each(fabric, echoes(2).rstrip())
    assert [reply["result"] for reply in replies(done)] == [0, 1]


@WHERE
def test_the_command_line_says_what_a_line_does_not(fabric: Fabric, where: tuple[str, ...]) -> None:
    stdin = lines({}, {"data": 2}, {"method": "system.no-such"})
    done = each(fabric, stdin, "system.echo", "data:=1", *where)
    told = replies(done)
    assert [reply.get("result") for reply in told] == [1, 2, None]
    assert told[2]["error"]["code"] == "unknown_method"


def test_parameters_may_stand_without_a_method(fabric: Fabric) -> None:
    done = each(fabric, lines({"method": "system.echo"}), "data=a")
    assert [reply["result"] for reply in replies(done)] == ["a"]


@WHERE
def test_a_bad_line_is_named_and_stops_no_other(fabric: Fabric, where: tuple[str, ...]) -> None:
    stdin = echoes(2) + "\nnonsense\n[1]\n" + echoes(1)
    done = each(fabric, stdin, *where)
    told = replies(done)
    assert [reply["success"] for reply in told] == [0, 0, 1, 1, 0]
    assert told[2]["msg"].startswith("line 4: not valid JSON")
    assert told[3]["error"] == {"code": "bad_request", "retryable": False, "line": 5}
    assert done.returncode == 1
    assert done.stderr.startswith("Error: 2 of 5 failed; the first is line 4: not valid JSON")
    assert "Traceback" not in done.stderr


def test_a_line_beyond_all_bounds_fails_alone(fabric: Fabric) -> None:
    done = each(fabric, lines({"data": "x" * (9 << 20)}) + echoes(1), "system.echo")
    told = replies(done)
    assert [reply["success"] for reply in told] == [1, 0]
    assert "line 1: more than the 8388608 bytes" in told[0]["msg"]


def test_the_exit_code_is_the_first_failures(fabric: Fabric) -> None:
    stdin = echoes(1) + lines({"method": "no.such"}) + "nonsense\n"
    done = each(fabric, stdin)
    assert done.returncode == 5
    assert "line 2: " in done.stderr


def test_fail_fast_ends_at_the_first_failure(fabric: Fabric) -> None:
    done = each(fabric, echoes(1) + "nonsense\n" + echoes(5), "--fail-fast")
    assert [reply["success"] for reply in replies(done)] == [0, 1]
    assert done.returncode == 1


def test_nobody_there_is_3_for_all(fabric: Fabric) -> None:
    (nobody,) = free_endpoints(1)
    done = each(fabric, echoes(3), "--timeout", "100", "--retries", "1", endpoint=nobody)
    assert done.returncode == 3
    assert [reply["error"]["code"] for reply in replies(done)] == ["unreachable"] * 3


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--no-stdin",), "stdin"),
        (("--window", "0"), "window"),
        (("system.echo", "no sign"), "word 1"),
    ],
)
def test_a_wrong_use_is_2(fabric: Fabric, arguments: tuple[str, ...], word: str) -> None:
    done = each(fabric, "", *arguments)
    assert done.returncode == 2
    assert word in done.stderr


def test_yaml_is_a_document_for_each(fabric: Fabric) -> None:
    yaml = pytest.importorskip("yaml")
    done = each(fabric, echoes(3), "-o", "yaml")
    assert [reply["result"] for reply in yaml.safe_load_all(done.stdout)] == [0, 1, 2]


@WHERE
def test_a_reply_is_written_before_the_next_line_comes(
    fabric: Fabric, where: tuple[str, ...]
) -> None:
    with started(fabric, *where) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for number in range(3):
            program.stdin.write(lines({"method": "system.echo", "data": number}).encode())
            program.stdin.flush()
            assert json.loads(program.stdout.readline())["result"] == number
        program.stdin.close()
        assert program.wait(20) == 0


def test_stdin_is_not_read_far_ahead_of_the_replies(fabric: Fabric) -> None:
    with started(fabric, "system.sleep", "--window", "2", "--timeout", "60000") as program:
        assert program.stdin is not None
        os.set_blocking(program.stdin.fileno(), False)
        line = lines({"seconds": 1, "padding": "x" * 1000}).encode()
        taken = fill(program.stdin.fileno(), line)
        # What a pipe holds, one block that was read, and two windows or so.
        room = fcntl.fcntl(program.stdin.fileno(), fcntl.F_GETPIPE_SZ)
        assert taken <= room + (64 << 10) + 40 * len(line)
        program.kill()


def fill(fileno: int, line: bytes) -> int:
    """Write ``line`` for as long as it is taken, and a moment more; return the bytes."""
    taken, refusals = 0, 0
    while refusals < 4:
        try:
            taken += os.write(fileno, line)
        except BlockingIOError:
            refusals += 1
            time.sleep(0.1)
    return taken


def test_ctrl_c_ends_it_with_130(fabric: Fabric) -> None:
    with started(fabric, "system.sleep", "--timeout", "60000") as program:
        assert program.stdin is not None
        assert program.stderr is not None
        program.stdin.write(lines({"seconds": 0}, {"seconds": 1.5}).encode())
        program.stdin.flush()
        assert program.stdout is not None
        assert json.loads(program.stdout.readline())["success"] == 0
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 130
        assert b"Traceback" not in program.stderr.read()


def test_a_reader_that_goes_away_ends_it_with_141(fabric: Fabric) -> None:
    with started(fabric) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdout.close()
        program.stdin.write(echoes(10).encode())
        program.stdin.close()
        assert program.wait(20) == 141


# On a terminal -------------------------------------------------------------------------


def on_terminal(fabric: Fabric, stdin: Path, stdout: int | None) -> tuple[int, str]:
    """Run it with stderr, and stdout unless another is given, on a terminal.

    Returns the exit code and what the terminal was shown.
    """
    leader, follower = pty.openpty()
    with stdin.open() as requests:
        program = subprocess.Popen(
            command(fabric),
            env={**fabric.env, "TERM": "xterm", "COLUMNS": "100"},
            stdin=requests,
            stdout=follower if stdout is None else stdout,
            stderr=follower,
        )
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 1 << 16):
            shown += piece
    except OSError:  # EIO: nobody has the terminal any more
        pass
    finally:
        os.close(leader)
    return program.wait(20), shown.decode()


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_text(echoes(200) + "nonsense\n")
    return path


def test_a_terminal_is_shown_how_far_it_is(fabric: Fabric, requests: Path, tmp_path: Path) -> None:
    with (tmp_path / "replies").open("w") as out:
        code, shown = on_terminal(fabric, requests, out.fileno())
    assert code == 1
    assert "201 answered, 1 failed" in shown
    assert len((tmp_path / "replies").read_text().splitlines()) == 201


def test_where_the_replies_go_to_the_terminal_there_is_no_bar(
    fabric: Fabric, requests: Path
) -> None:
    code, shown = on_terminal(fabric, requests, None)
    assert code == 1
    assert "answered" not in shown
    assert shown.count('"success":') == 201
