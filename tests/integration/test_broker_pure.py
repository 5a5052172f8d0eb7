"""The broker's core in Python passes what the compiled one passes."""

from __future__ import annotations

import pytest

from tests.support.cores import ROOT, in_pure_python, need_core
from vpoller_like.broker import compiled

_TEST = """
import sys, pytest
from vpoller_like.broker import compiled
code = pytest.main(["-q", "-p", "no:xdist", *sys.argv[1:]])
print("the core was", compiled.TWINS.kind)
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def _compiled() -> None:
    need_core()
    if compiled.TWINS.kind == "pure":
        pytest.skip("all tests are run in pure Python here")


@pytest.mark.parametrize(
    "tests",
    ["tests/unit/test_broker_*.py", "tests/property/test_broker_*.py", "tests/simulation"],
)
@pytest.mark.timeout(400)
def test_the_core_in_python_passes_the_tests_of_the_core(tests: str) -> None:
    found = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(tests))
    assert found
    done = in_pure_python("-c", _TEST, *found, timeout=350)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("the core was pure\n")
