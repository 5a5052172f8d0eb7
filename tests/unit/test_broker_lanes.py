"""A process that serves several hosts is several workers to the broker, and one to people."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.core import Player, Stage
from tests.unit.test_broker_reports import Desk
from vpoller_like.broker.named import name_of, process_of
from vpoller_like.broker.routing import Directory
from vpoller_like.cli.checks.brokers import served
from vpoller_like.protocol import worker as wire


@pytest.mark.parametrize(
    ("label", "process", "name"),
    [
        ("node/0", "node/0", "node"),
        ("node/0:vc01", "node/0", "node"),
        ("node/12:http://vc01/1:2", "node/12", "node"),
        ("rack/7/0:10", "rack/7/0", "rack/7"),
        ("rack:7/0", "rack:7/0", "rack:7"),
        ("node/0:two\nlines", "node/0", "node"),
        ("node", "node", "node"),
        ("node:vc01", "node:vc01", "node:vc01"),
        ("/0", "/0", "/0"),
    ],
)
def test_a_label_names_worker_process_and_host(label: str, process: str, name: str) -> None:
    assert (process_of(label), name_of(label)) == (process, name)


@pytest.mark.parametrize("asked", ["node", "node/0", "node/1:b"])
def test_a_worker_is_drained_with_all_its_hosts(asked: str) -> None:
    stage = Stage()
    lanes = [Player(stage, name=f"node/{process}:{host}") for process in (0, 1) for host in "ab"]
    Player(stage, name="other/0:a")
    told = Desk(stage)("worker.drain", name=asked)
    assert told == {"name": "node", "processes": ["node/0", "node/1"], "held": 0}
    shut = [tell.peer for tell in stage.told if type(tell.message) is wire.Shutdown]
    assert shut == [lane.peer for lane in lanes]


def test_processes_are_counted_whatever_they_serve() -> None:
    stage = Stage()
    for label in ("node/0:a", "node/0:b", "node/1:a", "other"):
        Player(stage, name=label)
    status = Desk(stage)("status")
    assert (status["workers"], status["processes"]) == (4, 3)
    assert served(status).text == "registered: 4 workers in 3 processes, 0 plain workers"
    assert served({"workers": 2, "processes": 2}).text == "registered: 2 workers, 0 plain workers"


def offers(host: str, *methods: str) -> list[wire.Offer]:
    """Return offers as they come off the wire: equal ones are different objects."""
    made = wire.Offer(agent="x", methods=[wire.Method(name=m) for m in methods], hosts=[host])
    return msgspec.msgpack.decode(msgspec.msgpack.encode([made]), type=list[wire.Offer])


def test_workers_that_differ_in_their_host_alone_share_what_describes_their_methods() -> None:
    directory = Directory(30.0)
    first, _ = directory.pool(b"1", offers("a", "x.get", "x.list"))
    second, _ = directory.pool(b"2", offers("b", "x.get", "x.list"))
    third, _ = directory.pool(b"3", offers("c", "x.get"))
    assert second.offers[0].methods is first.offers[0].methods
    assert [pool.hosts("x.get") for pool in (first, second, third)] == [{"a"}, {"b"}, {"c"}]
    assert sorted(third.methods) == ["x.get"]
