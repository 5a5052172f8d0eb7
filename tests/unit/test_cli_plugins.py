"""Verbs that agents' packages bring: found, listed, lazy, and harmless when they are broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import Vpoller, vpoller

__all__ = ["vpoller"]

ROOT = Path(__file__).resolve().parents[2]

GREETINGS = '''
import click
from vpoller_like.agent.commands import Console, output_option, pass_console, read_secret
from vpoller_like.errors import ConfigError, TaskFailed

@click.command("greetings")
@click.argument("how", default="list")
@output_option
@pass_console
def command(console: Console, how: str, output: str | None) -> int:
    """List the greetings."""
    if how == "ask":
        secret = read_secret("Word")
        console.note(f"the word is {secret}")
        raise TaskFailed(f"{secret} is wrong")
    if how == "lost":
        raise ConfigError("there is no such greeting", reason="not_found")
    if how == "crash":
        raise ValueError("oops")
    console.emit([dict(console.section("hello"))], output)
    console.note("that is all")
    return 0 if how == "list" else 7

number = 5
'''


class Installed:
    """Packages that bring verbs, in a directory that is on the path."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def bring(self, package: str, verbs: dict[str, str], code: str = GREETINGS) -> None:
        """Install ``package`` with these verbs, name to ``module:attribute``."""
        info = self._place / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in verbs.items()]
        (info / "entry_points.txt").write_text("\n".join(["[vpoller_like.commands]", *lines, ""]))
        (self._place / f"{package}.py").write_text(code)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    for name in ("greeting", "other", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return Installed(place)


def warnings(text: str) -> str:
    """Return what help says after ``Warnings:``, on one line."""
    return " ".join(text.partition("Warnings:")[2].split())


def test_a_verb_is_listed_explained_and_run(vpoller: Vpoller, installed: Installed) -> None:
    installed.bring("greeting", {"greetings": "greeting:command"})
    Path("vpoller.toml").write_text('[agents.hello]\nword = "moin"\n')
    assert "  greetings   List the greetings." in vpoller("--help").out
    assert vpoller("greetings", "-h").out.startswith("Usage: vpoller greetings ")
    outcome = vpoller("greetings")
    assert (outcome.code, outcome.data, outcome.err) == (0, [{"word": "moin"}], "that is all\n")
    assert vpoller("greetings", "-o", "yaml").out == "- word: moin\n"
    assert vpoller("greetings", "again").code == 7


def test_a_verbs_errors_are_told_as_our_own_are(vpoller: Vpoller, installed: Installed) -> None:
    installed.bring("greeting", {"greetings": "greeting:command"})
    lost = vpoller("greetings", "lost")
    assert (lost.code, lost.err) == (5, "Error: there is no such greeting\n")
    crash = vpoller("greetings", "crash")
    assert crash.code == 1
    assert "this should not have happened: ValueError: oops" in crash.err
    assert vpoller("greetings", "--nothing").code == 2


def test_wrong_settings_are_the_users_to_correct(vpoller: Vpoller, installed: Installed) -> None:
    installed.bring("greeting", {"greetings": "greeting:command"})
    Path("vpoller.toml").write_text("[worker]\nagent = 5\n")
    outcome = vpoller("greetings")
    assert outcome.code == 2
    assert "did you mean worker.agents?" in outcome.err


def test_a_secret_that_was_asked_for_is_shown_nowhere(
    vpoller: Vpoller, installed: Installed
) -> None:
    installed.bring("greeting", {"greetings": "greeting:command"})
    outcome = vpoller("-v", "greetings", "ask", stdin=b"Vogel-0815\n")
    assert "the word is ***\n" in outcome.err
    assert "Error: *** is wrong\n" in outcome.err
    assert "Vogel" not in outcome.err + outcome.out
    nothing = vpoller("greetings", "ask", stdin=b"\n")
    assert (nothing.code, nothing.err) == (
        1,
        "Error: Word: nothing was given on stdin; write it there\n",
    )


@pytest.mark.parametrize(
    ("value", "code", "fault"),
    [
        ("broken:command", "import nothing_like_it", "No module named 'nothing_like_it'"),
        ("broken:command", "1 / 0", "ZeroDivisionError: division by zero"),
        ("broken:command", "raise SystemExit(3)", "SystemExit: 3"),
        ("broken:command", "", "has no attribute 'command'"),
        ("broken:number", "number = 5", "(broken:number) is no click command"),
        ("nowhere:command", "", "No module named 'nowhere'"),
    ],
)
def test_a_broken_verb_is_told_of_and_harms_no_other(
    vpoller: Vpoller, installed: Installed, value: str, code: str, fault: str
) -> None:
    installed.bring("broken", {"wrong": value}, code)
    installed.bring("greeting", {"greetings": "greeting:command"})
    helped = vpoller("--help")
    assert helped.code == 0
    assert "List the greetings." in helped.out
    assert "Print the completion script of SHELL." in helped.out
    assert "\n  wrong " not in helped.out.partition("Warnings:")[0]
    told = warnings(helped.out)
    assert told.startswith("wrong of broken ")
    assert fault in told
    for arguments in (["wrong"], ["wrong", "--help"], ["wrong", "-x", "y", "--", "z"]):
        called = vpoller(*arguments)
        assert called.code == 1
        assert " ".join(called.err.split()) == f"Error: {told}"
    assert vpoller("greetings").code == 0
    assert vpoller("version").code == 0


def test_a_verb_of_ours_cannot_be_taken(vpoller: Vpoller, installed: Installed) -> None:
    installed.bring("greeting", {"version": "greeting:command"})
    assert "vpoller" in vpoller("version").data
    assert warnings(vpoller("--help").out) == (
        "version of greeting is not used: vpoller has a verb of that name"
    )


def test_a_verb_that_two_packages_bring_is_nobodys(vpoller: Vpoller, installed: Installed) -> None:
    installed.bring("greeting", {"greetings": "greeting:command"})
    installed.bring("other", {"greetings": "other:command"})
    expected = (
        "greetings is not used, because greeting and other bring it each; uninstall all but one"
    )
    assert warnings(vpoller("--help").out) == expected
    assert vpoller("greetings").err == f"Error: {expected}\n"


def test_without_trouble_help_warns_of_nothing(vpoller: Vpoller) -> None:
    assert "Warnings" not in vpoller("--help").out


def test_an_unknown_verb_is_still_unknown(vpoller: Vpoller) -> None:
    outcome = vpoller("no-such-verb")
    assert outcome.code == 2
    assert "No such command 'no-such-verb'" in outcome.err


def _python(place: Path, code: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{ROOT}", **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_own_verbs_do_not_look_for_others(tmp_path: Path, installed: Installed) -> None:
    """Neither `vpoller call` nor any other waits for packages that it does not use."""
    installed.bring("greeting", {"greetings": "greeting:command"}, "print('imported')")
    told = _python(
        tmp_path / "site",
        "import sys; from vpoller_like.cli.main import main; main(['call', '--help']);"
        "print([name for name in sys.modules if name.startswith(('greeting', 'workers'))])",
    )
    assert told.splitlines()[-1] == "[]"
    assert "imported" not in told


def test_help_does_not_wait_for_the_vsphere_agent(tmp_path: Path) -> None:
    told = _python(
        tmp_path,
        "import sys; from vpoller_like.cli.main import main; main(['--help']);"
        "main(['host', 'list']);"
        "print([name for name in sys.modules if name.startswith(('pyVmomi', 'cryptography'))])",
        XDG_CONFIG_HOME=str(tmp_path),
    )
    assert "\n  host " in told
    assert told.splitlines()[-1] == "[]"


def test_completion_offers_it_and_not_the_broken_one(tmp_path: Path, installed: Installed) -> None:
    installed.bring("greeting", {"greetings": "greeting:command", "great": "greeting:number"})
    told = _python(
        tmp_path / "site",
        "from vpoller_like.cli.main import main; main()",
        _VPOLLER_COMPLETE="bash_complete",
        COMP_WORDS="vpoller gre",
        COMP_CWORD="1",
    )
    assert told == "plain,greetings\n"


def test_a_packages_own_program_is_the_verb_of_its_name(
    tmp_path: Path, installed: Installed
) -> None:
    installed.bring("greeting", {"greetings": "greeting:command"})
    run = "import sys; from vpoller_like.cli.plugins import script; sys.argv = {}; print(script())"
    told = _python(tmp_path / "site", run.format(["/usr/bin/greetings", "again", "-o", "yaml"]))
    assert told == "- {}\n7\n"
    helped = _python(tmp_path / "site", run.format(["/usr/bin/greetings", "--help"]))
    assert helped.startswith("Usage: greetings ")
    assert _python(tmp_path / "site", run.format(["/usr/bin/gone"])) == "1\n"
