"""The environment that ``make`` sets up, on machines that have less than they should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "etc" / "make-venv"

#: A Debian without python3-venv: the module is there, and fails for lack of ensurepip.
WITHOUT_ENSUREPIP = """\
case "$*" in *--without-pip*) ;; "-m venv"*) mkdir -p "$3/half"; exit 1 ;; esac
"""
#: And without python3-pip as well.
WITHOUT_PIP = """\
case "$*" in "-m pip"*) exit 1 ;; esac
"""


def _python(place: Path, quirks: str) -> Path:
    program = place / "python3"
    program.write_text(f'#!/bin/sh\n{quirks}exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return program


def _make(python: Path | str, place: Path) -> subprocess.CompletedProcess[str]:
    (place / "nothing.txt").write_text("")
    return subprocess.run(
        [SCRIPT, python, place / "venv", "-r", place / "nothing.txt"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("quirks", ["", WITHOUT_ENSUREPIP])
def test_an_environment_is_made_with_or_without_ensurepip(tmp_path: Path, quirks: str) -> None:
    made = _make(_python(tmp_path, quirks), tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "venv" / "bin" / "pip").exists() == (not quirks)
    assert not (tmp_path / "venv" / "half").exists()
    code = "import sys; print(sys.prefix != sys.base_prefix)"
    python = tmp_path / "venv" / "bin" / "python"
    assert subprocess.check_output([python, "-c", code], timeout=60) == b"True\n"


def test_without_any_pip_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    made = _make(_python(tmp_path, WITHOUT_ENSUREPIP + WITHOUT_PIP), tmp_path)
    assert made.returncode == 1
    assert made.stderr.splitlines()[-1].startswith("Error: ")
    assert made.stderr.endswith("apt install python3-venv\n")
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_is_one_sentence_too(tmp_path: Path) -> None:
    made = _make("no-such-python", tmp_path)
    assert made.returncode == 1
    assert made.stderr.startswith("Error: there is no no-such-python; install Python 3.11")


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    old = _python(
        tmp_path, 'case "$1" in -c) exit 1 ;; --version) echo Python 3.9.2; exit ;; esac\n'
    )
    made = _make(old, tmp_path)
    assert made.returncode == 1
    assert "Python 3.9.2 is too old, 3.11 is needed" in made.stderr


def test_a_broken_environment_is_made_anew_and_a_finished_one_kept(tmp_path: Path) -> None:
    python = _python(tmp_path, "")
    leftover = tmp_path / "venv" / "leftover"
    leftover.parent.mkdir()
    leftover.touch()
    assert _make(python, tmp_path).returncode == 0
    assert not leftover.exists()
    leftover.touch()
    (tmp_path / "venv" / ".ready").touch()
    assert _make(python, tmp_path).returncode == 0
    assert leftover.exists()
