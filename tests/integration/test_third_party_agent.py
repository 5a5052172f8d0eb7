"""The how-to's agents, taken from the page, installed as packages, and called."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.fabric import Fabric
from tests.support.req import ask

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "howto" / "write-an-agent.rst"

BLOCK = re.compile(
    r"^\.\. code-block:: \w+\n   :caption: (?P<caption>.+)\n\n(?P<text>(?:(?:   .*)?\n)+)",
    re.MULTILINE,
)

CALL_BOTH_SHOPS = """
import json, tomllib
from vpoller_like.agent import AgentHost, load_agents

with open("vpoller.toml", "rb") as file:
    config = tomllib.load(file)
host = AgentHost(load_agents(config["worker"]["agents"], config["agents"]))
host.setup()
requests = [
    {"method": "hello.greet", "name": "you", "times": 2},
    {"method": "stock.list", "hostname": "shop2"},
    {"method": "stock.take", "hostname": "shop1", "name": "tea", "pin": "0000"},
    {"method": "stock.list"},
]
outcomes = [host.execute(json.dumps(request).encode()) for request in requests]
host.teardown()
print(json.dumps([json.loads(outcome.body) for outcome in outcomes]))
"""


def blocks() -> dict[str, str]:
    """Return the page's captioned blocks by caption."""
    page = PAGE.read_text()
    found = {item["caption"]: textwrap.dedent(item["text"]) for item in BLOCK.finditer(page)}
    return {caption: text.strip("\n") + "\n" for caption, text in found.items()}


def pip() -> list[str]:
    """Return a command that runs pip; the environment may have been made without its own."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        pytest.skip("there is no pip, neither in this environment nor on the path")
    return [found]


def build_options() -> list[str]:
    """Let pip fetch what builds a package, unless that is here already."""
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return []
    # The first with a wheel builder of its own.
    new_enough = tuple(int(part) for part in version.split(".")[:2]) >= (70, 1)
    ours = pip()[0] == sys.executable
    return ["--no-build-isolation"] if new_enough and ours else []


def run(arguments: list[str], cwd: Path, path: str = "") -> str:
    """Run a command and return its standard output; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, as a reader would have them."""
    directory = tmp_path_factory.mktemp("reader")
    for caption, text in blocks().items():
        if not caption.startswith("output of "):
            file = directory / caption
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    return directory


@pytest.fixture(scope="module")
def installed(files: Path) -> str:
    """The PYTHONPATH of a place where both packages are installed, beside the product."""
    target = files / "installed"
    install = [*pip(), "install", "--quiet", "--no-deps", "--target", str(target)]
    run([*install, *build_options(), "./hello", "./stock"], files)
    return f"{target}{os.pathsep}{ROOT}"


def test_the_page_has_all_that_is_needed() -> None:
    assert set(blocks()) == {
        "hello/pyproject.toml",
        "hello/vpoller_hello.py",
        "try_hello.py",
        "output of try_hello.py",
        "vpoller.toml",
        "stock/vpoller_stock.py",
        "stock/vpoller_stock_shops.py",
        "stock/pyproject.toml",
        "stock/test_stock.py",
    }


def test_the_first_agent_prints_what_the_page_says(files: Path, installed: str) -> None:
    printed = run([sys.executable, "-W", "error", "try_hello.py"], files, installed)
    assert printed == blocks()["output of try_hello.py"]


def test_both_agents_serve_with_the_pages_configuration(files: Path, installed: str) -> None:
    printed = run([sys.executable, "-W", "error", "-c", CALL_BOTH_SHOPS], files, installed)
    greeted, listed, taken, unnamed = json.loads(printed)
    assert greeted["result"] == ["Hello, you", "Hello, you"]
    assert listed["result"] == {}
    assert taken["error"]["code"] == "invalid_params"
    assert taken["msg"] == "name: not enough of tea"
    assert unnamed["error"]["known"] == ["shop1", "shop2"]
    assert (files / "shop1.db").exists()


def test_the_pages_verb_lists_its_shops(files: Path, installed: str) -> None:
    vpoller = [sys.executable, "-W", "error", "-m", "vpoller_like.cli"]
    listed = run([*vpoller, "shops", "-o", "yaml"], files, installed)
    assert listed == "- shop: shop1\n  database: shop1.db\n- shop: shop2\n  database: shop2.db\n"
    assert json.loads(run([*vpoller, "shops", "shop2"], files, installed))[0]["shop"] == "shop2"
    assert "List the shops, or one SHOP." in run([*vpoller, "--help"], files, installed)


def test_the_pages_own_tests_pass(files: Path, installed: str) -> None:
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    printed = run([*pytest_run, "--rootdir=.", "test_stock.py"], files / "stock", installed)
    assert "4 passed" in printed


def test_the_first_agent_serves_beside_ours_through_a_broker(installed: str) -> None:
    with Fabric(agents=[Path(installed.partition(os.pathsep)[0])]) as fabric:
        fabric.start_worker(agents="probe,hello")
        reply = ask(fabric.frontend, {"method": "hello.greet", "name": "you", "times": 2})
        assert reply == {"success": 0, "msg": "Greeted", "result": ["Hello, you"] * 2}
        wrong = ask(fabric.frontend, {"method": "hello.greet"})
        assert wrong["error"]["code"] == "invalid_params"
        assert "name" in wrong["msg"]
