"""The program as a whole: global options, errors, what it imports, completion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import FakeClient, Vpoller, client, vpoller
from tests.support.cores import TWINS
from vpoller_like import __version__
from vpoller_like.cli import dev
from vpoller_like.cli.main import VERBS
from vpoller_like.cli.session import Session
from vpoller_like.config import BrokerSettings, Settings, WorkerSettings
from vpoller_like.transport import burst

__all__ = ["client", "vpoller"]

ROOT = Path(__file__).resolve().parents[2]


def _python(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **options},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_version_is_told(vpoller: Vpoller) -> None:
    assert vpoller("--version").out == f"vpoller {__version__}\n"
    told = vpoller("version").data
    assert told["vpoller"] == __version__
    is_compiled = all(twins.kind == "c" for twins in TWINS)
    assert (told["transport"], told["core"]) == (burst.KIND, "c" if is_compiled else "pure")


def test_help_lists_every_verb(vpoller: Vpoller) -> None:
    outcome = vpoller("--help")
    assert outcome.code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in outcome.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(vpoller: Vpoller, verb: str) -> None:
    outcome = vpoller(verb, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: vpoller {verb} ")


def test_what_nobody_foresaw_is_one_line_and_a_traceback_with_v(
    vpoller: Vpoller, client: type[FakeClient]
) -> None:
    client.replies["m"] = KeyError("oops")
    outcome = vpoller("call", "m")
    assert outcome.code == 1
    assert outcome.err.startswith("Error: this should not have happened: KeyError: 'oops'")
    assert outcome.err.count("\n") == 1
    assert "Traceback" in vpoller("-v", "call", "m").err


def test_an_operating_systems_error_is_told_in_its_words(
    vpoller: Vpoller, client: type[FakeClient]
) -> None:
    client.replies["m"] = OSError(98, "Address already in use", "tcp://127.0.0.1:1")
    assert vpoller("call", "m").err == "Error: Address already in use: tcp://127.0.0.1:1\n"


def test_call_imports_neither_broker_nor_worker_nor_tables() -> None:
    """What is not imported need not be waited for."""
    code = (
        "import sys; from vpoller_like.cli.main import main; main(['call', 'm', '--help']);"
        "from vpoller_like.cli import call, admin, status;"
        "print([name for name in sys.modules if name.startswith"
        "(('rich', 'yaml', 'zmq', 'tomllib', 'vpoller_like.broker', 'vpoller_like.worker',"
        " 'vpoller_like.agent'))])"
    )
    assert _python("-c", code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["version", "-o", "table"], ["completion", "bash"]])
def test_a_reader_that_goes_away_is_met_quietly(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        process = subprocess.run(
            [sys.executable, "-m", "vpoller_like.cli", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=broken,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (process.returncode, process.stderr) == (141, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shipped_completion_is_what_the_verb_prints(vpoller: Vpoller, shell: str) -> None:
    """The scripts differ between versions of click in detail, so only their heart is compared."""
    printed = vpoller("completion", shell).out
    shipped = (ROOT / "etc" / "completion" / f"vpoller.{shell}").read_text()
    for heart in (f"_VPOLLER_COMPLETE={shell}_complete", "_vpoller_completion"):
        assert heart in printed
        assert heart in shipped


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vpoller wor", {"worker", "workers"}),
        ("vpoller broker ", {"run", "stop", "drain"}),
        ("vpoller call --end", {"--endpoint"}),
        ("vpoller status -o ", {"table", "json", "yaml"}),
    ],
)
def test_bash_completes(tmp_path: Path, words: str, expected: set[str]) -> None:
    """The shipped script, sourced by a real bash, asks the real program."""
    bash = shutil.which("bash")
    assert bash is not None
    program = tmp_path / "vpoller"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vpoller_like.cli "$@"\n')
    program.chmod(0o755)
    typed = words if not words.endswith(" ") else f'{words}""'
    script = (
        f"source {ROOT}/etc/completion/vpoller.bash; COMP_WORDS=({typed}); "
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vpoller_completion vpoller; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    process = subprocess.run(
        [bash, "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert set(process.stdout.split()) == expected, process.stderr


def test_dev_ties_its_worker_to_its_own_broker() -> None:
    settings = Settings(
        broker=BrokerSettings(frontend="tcp://*:1", backend="tcp://*:2"),
        worker=WorkerSettings(backends=["tcp://other:9"], agents=["a", "b"], processes=3),
    )
    arguments = " ".join(dev.worker_arguments(settings))
    assert arguments.startswith("worker run --backend tcp://127.0.0.1:2 --agents a,b --processes 3")
    assert "other" not in arguments
    assert "--frontend tcp://*:1" in " ".join(dev.broker_arguments(settings.broker))


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("tcp://*:5", "tcp://127.0.0.1:5"),
        ("tcp://0.0.0.0:5", "tcp://127.0.0.1:5"),
        ("tcp://10.0.0.1:5", "tcp://10.0.0.1:5"),
        ("ipc:///run/x", "ipc:///run/x"),
    ],
)
def test_what_is_bound_everywhere_is_reached_here(bound: str, reached: str) -> None:
    assert dev.connectable(bound) == reached


def test_children_get_the_global_options() -> None:
    assert Session(config="x.toml", verbosity=2).forwarded() == ["--config", "x.toml", "-v", "-v"]
    assert Session().forwarded() == []


@pytest.mark.parametrize(
    ("verb", "entry", "section"),
    [
        ("broker", "vpoller_like.broker.run_broker", None),
        ("worker", "vpoller_like.worker.run_worker", "worker"),
    ],
)
def test_run_hands_on_its_settings_and_its_exit_code(
    vpoller: Vpoller, monkeypatch: pytest.MonkeyPatch, verb: str, entry: str, section: str | None
) -> None:
    given: list[object] = []
    monkeypatch.setattr(entry, lambda settings, *_: given.append(settings) or 7, raising=False)
    flag = {"broker": ["--frontend", "ipc:///f"], "worker": ["--threads", "9"]}[verb]
    assert vpoller(verb, "run", *flag).code == 7
    (settings,) = given
    shown = settings.worker.threads if section else settings.frontend  # type: ignore[attr-defined]
    assert shown == (9 if section else "ipc:///f")


def test_documentation_names_every_verb_and_option() -> None:
    """The reference cannot fall behind the program."""
    import click

    from vpoller_like.cli.main import vpoller as group

    text = (ROOT / "docs" / "reference" / "cli.rst").read_text()
    context = click.Context(group)

    def check(command: click.Command, path: str) -> None:
        assert f"vpoller {path}".strip() in text, path
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert f"``{option}" in text, (path, option)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                check(inner, f"{path} {name}".strip())

    check(group, "")
