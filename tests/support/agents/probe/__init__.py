"""An agent whose runs can be counted from outside. This directory's parent, on PYTHONPATH,
makes it known as an installed package would be."""

from __future__ import annotations

import os
import threading
import time
import uuid

from vpoller_like.agent import Agent, Params, task


class Count(Params, frozen=True):
    """Parameters of the counting tasks."""

    #: The file that gets a line for each run.
    file: str
    #: How long the run takes.
    seconds: float = 0.0


class Quick(Params, frozen=True):
    """Parameters of ``probe.quick``."""

    seconds: float = 0.0


class ProbeAgent(Agent):
    """Leaves traces of what it runs."""

    name = "probe"

    @task("probe.count")
    def count(self, msg: Count) -> dict[str, object]:
        """Write the process id to a file, then take some time. Not to be run twice."""
        return _count(msg)

    @task("probe.count.safe", retry_safe=True)
    def count_safe(self, msg: Count) -> dict[str, object]:
        """Write the process id to a file, then take some time. Running it twice does no harm."""
        return _count(msg)

    @task("probe.quick", retry_safe=True)
    def quick(self, msg: Quick) -> int:
        """Return the process id, at once unless told otherwise."""
        time.sleep(msg.seconds)
        return os.getpid()

    @task("probe.stuck", timeout=1.0)
    def stuck(self, msg: dict[str, object]) -> None:  # noqa: ARG002
        """Never return."""
        threading.Event().wait()


def _count(msg: Count) -> dict[str, object]:
    # One write in append mode: runs of several processes do not mix their lines.
    descriptor = os.open(msg.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, b"%d\n" % os.getpid())
    finally:
        os.close(descriptor)
    time.sleep(msg.seconds)
    return {"pid": os.getpid(), "run": uuid.uuid4().hex}
