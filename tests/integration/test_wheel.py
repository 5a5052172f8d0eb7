"""A wheel is built with a C compiler or Cython and without, and what it installs works."""

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
NEEDED = ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.rst", "LICENSE")
_BUILD = "import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])"
_SHOW = """
from vpoller_like.agent.writing import Writer
from vpoller_like.broker.events import Request
from vpoller_like.transport import burst
from vpoller_like.transport.port import Port
from vpoller_like.worker.run import Run
import sys, zmq
context = zmq.Context()
port = Port(context.socket(zmq.ROUTER))
print(burst.KIND, burst.__file__.startswith(sys.argv[1]), port.send((b"nobody", b"")).name)
print(Writer.__module__, Request.__module__, Port.__module__, Run.__module__)
port.close()
context.term()
"""
#: Where what is there twice comes from.
_IN_PYTHON = (
    "vpoller_like.agent.writing vpoller_like.broker.events vpoller_like.transport.port "
    "vpoller_like.worker.run"
)
_TWICE = ("agent", "broker", "transport", "worker")
_COMPILED = " ".join(f"vpoller_like.{name}._hot" for name in _TWICE)
#: What the package's extensions are called.
EXTENSIONS = ["agent/_hot", "broker/_hot", "transport/_burst", "transport/_hot", "worker/_hot"]


def built(place: Path, compiler: str, path: str = "") -> Path:
    """Build a wheel from a copy of the sources, with ``path`` as PYTHONPATH; return it."""
    sources = place / "sources"
    sources.mkdir()
    for name in NEEDED:
        shutil.copy(ROOT / name, sources)
    for package in ("vpoller_like", "workers"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.new", "_hot.c")
        shutil.copytree(ROOT / package, sources / package, ignore=ignored)
    done = subprocess.run(
        # What pip calls, but in this environment: pip would install setuptools first.
        [sys.executable, "-c", _BUILD, str(place)],
        cwd=sources,
        # Nobody runs it for its speed, and without that it is built in a third of the time.
        env={
            **os.environ,
            "CC": compiler,
            "LDSHARED": f"{compiler} -shared",
            "CFLAGS": "-O0",
            "PYTHONPATH": path,
        },
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


def extensions(wheel: Path) -> list[str]:
    """Return what of the installed package is compiled, and check that no source of it is."""
    place = wheel.parent / "installed" / "vpoller_like"
    assert not [path for path in place.rglob("*") if path.suffix in (".c", ".pxi", ".pyx")]
    return sorted(str(path.relative_to(place)).partition(".")[0] for path in place.rglob("*.so"))


def test_a_wheel_built_without_a_compiler_works_in_pure_python(tmp_path: Path) -> None:
    wheel = built(tmp_path, "/nonexistent/cc")
    assert installed(wheel) == f"pure True DONE\n{_IN_PYTHON}"
    assert extensions(wheel) == []


def test_a_wheel_built_with_a_compiler_has_the_extensions(tmp_path: Path) -> None:
    compiler = require_tool("cc", "gcc")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        missing(f"{header} is not here: install Debian's python3-dev")
    if not _is_there("Cython"):
        missing("Cython is not here: pip install 'cython>=3.1,<4'")
    wheel = built(tmp_path, compiler)
    assert installed(wheel) == f"c True DONE\n{_COMPILED}"
    assert extensions(wheel) == EXTENSIONS


def test_without_cython_the_rest_is_built_and_the_core_is_pure(tmp_path: Path) -> None:
    require_tool("cc", "gcc")
    hidden = tmp_path / "hidden" / "Cython"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('it is hidden')")
    wheel = built(tmp_path, "cc", path=str(hidden.parent))
    assert installed(wheel).splitlines()[1] == _IN_PYTHON
    assert extensions(wheel) == ["transport/_burst"]
