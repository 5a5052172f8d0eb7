"""The compiled core takes Python's place whole, or not at all."""

from __future__ import annotations

import importlib
import pkgutil
import types
from typing import Any

import pytest

from tests.support.cores import need_core
from tests.support.extensions import shown
from vpoller_like import broker
from vpoller_like.broker import compiled

_MODULE = "vpoller_like.broker.compiled"


def test_it_runs_where_it_is_and_pure_python_where_that_is_asked_for() -> None:
    need_core()
    assert shown(_MODULE) == "c"
    assert shown(_MODULE, VPOLLER_PURE="0") == shown(_MODULE, VPOLLER_PURE="") == "c"
    assert shown(_MODULE, VPOLLER_PURE="1") == "pure VPOLLER_PURE is set"


def test_all_that_is_there_twice_is_of_one_kind() -> None:
    found = {}
    for module in pkgutil.iter_modules(broker.__path__, "vpoller_like.broker."):
        if not module.name.endswith("._hot"):
            whole = vars(importlib.import_module(module.name))
            found |= {name: whole[name] for name in compiled.NAMES & whole.keys()}
    assert found.keys() == compiled.NAMES
    is_compiled = {"_hot" in twin.__module__ for twin in found.values()}
    assert is_compiled == {compiled.KIND == "c"}


class Extension(types.SimpleNamespace):
    """What an extension offers, and may lack."""

    def __init__(self, **changes: Any) -> None:
        whole = dict.fromkeys(compiled.NAMES, object)
        super().__init__(**{"INTERFACE": 1, "SOURCE": compiled.source_digest(), **whole, **changes})


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


def test_one_that_was_built_of_this_source_is_taken(found: Any) -> None:
    built = Extension()
    found(built)
    assert compiled.extension() is built


@pytest.mark.parametrize("changes", [{"INTERFACE": 0}, {"SOURCE": "0"}, {"SOURCE": None}])
def test_one_that_was_built_of_an_older_source_is_left_alone(found: Any, changes: Any) -> None:
    found(Extension(**changes))
    with pytest.raises(ImportError, match="another version"):
        compiled.extension()


@pytest.mark.parametrize("name", sorted(compiled.NAMES))
def test_one_that_lacks_a_class_is_left_alone_as_a_whole(found: Any, name: str) -> None:
    lacking = Extension()
    delattr(lacking, name)
    found(lacking)
    with pytest.raises(ImportError, match="another version"):
        compiled.extension()


def test_where_the_source_is_not_installed_what_was_built_with_it_is_taken(
    found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "source_digest", lambda: None)
    found(Extension())
    compiled.extension()


def test_one_that_fails_at_its_import_is_left_alone(found: Any) -> None:
    found(AttributeError("State has no QUEUED"))
    with pytest.raises(ImportError, match="State has no QUEUED"):
        compiled.extension()


def test_what_is_not_known_to_be_there_twice_cannot_be_replaced() -> None:
    class Unknown:
        pass

    with pytest.raises(LookupError, match="Unknown"):
        compiled.compiled(Unknown)
