"""A simulated worker's machine: processes around the real core, and who restarts them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.network import CLOSED, Connection, Path
from tests.simulation.sim_executor import Executions, SimExecutor
from tests.simulation.world import World
from vpoller_like.config import WorkerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev
from vpoller_like.worker.core import Identity, WorkerCore

if TYPE_CHECKING:
    from tests.simulation.sim_broker import BrokerPlace

#: Seconds between two tries to connect.
RECONNECT = 0.1


class Dealer:
    """A process's socket to one broker: it connects, and connects again, by itself."""

    def __init__(
        self,
        world: World,
        broker: BrokerPlace,
        path: Path,
        receive: Callable[[Any], None],
    ) -> None:
        self.path = path
        self.broker = broker
        self.connection: Connection | None = None
        self._world = world
        self._receive = receive
        self._open = True
        world.after(path.typical, self._connect)

    def _connect(self) -> None:
        if not self._open or self.connection is not None:
            return
        life = self.broker.life
        if life is None or not self.path.is_open:
            self._world.after(RECONNECT * (1 + self._world.dice.random()), self._connect)
            return
        self.path.trouble()
        self.connection = life.accept(self.path, self._arrived)
        self.path.connections.append(self.connection)

    def _arrived(self, connection: Connection, frames: Any) -> None:
        if connection is not self.connection:
            return
        if frames is CLOSED:
            self.lost()
        else:
            self._receive(frames)

    def lost(self) -> None:
        """The connection is gone, and this end knows it."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        self.path.trouble()
        self.path.connections.remove(connection)
        self._world.after(RECONNECT * (1 + 4 * self._world.dice.random()), self._connect)

    def send(self, frames: tuple[bytes, ...]) -> bool:
        """Put a message on its way; False where no broker is connected."""
        if self.connection is None:
            return False
        self.connection.up.send(frames)
        return True

    def close(self, told: bool) -> None:
        """The process is gone; ``told`` says whether the broker's machine hears of it."""
        self._open = False
        if self.connection is None:
            return
        self.path.trouble()
        self.path.connections.remove(self.connection)
        if told:
            self.connection.up.send(CLOSED)
            self.connection.down.cut()
        else:
            self.connection.cut()
            # The kernel's probes notice it, in the end.
            connection, life = self.connection, self.broker.life
            if life is not None:
                self._world.after(3.0 + self._world.dice.random(), life.closed, connection)
        self.connection = None


class WorkerProcess:
    """One process around one core. ``ended`` is told how it came to its end."""

    def __init__(
        self,
        world: World,
        name: str,
        settings: WorkerSettings,
        offers: list[wire.Offer],
        brokers: list[BrokerPlace],
        paths: list[Path],
        executions: Executions,
        place: WorkerPlace,
    ) -> None:
        self.name = name
        self.alive = True
        self.place = place
        #: When it was stopped for the last time, or went on; monotonic seconds.
        self.stopped_at = float("-inf")
        self._world = world
        self.instance = f"instance-{name}"
        self.core = WorkerCore(settings, Identity(name, self.instance, 1), offers)
        self.executor = SimExecutor(world, executions, name, settings.threads, self._turn)
        self.dealers = [
            Dealer(world, broker, path, lambda frames, link=link: self._receive(link, frames))
            for link, (broker, path) in enumerate(zip(brokers, paths, strict=True))
        ]
        self._backlog: deque[Callable[[], None]] = deque()
        self._due = float("inf")
        self._turn()

    @property
    def stopped(self) -> bool:
        """Whether it stands still."""
        return self.executor.paused

    # What happens to it ----------------------------------------------------------------

    def stop(self) -> None:
        """Let it stand still, with everything in it."""
        self.stopped_at = float("inf")
        self.executor.paused = True

    def resume(self) -> None:
        """Let it go on where it was."""
        if not self.alive or not self.stopped:
            return
        self.stopped_at = self._world.now
        self.executor.resume()
        backlog, self._backlog = self._backlog, deque()
        for call in backlog:
            call()
        self._turn()

    def die(self, told: bool) -> None:
        """End it at once; ``told`` says whether its brokers' machines hear of it."""
        self.alive = False
        self.executor.dead = True
        for dealer in self.dealers:
            dealer.close(told)

    def drain(self) -> None:
        """Ask it to finish what it has, and end."""
        self._when_going(lambda: self._feed(ev.DrainRequested()))

    # Its loop --------------------------------------------------------------------------

    def _when_going(self, call: Callable[[], None]) -> None:
        if self.stopped:
            self._backlog.append(call)
        elif self.alive:
            call()

    def _receive(self, link: int, frames: list[bytes]) -> None:
        self._when_going(lambda: self._take(link, frames))

    def _take(self, link: int, frames: list[bytes]) -> None:
        message = wire.decode_from_broker(list(frames))
        self._feed(ev.Received(link, message))
        self._turn()

    def _turn(self) -> None:
        if self.stopped or not self.alive:
            return
        progress = self.executor.progress()
        if progress is not None:
            self._feed(progress)
        self._feed(ev.Tick())
        self._sleep()

    def _sleep(self) -> None:
        due = self.core.next_due(self._world.now)
        if due is None or not self.alive:
            return
        # A clock that has been read is a little later than it was asked for.
        due = max(due, self._world.now + 0.00005)
        if self._due <= self._world.now or due < self._due:
            self._due = due
            self._world.at(due, self._wake, due)

    def _wake(self, due: float) -> None:
        if due == self._due:
            self._due = float("inf")
            self._turn()

    def _feed(self, event: ev.Event) -> None:
        actions = deque(self.core.handle(event, self._world.now))
        while actions:
            follow = self._act(actions.popleft())
            if follow is not None:
                actions.extend(self.core.handle(follow, self._world.now))

    def _act(self, action: ev.Action) -> ev.Event | None:
        """Do what the core wants, as the real loop does; return what comes of it."""
        match action:
            case ev.Send():
                return self._send(action)
            case ev.Submit():
                self.executor.submit(action.runs)
            case ev.Recall():
                keys = self.executor.take_back(list(action.keys))
                return ev.Recalled(keys) if keys else None
            case ev.Replace():
                self.place.replace(self, action.seconds)
            case ev.Exit():
                self._world.note(self.name, "exit", action.reason)
                self._world.seen[f"exits {action.reason}"] += 1
                self.die(told=True)
                self.place.ended(self)
        return None

    def _send(self, action: ev.Send) -> ev.Event | None:
        frames = wire.encode(action.message)
        self._world.note(self.name, f"to {action.link}", action.message)
        if self.dealers[action.link].send(frames):
            return None
        return ev.Unsent(action.link, action.message)


class WorkerPlace:
    """A place for worker processes, and their supervisor: one that ends is replaced."""

    def __init__(
        self,
        world: World,
        name: str,
        settings: WorkerSettings,
        offers: list[wire.Offer],
        brokers: list[BrokerPlace],
        executions: Executions,
    ) -> None:
        self.name = name
        self.paths = [Path(world, world.spread(0.0002, 0.02)) for _ in brokers]
        #: All that ever ran here, in order; the last one serves.
        self.processes: list[WorkerProcess] = []
        self._world = world
        self._settings = settings
        self._offers = offers
        self._brokers = brokers
        self._executions = executions
        self._start()

    @property
    def process(self) -> WorkerProcess | None:
        """The process that serves here now."""
        last = self.processes[-1]
        return last if last.alive else None

    @property
    def is_busy(self) -> bool:
        """Whether it runs something."""
        process = self.process
        return process is not None and process.executor.is_busy

    @property
    def living(self) -> list[WorkerProcess]:
        """All processes here: one that is stuck may live beside the one that serves."""
        return [process for process in self.processes if process.alive]

    def _start(self) -> None:
        name = f"{self.name}.{len(self.processes)}"
        process = WorkerProcess(
            self._world,
            name,
            self._settings,
            self._offers,
            self._brokers,
            self.paths,
            self._executions,
            self,
        )
        self.processes.append(process)

    def crash(self, told: bool) -> None:
        """Kill what serves here."""
        process = self.process
        if process is not None:
            self._kill(process, told)
            self.ended(process)

    def ended(self, process: WorkerProcess) -> None:
        """A process is gone; if it served, another one starts."""
        if process is self.processes[-1]:
            self._world.after(0.2 + self._world.dice.random(), self._restart, process)

    def _restart(self, process: WorkerProcess) -> None:
        if process is self.processes[-1]:
            self._start()

    def replace(self, process: WorkerProcess, seconds: float) -> None:
        """``process`` has a run that never returns: start another one, and kill it in time."""
        self._world.seen["stuck processes"] += 1
        self._world.after(seconds, self._kill_late, process)
        if process is self.processes[-1]:
            self._world.after(0.05, self._restart, process)

    def _kill_late(self, process: WorkerProcess) -> None:
        if process.alive:
            self._kill(process, told=True)

    def _kill(self, process: WorkerProcess, told: bool) -> None:
        self._world.note(process.name, "killed", "told" if told else "untold")
        process.die(told)
