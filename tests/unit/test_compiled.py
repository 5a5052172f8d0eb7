"""What is compiled takes Python's place whole, or not at all."""

from __future__ import annotations

import importlib
import pkgutil
import types
from pathlib import Path
from typing import Any

import pytest

from tests.support.extensions import need, shown
from vpoller_like import compiled
from vpoller_like.broker.compiled import TWINS
from vpoller_like.compiled import Twins

#: Packages with an extension of twins.
PACKAGES = ["agent", "broker", "transport", "worker"]


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    """Name one of the packages."""
    return f"vpoller_like.{request.param}"


@pytest.fixture
def twins(package: str) -> Twins:
    """Return what is there twice of it."""
    found: Twins = importlib.import_module(f"{package}.compiled").TWINS
    return found


def test_it_runs_where_it_is_and_pure_python_where_that_is_asked_for(
    package: str, twins: Twins
) -> None:
    need(twins.extension)
    names = [f"{package}.compiled:TWINS.{name}" for name in ("kind", "reason")]
    assert shown(*names) == "c"
    assert shown(*names, VPOLLER_PURE="0") == shown(*names, VPOLLER_PURE="") == "c"
    assert shown(*names, VPOLLER_PURE="1") == "pure VPOLLER_PURE is set"


def test_all_that_is_there_twice_is_of_one_kind(package: str, twins: Twins) -> None:
    found = {}
    path = importlib.import_module(package).__path__
    for module in pkgutil.iter_modules(path, f"{package}."):
        if not module.name.endswith("._hot"):
            whole = vars(importlib.import_module(module.name))
            found |= {name: whole[name] for name in twins.names & whole.keys()}
    assert found.keys() == twins.names
    is_compiled = {"_hot" in twin.__module__ for twin in found.values()}
    assert is_compiled == {twins.kind == "c"}


class Extension(types.SimpleNamespace):
    """What an extension offers, and may lack."""

    def __init__(self, twins: Twins, **changes: Any) -> None:
        whole = dict.fromkeys(twins.names, object)
        super().__init__(**{"INTERFACE": 1, "SOURCE": twins.source_digest(), **whole, **changes})


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let this be what the import of the extension comes to."""

    def find(module: Any) -> None:
        def bring(_: str) -> Any:
            if isinstance(module, Exception):
                raise module
            return module

        monkeypatch.setattr(importlib, "import_module", bring)

    return find


def test_one_that_was_built_of_this_source_is_taken(twins: Twins, found: Any) -> None:
    assert twins.source_digest() is not None
    built = Extension(twins)
    found(built)
    assert twins.extension() is built


@pytest.mark.parametrize("changes", [{"INTERFACE": 0}, {"SOURCE": "0"}, {"SOURCE": None}])
def test_one_that_was_built_of_an_older_source_is_left_alone(
    twins: Twins, found: Any, changes: Any
) -> None:
    found(Extension(twins, **changes))
    with pytest.raises(ImportError, match="another version"):
        twins.extension()


def test_one_that_lacks_a_class_is_left_alone_as_a_whole(twins: Twins, found: Any) -> None:
    for name in twins.names:
        lacking = Extension(twins)
        delattr(lacking, name)
        found(lacking)
        with pytest.raises(ImportError, match="another version"):
            twins.extension()


def test_a_part_of_the_source_counts_as_the_source_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    parts = tmp_path / "broker" / "hot"
    parts.mkdir(parents=True)
    (tmp_path / "broker" / "_hot.pyx").write_text('include "hot/a.pxi"')
    digests = set()
    for name, text in (("a.pxi", "1"), ("a.pxi", "2"), ("b.pxi", "1"), ("notes", "1")):
        (parts / name).write_text(text)
        digests.add(TWINS.source_digest())
    assert len(digests) == 3


def test_where_the_source_is_not_installed_what_was_built_with_it_is_taken(
    twins: Twins, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twins, "source_digest", lambda: None)
    found(Extension(twins))
    twins.extension()


def test_one_that_fails_at_its_import_is_left_alone(twins: Twins, found: Any) -> None:
    found(AttributeError("State has no QUEUED"))
    with pytest.raises(ImportError, match="State has no QUEUED"):
        twins.extension()


def test_what_is_not_known_to_be_there_twice_cannot_be_replaced(twins: Twins) -> None:
    class Unknown:
        pass

    with pytest.raises(LookupError, match="Unknown"):
        twins.compiled(Unknown)
