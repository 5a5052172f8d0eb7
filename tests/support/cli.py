"""Running ``vpoller`` in this process, away from the settings of whoever runs the tests."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from vpoller_like import sources
from vpoller_like.cli.main import main

#: A console script: its arguments to its exit code.
Program = Callable[[Sequence[str]], int]


class Outcome(msgspec.Struct, frozen=True):
    """What one run of ``vpoller`` left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return msgspec.json.decode(self.out)


class Vpoller:
    """Runs ``vpoller`` with arguments and a text on stdin."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, patch

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        return self.run(main, *arguments, stdin=stdin)

    def run(self, program: Program, *arguments: str, stdin: bytes = b"") -> Outcome:
        """Run another of the console scripts in the same way."""
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capsys.readouterr()
        code = program(arguments)
        out, err = self._capsys.readouterr()
        return Outcome(code, out, err)


class FakeClient:
    """Stands in for a client: keeps what it was given, and answers from ``replies``."""

    made: ClassVar[list[FakeClient]] = []
    #: By method; a method without one is answered with a success.
    replies: ClassVar[dict[str, Any]] = {}

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments, self.options = arguments, options
        self.sent: list[dict[str, Any]] = []
        self.closed = False
        self.made.append(self)

    def run(self, msg: dict[str, Any]) -> dict[str, Any]:
        self.sent.append(msg)
        reply = self.replies.get(msg["method"], success(None))
        if isinstance(reply, BaseException):
            raise reply
        answer: dict[str, Any] = reply(msg) if callable(reply) else reply
        return answer

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *fault: object) -> None:
        self.closed = True


def success(result: Any) -> dict[str, Any]:
    return {"success": 0, "msg": "done", "result": result}


def failure(code: str, msg: str = "It failed.", **details: Any) -> dict[str, Any]:
    return {"success": 1, "msg": msg, "error": {"code": code, "retryable": False, **details}}


@pytest.fixture
def vpoller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Vpoller]:
    """Return a way to run ``vpoller`` where no settings are, in an empty directory."""
    for name in [name for name in os.environ if name.startswith("VPOLLER_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sources, "SYSTEM_FILE", tmp_path / "etc.toml")
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Vpoller(capsys, monkeypatch)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[FakeClient]:
    """Put fakes in the place of both clients; the class returned is told what to answer."""
    fake = type("Fake", (FakeClient,), {"made": [], "replies": {}})
    monkeypatch.setattr("vpoller_like.client.VPollerClient", fake)
    monkeypatch.setattr("vpoller_like.client.LocalClient", fake)
    return fake
