"""``make demo``: start everything on this machine, ask it in three ways, end it.

What is answered is compared with what /proc says; any difference ends the demo with 1.
Where Go and govmomi are there, a simulated vCenter is asked, too.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asking import from_a_socket, from_python, from_the_shell
from fabric import Fabric, NotHappened, command_of, eventually
from vcenter import VMS, VCenter, simulated

from vpoller_like.cli.tables import render


def main() -> int:
    """Tell the story; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="vpoller-demo-") as place:
        _forget_settings(place)
        with simulated(Path(place)) as vcenter:
            return _tell(vcenter)


def _forget_settings(place: str) -> None:
    """Let neither the user's files nor variables change the story."""
    for name in [name for name in os.environ if name.startswith("VPOLLER_")]:
        del os.environ[name]
    os.environ["XDG_CONFIG_HOME"] = place
    os.chdir(place)


def _tell(vcenter: VCenter | str) -> int:
    fabric = Fabric() if isinstance(vcenter, str) else Fabric("system,vsphere", vcenter.settings)
    try:
        with fabric:
            _introduce(fabric)
            _ask_from_python(fabric)
            _ask_from_the_shell(fabric)
            _ask_from_a_socket(fabric)
            _ask_of_a_vcenter(fabric, vcenter)
            _show_work(fabric)
        _verify_the_end(fabric)
    except Exception as error:
        print(f"{fabric.log}\nError: the demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _introduce(fabric: Fabric) -> None:
    _say("A broker and two worker processes are up", fabric.endpoints)


def _ask_from_python(fabric: Fabric) -> None:
    status = from_python(fabric.endpoints["frontend"], "system.status")
    _check("the host name", status["host"]["name"], platform.node())
    _check("the memory", status["memory"]["total_bytes"], _total_memory())
    host, memory = status["host"], status["memory"]
    _say(
        'Python: VPollerClient(endpoint).call("system.status")',
        {
            "host name": host["name"],
            "system": f"{host['distribution']}, {host['system']} {host['release']}",
            "cores": status["cpu"]["cores"],
            "memory, MiB": memory["total_bytes"] >> 20,
            "memory in use, %": memory["percent"],
            "processes": status["processes"]["total"],
        },
    )


def _ask_from_the_shell(fabric: Fabric) -> None:
    processes = from_the_shell(fabric.endpoints["frontend"], "system.process.list")
    ours = [process for process in processes if process["pid"] in fabric.pids]
    _check("our processes", {process["pid"] for process in ours}, fabric.pids)
    for process in ours:
        _check(f"process {process['pid']}", process["command_line"], command_of(process["pid"]))
    _say(
        "Shell: vpoller call system.process.list (those that this demo started)",
        [
            {
                "pid": process["pid"],
                "memory, MiB": process["rss_bytes"] >> 20,
                "threads": process["threads"],
                "command": _short(process["command_line"]),
            }
            for process in ours
        ],
    )


def _ask_from_a_socket(fabric: Fabric) -> None:
    disk = from_a_socket(fabric.endpoints["frontend"], "system.disk.get", path="/")
    size = os.statvfs("/")
    _check("the size of /", disk["total_bytes"], size.f_blocks * size.f_frsize)
    _say(
        'A bare REQ socket: {"method": "system.disk.get", "path": "/"}',
        {
            "mount point": disk["path"],
            "file system": disk["fstype"],
            "size, GiB": disk["total_bytes"] >> 30,
            "in use, %": disk["percent"],
        },
    )


def _ask_of_a_vcenter(fabric: Fabric, vcenter: VCenter | str) -> None:
    if isinstance(vcenter, str):
        print(f"\nNo vCenter is shown: {vcenter}.")
        return
    frontend, hostname = fabric.endpoints["frontend"], vcenter.hostname
    found = from_python(frontend, "vm.discover", hostname=hostname)
    _check("the virtual machines", len(found), VMS)
    name, properties = found[0]["name"], ["runtime.powerState", "config.hardware.memoryMB"]
    asked = [f"name={name}", f"properties:={json.dumps(properties)}", "-H", hostname]
    machine = from_the_shell(frontend, "vm.get", *asked)[0]
    _check("the virtual machine", machine["name"], name)
    _say(
        "A simulated vCenter: vm.discover from Python, vm.get from the shell",
        {"virtual machines": len(found), **machine},
    )


def _show_work(fabric: Fabric) -> None:
    shown = ("label", "pid", "methods", "slots", "done")
    workers = [{key: worker[key] for key in shown} for worker in fabric.look("workers")]
    _say("Who did the work: vpoller workers", workers)


def _verify_the_end(fabric: Fabric) -> None:
    eventually(lambda: not fabric.left(), f"the processes {sorted(fabric.left())} have ended")
    eventually(lambda: not fabric.served(), f"the ports {fabric.served()} are closed")
    print(
        f"\nAll ended: {len(fabric.pids)} processes are gone from /proc, "
        f"{len(fabric.endpoints)} ports are closed. What was answered agrees with /proc."
    )


def _say(title: str, data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    print(f"\n{title}\n")
    print("".join(f"  {line}\n" for line in render(data).splitlines()), end="")


def _check(what: str, answered: object, really: object) -> None:
    if answered != really:
        raise NotHappened(f"{what}: answered {answered!r}, but really {really!r}")


def _total_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemTotal:")).split()[1]) * 1024


def _short(command: str) -> str:
    return f"... {command.partition(' -m ')[2][:56]} ..." if " -m " in command else command[:64]


if __name__ == "__main__":
    sys.exit(main())
