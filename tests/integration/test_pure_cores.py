"""What is there twice passes in Python what the compiled ones pass."""

from __future__ import annotations

import pytest

from tests.support.cores import IS_PURE, ROOT, in_pure_python, need_cores

_TEST = """
import sys, pytest
from tests.support.cores import TWINS
code = pytest.main(["-q", "-p", "no:xdist", *sys.argv[1:]])
print("the cores were", *(twins.kind for twins in TWINS))
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def _compiled() -> None:
    need_cores()
    if IS_PURE:
        pytest.skip("all tests are run in pure Python here")


@pytest.mark.parametrize(
    "tests",
    [
        "tests/unit/test_agent_*.py",
        "tests/unit/test_broker_*.py",
        "tests/unit/test_transport_*.py",
        "tests/unit/test_worker_*.py",
        "tests/property/test_broker_*.py",
        "tests/property/test_worker_*.py",
        "tests/simulation",
    ],
)
@pytest.mark.timeout(400)
def test_the_cores_in_python_pass_the_tests_of_the_cores(tests: str) -> None:
    found = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(tests))
    assert found
    done = in_pure_python("-c", _TEST, *found, timeout=350)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("the cores were pure pure pure pure\n")
