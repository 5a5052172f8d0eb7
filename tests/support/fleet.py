"""A fabric whose worker serves the hosts of a file: see ``tests/support/agents/fleet``."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from tests.support.fabric import Fabric, Running, eventually
from tests.support.req import Req, ask


class Fleet:
    """The hosts, and who asks for them. ``fabric``'s processes are to be started here."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self._hosts = fabric.place / "hosts"
        self.diary = fabric.place / "diary"
        (fabric.place / "vpoller.toml").write_text(
            f'[agents.fleet]\nhosts = "{self._hosts}"\ndiary = "{self.diary}"\n'
        )

    def have(self, *lines: str) -> None:
        """Let there be these hosts from now on."""
        new = self._hosts.with_name("hosts.new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self._hosts)

    def change(self, *lines: str) -> None:
        """Let there be these from now on, and have the worker look at once."""
        self.have(*lines)
        self._worker.send(signal.SIGHUP)

    def start(self, *lines: str, wait: bool = True, **options: Any) -> Running:
        """Start a worker for these hosts, and ``wait`` until all of them are served."""
        self.have(*lines)
        self._worker = self.fabric.start_worker(agents="fleet", wait=False, **options)
        if wait:
            processes = options.get("processes", 1)
            self.until_served(*(line.partition(" ")[0] for line in lines), processes=processes)
        return self._worker

    def served(self) -> list[str]:
        """Return the hosts that workers who take tasks serve, one of each worker."""
        ready = [worker for worker in self.fabric.workers() if worker["state"] == "ready"]
        return sorted(host for worker in ready for host in worker["hosts"])

    def until_served(self, *hosts: str, processes: int = 1) -> None:
        """Wait until these hosts are served, and no others."""
        eventually(lambda: self.served() == sorted(hosts * processes), f"{hosts} are served")

    def ask(self, method: str, host: str | None = None, **fields: Any) -> dict[str, Any]:
        """Ask once and return the envelope."""
        return ask(self.fabric.frontend, self.request(method, host, **fields))

    def request(self, method: str, host: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return a request; with no ``host`` it names none."""
        named = {} if host is None else {"hostname": host}
        return {"method": f"fleet.{method}", **named, **fields}

    def send(self, method: str, host: str, **fields: Any) -> Req:
        """Ask, and return what the reply will come to."""
        req = Req(self.fabric.frontend)
        req.send(self.request(method, host, **fields))
        return req

    def wrote(self, line: str) -> bool:
        """Say whether the agents' diary has this line."""
        return self.diary.exists() and line in self.diary.read_text().splitlines()


class Asking:
    """Somebody who asks one host again and again, as long as the block lasts."""

    def __init__(self, fleet: Fleet, host: str, method: str = "who", **fields: Any) -> None:
        self._request = fleet.request(method, host, **fields)
        self._frontend = fleet.fabric.frontend
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.replies: list[dict[str, Any]] = []

    def _run(self) -> None:
        with Req(self._frontend) as req:
            while not self._over.is_set():
                req.send(self._request)
                self.replies.append(req.receive())

    def refused(self) -> list[str]:
        """Return the sentences of all replies that are none to what was asked."""
        return [reply["msg"] for reply in self.replies if reply["success"] != 0]

    def __enter__(self) -> Asking:
        self._thread.start()
        eventually(lambda: self.replies, "the first reply")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def marks(file: Path) -> int:
    """Return how many runs have left a mark in ``file``."""
    return len(file.read_text()) if file.exists() else 0


class Waiting:
    """Tasks of one host that run, and that end once the block does or :meth:`release` is called."""

    def __init__(self, fleet: Fleet, host: str, place: Path, count: int = 1) -> None:
        self._fleet, self._host, self._count = fleet, host, count
        name = f"{host}-{os.urandom(4).hex()}"
        self._mark, self._gate = place / f"{name}.mark", place / f"{name}.gate"
        self._asked: list[Req] = []

    def __enter__(self) -> Waiting:
        fields = {"mark": str(self._mark), "until": str(self._gate)}
        for _ in range(self._count):
            self._asked.append(self._fleet.send("once", self._host, **fields))
        what = f"{self._count} tasks of {self._host} run"
        eventually(lambda: marks(self._mark) == self._count, what)
        return self

    def release(self) -> None:
        """Let them end."""
        self._gate.touch()

    def replies(self) -> list[dict[str, Any]]:
        """Return the replies, in no particular order."""
        return [req.receive() for req in self._asked]

    def __exit__(self, *_: object) -> None:
        self.release()
        for req in self._asked:
            req.close()


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of ``values`` does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
