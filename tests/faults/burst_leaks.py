"""Sends and receives under valgrind, and looks for leaks and bad accesses of the C extension.

::

    python tests/faults/burst_leaks.py
    python tests/faults/burst_leaks.py --rounds 500

Python and libzmq have findings of their own, so only those count whose stack goes through the
extension. Ends with 1 where there is one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.support.bursting import work  # noqa: E402

#: What somebody may still point to, such as the parts of a type, is not lost.
KINDS = "definite,indirect"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run this program under valgrind, and judge what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="of all kinds of messages (100)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        work("c", options.rounds)
        return 0
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("valgrind is not here: install Debian's valgrind", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as place:
        found = list(findings(valgrind, Path(place, "found.xml"), options.rounds))
    for text in found:
        print(text)
    print(f"{options.rounds} rounds, {len(found)} findings in the extension")
    return 1 if found else 0


def findings(valgrind: str, report: Path, rounds: int) -> Iterator[str]:
    """Run the rounds under ``valgrind``; yield what is wrong with the extension."""
    options = ["--leak-check=full", f"--show-leak-kinds={KINDS}", "--num-callers=40"]
    program = [sys.executable, __file__, "--inside", "--rounds", str(rounds)]
    # Otherwise Python's own allocator hides what is lost.
    environment = {**os.environ, "PYTHONMALLOC": "malloc", "VPOLLER_PURE": "0"}
    command = [valgrind, "-q", *options, "--xml=yes", f"--xml-file={report}", *program]
    subprocess.run(command, env=environment, check=True)
    for error in ElementTree.parse(report).iter("error"):
        frames = [_place(frame) for frame in error.iter("frame")]
        if any("_burst" in frame for frame in frames):
            what = error.findtext("what") or error.findtext("xwhat/text")
            yield "\n  ".join([f"{error.findtext('kind')}: {what}", *frames])


def _place(frame: ElementTree.Element) -> str:
    line = f"{frame.findtext('file', '?')}:{frame.findtext('line', '?')}"
    return f"{frame.findtext('fn', '?')} ({line}, {Path(frame.findtext('obj', '?')).name})"


if __name__ == "__main__":
    sys.exit(main())
