"""A wheel is built with a C compiler and without one, and what it installs works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.tools import missing, require_tool

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("setup.py", "setup.cfg", "pyproject.toml", "README.rst", "LICENSE")
_BUILD = "import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])"
_SHOW = """
from vpoller_like.transport import burst
from vpoller_like.transport.port import Port
import sys, zmq
context = zmq.Context()
port = Port(context.socket(zmq.ROUTER))
print(burst.KIND, burst.__file__.startswith(sys.argv[1]), port.send((b"nobody", b"")).name)
port.close()
context.term()
"""


def built(place: Path, compiler: str) -> Path:
    """Build a wheel from a copy of the sources; return it."""
    sources = place / "sources"
    sources.mkdir()
    for name in NEEDED:
        shutil.copy(ROOT / name, sources)
    for package in ("vpoller_like", "workers"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.new")
        shutil.copytree(ROOT / package, sources / package, ignore=ignored)
    done = subprocess.run(
        # What pip calls, but in this environment: pip would install setuptools first.
        [sys.executable, "-c", _BUILD, str(place)],
        cwd=sources,
        env={**os.environ, "CC": compiler, "LDSHARED": f"{compiler} -shared"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = place.glob("*.whl")
    return wheel


def installed(wheel: Path) -> str:
    """Unpack the wheel, and tell what runs."""
    place = wheel.parent / "installed"
    # A wheel is a zip archive of what is to be on the path.
    shutil.unpack_archive(wheel, place, "zip")
    environment = {key: value for key, value in os.environ.items() if key != "VPOLLER_PURE"}
    return subprocess.check_output(
        [sys.executable, "-c", _SHOW, str(place)],
        cwd=place,
        env=environment | {"PYTHONPATH": str(place)},
        text=True,
        timeout=60,
    ).strip()


@pytest.fixture(autouse=True)
def _setuptools() -> None:
    if not any(map(_is_there, ("setuptools.command.bdist_wheel", "wheel.bdist_wheel"))):
        missing("setuptools that build wheels are not here: pip install 'setuptools>=70.1'")


def _is_there(module: str) -> bool:
    # In a process of its own: setuptools takes over distutils, which warns of its end.
    found = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True)
    return found.returncode == 0


def test_a_wheel_built_without_a_compiler_works_in_pure_python(tmp_path: Path) -> None:
    wheel = built(tmp_path, "/nonexistent/cc")
    assert installed(wheel) == "pure True DONE"
    assert not list((tmp_path / "installed").rglob("*.so"))


def test_a_wheel_built_with_a_compiler_has_the_extension(tmp_path: Path) -> None:
    compiler = require_tool("cc", "gcc")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        missing(f"{header} is not here: install Debian's python3-dev")
    wheel = built(tmp_path, compiler)
    assert installed(wheel) == "c True DONE"
    assert list((tmp_path / "installed" / "vpoller_like" / "transport").glob("_burst.*.so"))
