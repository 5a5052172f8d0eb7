"""One worker process: ``python -m vpoller_like.worker.process``, by the supervisor.

Its settings come as JSON on standard input.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import logging
import os
import secrets
import signal
import sys
from typing import NamedTuple

import msgspec

from vpoller_like.agent import AgentHost
from vpoller_like.agent.loader import agent_sources
from vpoller_like.agent.vault import VAULT, guard_logs
from vpoller_like.errors import VPollerError
from vpoller_like.protocol.worker import Offer
from vpoller_like.transport.context import new_context
from vpoller_like.transport.curve import Credentials
from vpoller_like.transport.sockets import Context
from vpoller_like.worker.control import NOT_YET, RELOAD, WHERE, Failed, Reporter, Start, Up
from vpoller_like.worker.core import Identity
from vpoller_like.worker.guard import LAST_SECONDS, Guard
from vpoller_like.worker.keeper import Keeper
from vpoller_like.worker.lanes import Hosts, Lanes, label_of
from vpoller_like.worker.links import worker_credentials
from vpoller_like.worker.loop import WorkerLoop
from vpoller_like.worker.renewal import Renewal, Watched

log = logging.getLogger("vpoller.worker")

#: Seconds for the agents to be loaded and set up.
SETUP_SECONDS = 120.0
#: How long a thread may hold the interpreter, in seconds, before another one may: a task
#: that computes must not keep the loop waiting for Python's default of 5 ms.
SWITCH_SECONDS = 0.001
#: prctl's option: the signal that this process gets when its parent dies.
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run a worker process; never returns."""
    faulthandler.register(WHERE)
    start = msgspec.json.decode(sys.stdin.buffer.read(), type=Start)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The supervisor decides.
    signal.signal(RELOAD, signal.SIG_IGN)  # All is read anew just now.
    # They were blocked until now; what an agent starts is not to inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NOT_YET)
    _die_with_parent(signal.SIGTERM)
    if os.getppid() != start.supervisor_pid:
        os._exit(0)
    _restore_environment(start)
    _log_to_stderr(start.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    _end(_serve(start, Reporter(start.control), _guard(start)))


def _serve(start: Start, reporter: Reporter, guard: Guard) -> int:
    """Return the exit code: 0 where the end was asked for."""
    guard.allow(SETUP_SECONDS)
    ready = _set_up(start, reporter)
    if ready is None:
        return 1
    # What is there now stays: the collector need not look at it again, which takes 20 ms.
    gc.collect()
    gc.freeze()
    keeper = Keeper(start.settings.worker, reporter, guard)
    context = new_context()
    lanes = _lanes(start, ready, keeper, context)
    renewal = Renewal(ready.watched, keeper.serve)
    signal.signal(signal.SIGTERM, lambda *_: keeper.drain())
    signal.signal(RELOAD, lambda *_: renewal.hasten())
    _die_with_parent(0)  # From here on the keeper sees it, and drains.
    reporter.send(Up())
    lanes.serve(ready.host.agents)
    renewal.start()
    reason = keeper.run(lanes)
    log.info("ending: %s", reason)
    guard.allow(LAST_SECONDS)
    keeper.part(ready.host.agents, LAST_SECONDS - 1)
    context.term()
    return 0


class _Ready(NamedTuple):
    """The agents, set up, where they come from, and what is shown to brokers."""

    host: AgentHost
    watched: list[Watched]
    credentials: Credentials | None


def _set_up(start: Start, reporter: Reporter) -> _Ready | None:
    """Get ready to serve; or tell the supervisor why that cannot be."""
    try:
        # Before the agents, which take their time.
        credentials = worker_credentials(start.settings)
        sources = agent_sources(start.settings.worker.agents, start.settings.agents)
        watched = [Watched(source) for source in sources]
        host = AgentHost([agent for each in watched for agent in each.agents])
        host.setup()
    except VPollerError as error:
        reporter.send(Failed(VAULT.hide(error.message)))
        return None
    except Exception as error:
        log.exception("setup failed")
        text = VAULT.hide(f"{type(error).__name__}: {error}")
        reporter.send(Failed(f"the agents cannot be set up: {text}"))
        return None
    return _Ready(host, watched, credentials)


def _lanes(start: Start, ready: _Ready, keeper: Keeper, context: Context) -> Lanes:
    settings = start.settings.worker
    told: dict[str, str] = {}

    def make(hosts: Hosts, offers: list[Offer], count: int) -> WorkerLoop:
        return WorkerLoop(
            settings,
            Identity(label_of(start.label, hosts), secrets.token_hex(16), os.getpid()),
            ready.host,
            offers,
            keeper,
            context,
            ready.credentials,
            count,
            told,
        )

    remember = settings.remember_bytes, settings.remember_count
    return Lanes(ready.host, make, keeper.over, remember)


def _guard(start: Start) -> Guard:
    return Guard(start.settings.worker.stuck_ms / 1000)


def _restore_environment(start: Start) -> None:
    """Give programs that tasks start the path that this one's user had set."""
    if start.pythonpath is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = start.pythonpath


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(
        level=level, format=f"%(asctime)s %(levelname)-7s %(name)s[{os.getpid()}]: %(message)s"
    )
    guard_logs()


def _die_with_parent(number: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _end(code: int) -> None:
    """End the process. Not by returning: a thread that is stuck need not be waited for."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
