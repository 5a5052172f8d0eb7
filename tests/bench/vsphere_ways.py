"""Three ways to ask a vCenter the same things; a program that runs one of them.

::

    python vsphere_ways.py ours|vpoller|naive HOST PORT USER PASSWORD

It prints ``ready``, then reads jobs from standard input, a line of JSON each, and answers
each with the seconds that it took and a digest of what was found. It knows nothing of the
rest of the suite, for it runs in other environments as well.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

Names = Sequence[str]
#: The object's name and its properties, or a measured value's fields.
Rows = list[dict[str, Any]]


class Ours:
    """The agent as a program has it at hand, without a broker."""

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        from workers.vsphere import VSphereAgent

        self._agent = VSphereAgent(user, password, host, port, verify=False)
        self._agent.connect()

    def discover(self, properties: Names) -> Rows:
        return _result(self._agent.vm_discover({"properties": properties}))

    def get(self, name: str, properties: Names) -> Rows:
        return _result(self._agent.vm_get({"name": name, "properties": properties}))

    def get_many(self, names: Names, properties: Names) -> Rows:
        return _result(self._agent.vm_get({"names": names, "properties": properties}))

    def datastore_vms(self, url: str) -> Rows:
        return _result(self._agent.datastore_vm_get({"name": url}))

    def perf(self, names: Names, counters: Names) -> Rows:
        asked = {"names": names, "counters": counters}
        return _result(self._agent.vm_perf_metric_get(asked))

    def close(self) -> None:
        self._agent.disconnect()


class VPoller:
    """vPoller's own tasks on its own connection, with its cache of objects switched on.

    What its worker and proxy cost is left out.
    """

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        import vpoller.vsphere.tasks  # noqa: F401
        from vconnector.core import VConnector
        from vpoller.task.registry import registry

        self._tasks = registry
        self._agent = VConnector(
            user=user, pwd=password, host=host, port=port, cache_enabled=True, cache_ttl=3600
        )
        self._agent.connect()

    def discover(self, properties: Names) -> Rows:
        return self._ask("vm.discover", properties=["name", *properties])

    def get(self, name: str, properties: Names) -> Rows:
        return self._ask("vm.get", name=name, properties=["name", *properties])

    def get_many(self, names: Names, properties: Names) -> Rows:
        return [row for name in names for row in self.get(name, properties)]

    def datastore_vms(self, url: str) -> Rows:
        return self._ask("datastore.vm.get", name=url)

    def perf(self, names: Names, counters: Names) -> Rows:
        found: Rows = []
        for name in names:
            for counter in counters:
                asked = {"name": name, "counter-name": counter}
                found += self._ask("vm.perf.metric.get", **asked)
        return found

    def close(self) -> None:
        self._agent.disconnect()

    def _ask(self, method: str, **params: Any) -> Rows:
        message = {"method": method, "hostname": self._agent.host, **params}
        reply = self._tasks.get(method).function(self._agent, message)
        # Its worker sends text, and so does ours.
        return _result(json.loads(json.dumps(reply, ensure_ascii=False)))


class Naive:
    """A loop over pyVmomi's objects, whose every property is a call."""

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        from pyVim.connect import Disconnect, SmartConnect
        from pyVmomi import vim

        self._vim = vim
        context = ssl._create_unverified_context()
        self._service = SmartConnect(
            host=host, port=port, user=user, pwd=password, sslContext=context
        )
        self._disconnect = Disconnect
        self._content = self._service.RetrieveContent()

    def discover(self, properties: Names) -> Rows:
        return [_naive_row(each, each.name, properties) for each in self._all("VirtualMachine")]

    def get(self, name: str, properties: Names) -> Rows:
        return self.get_many([name], properties)

    def get_many(self, names: Names, properties: Names) -> Rows:
        return [_naive_row(each, name, properties) for name, each in self._named(names)]

    def datastore_vms(self, url: str) -> Rows:
        for datastore in self._all("Datastore"):
            if datastore.info.url == url:
                return [{"name": each.name} for each in datastore.vm]
        return []

    def perf(self, names: Names, counters: Names) -> Rows:
        manager = self._content.perfManager
        known = {_counter_name(each): each.key for each in manager.perfCounter}
        metric = self._vim.PerformanceManager.MetricId
        metrics = [metric(counterId=known[each], instance="") for each in counters]
        found: Rows = []
        for _, machine in self._named(names):
            spec = self._vim.PerformanceManager.QuerySpec(
                entity=machine, metricId=metrics, intervalId=20, maxSample=1
            )
            for entity in manager.QueryPerf(querySpec=[spec]):
                found += [{"value": value} for each in entity.value for value in each.value]
        return found

    def close(self) -> None:
        self._disconnect(self._service)

    def _all(self, kind: str) -> Iterable[Any]:
        view = self._content.viewManager.CreateContainerView(
            self._content.rootFolder, [getattr(self._vim, kind)], True
        )
        try:
            yield from view.view
        finally:
            view.Destroy()

    def _named(self, names: Names) -> Iterable[tuple[str, Any]]:
        left = set(names)
        for each in self._all("VirtualMachine"):
            name = each.name
            if name in left:
                yield name, each
                left.remove(name)
                if not left:
                    return


def _naive_row(managed: Any, name: str, properties: Names) -> dict[str, Any]:
    return {"name": name, **{path: _follow(managed, path) for path in properties}}


def _follow(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = getattr(value, step)
    return value


def _counter_name(counter: Any) -> str:
    parts = (counter.groupInfo.key, counter.nameInfo.key, counter.unitInfo.key)
    return ".".join((*parts, counter.rollupType))


def _result(reply: dict[str, Any]) -> Rows:
    if reply["success"]:
        raise RuntimeError(reply["msg"])
    rows: Rows = reply["result"]
    return rows


WAYS = {"ours": Ours, "vpoller": VPoller, "naive": Naive}


def digest(rows: Rows) -> str:
    """Return a word that is the same for the same answer; of measured values, for as many."""
    if rows and "value" in rows[0]:
        return f"{len(rows)} values"
    text = json.dumps(sorted([sorted(row.items()) for row in rows], key=str), default=str)
    return f"{len(rows)} objects, {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def main() -> None:
    """Do the jobs that come on standard input, until it is closed."""
    name, host, port, user, password = sys.argv[1:]
    way = WAYS[name](host, int(port), user, password)
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        started = time.perf_counter()
        try:
            rows = getattr(way, job["do"])(**job["with"])
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
            continue
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "answer": digest(rows)}), flush=True)
    way.close()


if __name__ == "__main__":
    main()
