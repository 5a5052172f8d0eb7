"""A request's parameters, as the command line and stdin give them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import pytest

from vpoller_like.cli import arguments
from vpoller_like.cli.arguments import parse_arguments, read_stdin
from vpoller_like.cli.call import build_request
from vpoller_like.protocol.limits import MAX_FRAME


@pytest.mark.parametrize(
    ("argument", "fields"),
    [
        ("name=x", {"name": "x"}),
        ("name=", {"name": ""}),
        ("query=a=b", {"query": "a=b"}),
        ("query=a:=b", {"query": "a:=b"}),
        ("counter-name=cpu", {"counter-name": "cpu"}),
        ("n:=3", {"n": 3}),
        ('properties:=["name"]', {"properties": ["name"]}),
        ("flag:=true", {"flag": True}),
        ("nothing:=null", {"nothing": None}),
        ("text=3", {"text": "3"}),
    ],
)
def test_text_after_an_equals_sign_json_after_a_colon_too(
    argument: str, fields: dict[str, Any]
) -> None:
    assert parse_arguments([argument]) == fields


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["a=1", "name"], "word 2 after the method is no parameter; write key=text"),
        (["=x"], "is no parameter"),
        ([":=1"], "is no parameter"),
        (["n:=three"], "n: what follows := is not JSON"),
        (["n:="], "is not JSON"),
        (["n:=NaN"], "is not JSON"),
        (["n:=" + "[" * 100_000], "is not JSON"),
        (["n@=/nowhere"], "n: cannot read /nowhere: No such file or directory"),
        (["@=x"], "is no parameter"),
        (["a=1", "a:=1"], "a is given twice"),
        (["method=x"], "the method is the first argument"),
    ],
)
def test_anything_else_is_a_usage_error_that_names_it(wrong: list[str], said: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse_arguments(wrong)
    assert said in caught.value.message


@pytest.mark.parametrize("argument", ["hunter2", "password:hunter2", "password:=hunter2"])
def test_no_message_quotes_what_may_be_a_password(argument: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse_arguments([argument])
    assert "hunter2" not in caught.value.message


def test_a_parameter_can_be_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p@ss=w\u00f6rd\n")
    assert parse_arguments([f"password@={file}"]) == {"password": "p@ss=w\u00f6rd"}
    file.write_bytes(b"\xff")
    with pytest.raises(click.UsageError, match="is not UTF-8 text"):
        parse_arguments([f"password@={file}"])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a\r\nb\rc\r\n", "a\r\nb\rc"),
        (b"a\rb\n", "a\rb"),
        (b"a\r", "a\r"),
        (b"a\n\n", "a\n"),
    ],
)
def test_a_files_text_is_what_is_in_it(tmp_path: Path, content: bytes, text: str) -> None:
    """Each kind of line end was read as a newline."""
    file = tmp_path / "text"
    file.write_bytes(content)
    assert parse_arguments([f"x@={file}"]) == {"x": text}


def test_a_file_that_no_request_can_hold_is_a_usage_error(tmp_path: Path) -> None:
    """Its beginning was sent as if that were all."""
    file = tmp_path / "large"
    file.write_bytes(b"x" * (MAX_FRAME + 1))
    with pytest.raises(click.UsageError, match=r"^a: .* is larger than the 8388608 bytes"):
        parse_arguments([f"a@={file}"])


class Stdin:
    """Puts a pipe in the place of stdin."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        reader, writer = os.pipe()
        self.reader: BinaryIO = os.fdopen(reader, "rb")
        self.writer: BinaryIO = os.fdopen(writer, "wb")
        patch.setattr(sys, "stdin", open(reader, closefd=False))  # noqa: SIM115

    def say(self, data: bytes) -> None:
        self.writer.write(data)
        self.writer.close()

    def close(self) -> None:
        sys.stdin.close()
        self.reader.close()
        self.writer.close()


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stdin]:
    monkeypatch.setattr(arguments, "PATIENCE", 0.05)
    pipe = Stdin(monkeypatch)
    yield pipe
    pipe.close()


def test_an_object_in_a_pipe_is_taken(stdin: Stdin) -> None:
    stdin.say(b'{"data": [1]}\n')
    assert read_stdin(None) == {"data": [1]}


def test_an_empty_pipe_gives_nothing(stdin: Stdin) -> None:
    stdin.say(b"\n")
    assert read_stdin(None) == {}


def test_a_pipe_that_never_begins_is_given_up_and_said_so(
    stdin: Stdin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not stdin.writer.closed
    assert read_stdin(None) == {}
    assert "Nothing came on stdin within 0.05 s" in capsys.readouterr().err


def test_a_slow_pipe_is_waited_for_when_asked(stdin: Stdin) -> None:
    later = threading.Timer(0.3, stdin.say, [b'{"late": true}'])
    later.start()
    assert read_stdin(True) == {"late": True}
    later.join()


def test_stdin_is_left_alone_when_asked(stdin: Stdin) -> None:
    stdin.say(b'{"data": 1}')
    assert read_stdin(False) == {}
    assert stdin.reader.read() == b'{"data": 1}'


def test_a_file_is_taken(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "request.json").write_text('{"a": 1}')
    with open(tmp_path / "request.json") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert read_stdin(None) == {"a": 1}


@pytest.mark.parametrize("wanted", [None, True])
def test_a_closed_stdin_gives_nothing(wanted: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert read_stdin(wanted) == {}


def test_the_null_device_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as null:
        monkeypatch.setattr(sys, "stdin", null)
        assert read_stdin(None) == {}


@pytest.mark.parametrize("content", [b"[1]", b"host1\n", b"\xff", b'{"a": NaN}', b'"x"'])
def test_what_is_no_object_is_a_usage_error_that_says_how_to_avoid_it(
    stdin: Stdin, content: bytes
) -> None:
    stdin.say(content)
    with pytest.raises(click.UsageError, match=r"stdin: .*--no-stdin"):
        read_stdin(None)


def test_arguments_go_before_stdin(stdin: Stdin) -> None:
    stdin.say(b'{"a": 1, "b": 2, "hostname": "x", "method": "no"}')
    request = build_request("m", "h", ("b:=3",), None)
    assert request == {"method": "m", "hostname": "h", "a": 1, "b": 3}


def test_a_dash_takes_the_method_from_stdin(stdin: Stdin) -> None:
    stdin.say(b'{"method": "vm.get", "name": "x"}')
    assert build_request("-", None, (), None) == {"method": "vm.get", "name": "x"}


def test_a_dash_without_a_method_on_stdin_is_a_usage_error(stdin: Stdin) -> None:
    stdin.say(b'{"name": "x"}')
    with pytest.raises(click.UsageError, match='needs a "method"'):
        build_request("-", None, (), None)
