"""The lanes of one process: for each set of hostnames a worker of its own.

A host that keeps its tasks waiting fills the slots of its own lane, and no other's. To brokers
each lane is a worker: it says HELLO, has slots and threads, and is lost or drained by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from vpoller_like.agent import Agent, AgentHost
from vpoller_like.agent.host import offers_of
from vpoller_like.files import file_limit, open_files, raise_file_limit
from vpoller_like.protocol.limits import MAX_LABEL
from vpoller_like.protocol.worker import Offer
from vpoller_like.worker.loop import WorkerLoop

log = logging.getLogger("vpoller.worker")

#: Descriptors of a lane: six for itself with one broker, three more with each other one, and
#: what its agents open.
LANE_FILES = 24
#: With fewer for each that is new, not all of them are started.
SCANT_FILES = 12
#: Those of the process itself; a quarter of all, where that is less.
SPARE_FILES = 256

#: Hosts that a complaint names.
LISTED = 10

#: The hostnames of a lane's agents, sorted; ``None`` is any.
Hosts = tuple[str, ...] | None
#: Makes the loop that serves these offers for these hosts, one of so many lanes.
MakeLoop = Callable[[Hosts, list[Offer], int], WorkerLoop]


class Lane:
    """Agents that share hostnames, and the loop that serves them."""

    def __init__(self, hosts: Hosts, agents: list[Agent], loop: WorkerLoop) -> None:
        self.hosts = hosts
        self.agents = agents
        self.loop = loop
        #: Others have taken over, or nobody is to.
        self.is_retiring = False

    def serves(self, agents: Sequence[Agent] | None) -> bool:
        """Say whether ``agents`` are the ones here."""
        return list(map(id, self.agents)) == list(map(id, agents or ()))


class Lanes:
    """Has a lane for each set of hostnames. All of it in one thread.

    ``host`` runs the requests, of all lanes: it knows all agents. ``over`` is called by a
    lane's own thread when it has ended, with what it raised; then call :meth:`drop`.
    """

    def __init__(
        self,
        host: AgentHost,
        make: MakeLoop,
        over: Callable[[Lane, BaseException | None], None],
        remember: tuple[int, int],
    ) -> None:
        self._host = host
        self._make = make
        self._over = over
        #: Bytes and number of the results that all lanes together remember.
        self._remember = remember
        self._lanes: list[Lane] = []

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes))

    def serve(self, agents: Sequence[Agent]) -> list[Agent]:
        """Serve ``agents`` from now on; return those of before that nobody needs any more.

        Lanes are started for what is new, as far as there are files for them: one more could
        end the whole process. Those of agents that are not among them any more finish what
        they run, and end.
        """
        before, wanted = self._host.agents, _by_hosts(agents)
        going = [lane for lane in self._serving() if not lane.serves(wanted.get(lane.hosts))]
        for lane in going:
            lane.is_retiring = True
        self._host.renew(agents, self._leaving(agents))
        _allow_files(len(wanted) + len(going))
        present = {lane.hosts for lane in self._serving()}
        left = self._left_out([hosts for hosts in wanted if hosts not in present], going)
        for hosts, sharing in wanted.items():
            if hosts not in present and hosts not in left:
                self._start(hosts, sharing, len(wanted))
        # After the others have begun to say HELLO: so nobody waits for longer than that takes.
        for lane in going:
            lane.loop.retire()
        self._share_memory()
        return self._needless(before)

    def drop(self, lane: Lane) -> list[Agent]:
        """``lane`` has ended: close it; return its agents that nobody needs any more."""
        self._lanes.remove(lane)
        lane.loop.close()
        gone = self._needless(lane.agents)
        serving = self._host.agents
        # Once for all that leave, as it takes 180 ms of 1000 hosts: brokers send nothing for a
        # host that has no lane, unless some agent is for any.
        asked = any(agent.hostnames is None for agent in (*gone, *serving))
        if gone and (asked or not self._leaving(serving)):
            self._host.renew(serving, self._leaving(serving))
        return gone

    def knows(self, agent: Agent) -> bool:
        """Say whether ``agent`` serves here, or some lane still has it."""
        return not self._needless([agent])

    def drain(self) -> None:
        """Have all lanes finish what runs, and end; at once, the second time."""
        for lane in self._lanes:
            lane.loop.drain()

    def retire(self) -> None:
        """Have all lanes finish what runs, however long that takes, and end."""
        for lane in self._serving():
            lane.is_retiring = True
            lane.loop.retire()

    def oldest_pulse(self, now: float) -> float:
        """Return when the lane that has stood still for longest showed that it runs."""
        return min((lane.loop.pulse for lane in self._lanes), default=now)

    def excuse(self, seconds: float) -> None:
        """The whole process has been held up for so long: that is no lane's fault."""
        for lane in self._lanes:
            lane.loop.pulse += seconds

    def longest_timeout(self) -> float:
        """Return how many seconds a task may take that is given to any lane."""
        methods = (method for offer in self._host.offers() for method in offer.methods)
        return max((method.timeout_ms / 1000 for method in methods), default=0.0)

    def _start(self, hosts: Hosts, agents: list[Agent], count: int) -> None:
        lane = Lane(hosts, agents, self._make(hosts, offers_of(agents), count))
        self._lanes.append(lane)
        lane.loop.start(lambda failure: self._over(lane, failure))

    def _left_out(self, new: Sequence[Hosts], going: Sequence[Lane]) -> set[Hosts]:
        """Return those of the ``new`` that there are no files for; say so."""
        replaced = {lane.hosts for lane in going}
        left = [hosts for hosts in new if hosts not in replaced][_room() :]
        if left:
            named = ", ".join(host for hosts in left[:LISTED] for host in hosts or ["any"])
            log.error(
                "%d hosts are not served, for want of open files: %s%s",
                len(left),
                named,
                " and others" if len(left) > LISTED else "",
            )
        return set(left)

    def _serving(self) -> list[Lane]:
        return [lane for lane in self._lanes if not lane.is_retiring]

    def _needless(self, agents: Sequence[Agent]) -> list[Agent]:
        """Return those of ``agents`` that do not serve, and that no lane has any more."""
        needed = {id(agent) for lane in self._lanes for agent in lane.agents}
        needed |= {id(agent) for agent in self._host.agents}
        return [agent for agent in agents if id(agent) not in needed]

    def _leaving(self, agents: Sequence[Agent]) -> list[Agent]:
        """Return the agents that lanes still have and that are not among ``agents``."""
        staying = {id(agent) for agent in agents}
        found = {id(agent): agent for lane in self._lanes for agent in lane.agents}
        return [agent for key, agent in found.items() if key not in staying]

    def _share_memory(self) -> None:
        max_bytes, max_count = self._remember
        lanes = max(1, len(self._serving()))
        for lane in self._lanes:
            lane.loop.remember(max_bytes // lanes, max_count // lanes)


def _allow_files(lanes: int) -> None:
    wanted = SPARE_FILES + lanes * LANE_FILES
    allowed = raise_file_limit(wanted)
    if allowed < wanted:
        log.warning(
            "%d hosts may need %d open files, and the system allows %d; raise the hard limit "
            "(LimitNOFILE in the service, or ulimit -Hn), or serve fewer hosts in one process",
            lanes,
            wanted,
            allowed,
        )


def _room() -> int:
    """Return how many lanes may be started now."""
    limit = file_limit()
    return max(0, limit - open_files() - min(SPARE_FILES, limit // 4)) // SCANT_FILES


def label_of(process: str, hosts: Hosts) -> str:
    """Return the label of a lane of ``process``: ``node/0:vc01`` for one that serves vc01."""
    if hosts is None:
        return process
    return f"{process}:{','.join(hosts)}"[:MAX_LABEL]


def _by_hosts(agents: Iterable[Agent]) -> dict[Hosts, list[Agent]]:
    found: dict[Hosts, list[Agent]] = {}
    for agent in agents:
        hosts = None if agent.hostnames is None else tuple(sorted(set(agent.hostnames)))
        found.setdefault(hosts, []).append(agent)
    return found
