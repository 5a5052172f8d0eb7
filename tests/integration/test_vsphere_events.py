"""Events, and following them, on a simulated vCenter."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.vcsim import Simulator, agent_for, result, running

pytest.importorskip("pyVmomi")

from workers.vsphere import VSphereAgent

MACHINE, OTHER = "DC0_C0_RP0_VM0", "DC0_C0_RP0_VM1"
ON, OFF = "VmPoweredOnEvent", "VmPoweredOffEvent"
#: Long before all that the simulator does by itself.
PAST = datetime(2020, 11, 1, 12, 0, 0, 1234, tzinfo=UTC)


@pytest.fixture
def vcenter() -> Iterator[Simulator]:
    with running(vms=2, hosts=1) as simulator:
        yield simulator


@pytest.fixture
def agent(vcenter: Simulator) -> Iterator[VSphereAgent]:
    agent = agent_for(vcenter)
    # Logging in is an event, too.
    agent.connect()
    yield agent
    agent.teardown()


@pytest.fixture(scope="module")
def idle() -> Iterator[VSphereAgent]:
    """The agent of a vCenter that nothing is done with."""
    with running(vms=1, hosts=1) as simulator:
        agent = agent_for(simulator)
        yield agent
        agent.teardown()


class Follower:
    """A client that goes on from the cursor of each answer."""

    def __init__(self, agent: VSphereAgent, **given: Any) -> None:
        self._agent = agent
        self._given = given
        self._had: set[int] = set()
        self.more = False

    def read(self, most: int = 100) -> list[int]:
        """Return the keys of the next events, none of which was there before."""
        answer = result(self._agent.event_list({**self._given, "max": most}))
        self._given = {"cursor": answer["cursor"]}
        self.more = answer["more"]
        assert self._had.isdisjoint(keys(answer)), "an event is repeated"
        self._had.update(keys(answer))
        return keys(answer)

    def drain(self, most: int) -> list[int]:
        """Return the keys of all events until there are no more."""
        found = self.read(most)
        while self.more:
            found += self.read(most)
        return found


def keys(answer: dict[str, Any]) -> list[int]:
    return [event["key"] for event in answer["events"]]


def served(vcenter: Simulator) -> dict[str, int]:
    """Return the calls since the last time, but for those that wait for changes of names."""
    calls = vcenter.calls(again=True)
    calls.pop("WaitForUpdatesEx", None)
    return calls


def listed(agent: VSphereAgent, **given: Any) -> Any:
    return result(agent.event_list(given))


def test_the_latest_event_is_told(vcenter: Simulator, agent: VSphereAgent) -> None:
    vcenter.event("GeneralUserEvent", message="Backup finished")
    assert result(agent.event_latest({})) == [{"event": "Backup finished"}]
    vcenter.calls(again=True)
    agent.event_latest({})
    assert vcenter.calls() == {"RetrievePropertiesEx": 1}


def test_the_last_hours_events_are_listed_the_oldest_first(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    vcenter.event(ON, MACHINE, time=datetime.now(UTC) - timedelta(hours=2))
    key = vcenter.event(OFF, MACHINE)
    answer = listed(agent)
    assert answer["more"] is False
    assert keys(answer)[-1] == key
    times = [datetime.fromisoformat(event["time"]) for event in answer["events"]]
    assert times == sorted(times)
    assert times[0] > datetime.now(UTC) - timedelta(hours=1)


def test_an_event_says_what_it_is_about(vcenter: Simulator, agent: VSphereAgent) -> None:
    key = vcenter.event(ON, MACHINE, time=PAST, message="it is on")
    (event,) = listed(agent, begin=PAST.isoformat(), end=PAST.isoformat())["events"]
    assert event == {
        "key": key,
        "time": "2020-11-01T12:00:00.001234Z",
        "type": ON,
        "message": "it is on",
        "user": "admin",
        "entity": vcenter.reference(MACHINE),
        "vm": MACHINE,
        "host": "DC0_C0_H0",
        "cluster": "DC0_C0",
        "datacenter": "DC0",
    }


def test_events_are_chosen_by_time_type_and_entity(vcenter: Simulator, agent: VSphereAgent) -> None:
    when = {"time": PAST}
    on, off = vcenter.event(ON, MACHINE, **when), vcenter.event(OFF, MACHINE, **when)
    other = vcenter.event(ON, OTHER, **when)
    later = vcenter.event(ON, MACHINE, time=PAST + timedelta(minutes=1))
    begin, end = "2020-11-01T12:00:00Z", "2020-11-01T12:00:30"
    assert keys(listed(agent, begin=begin, end=end)) == [on, off, other]
    zone = {"begin": "2020-11-01T14:00:00+02:00", "end": "2020-11-01T09:00:30-03:00"}
    assert keys(listed(agent, **zone)) == [on, off, other]
    assert keys(listed(agent, begin=begin, end=end, types=[ON])) == [on, other]
    assert keys(listed(agent, begin=begin, end=end, types=[f"vim.event.{OFF}"])) == [off]
    assert keys(listed(agent, begin=begin, end=end, entity=MACHINE)) == [on, off]
    both = {"types": [ON], "entity": vcenter.reference(MACHINE)}
    assert keys(listed(agent, begin=begin, end=PAST.isoformat(), **both)) == [on]
    assert keys(listed(agent, begin="2020-11-01T12:00:30Z", **both))[0] == later
    host = {"entity": "DC0_C0_H0", "kind": "host", "types": [OFF]}
    assert keys(listed(agent, begin=begin, end=end, **host)) == [off]


def test_a_follower_misses_nothing_and_repeats_nothing(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    posted = [vcenter.event(ON, MACHINE, time=PAST) for _ in range(3)]
    follower = Follower(agent, begin="2020-11-01T00:00:00Z", types=[ON, OFF], entity=MACHINE)
    assert follower.drain(2)[:3] == posted
    assert follower.read() == []
    one = vcenter.event(OFF, MACHINE)
    vcenter.event(OFF, OTHER)
    vcenter.event("GeneralUserEvent", MACHINE)
    assert follower.read() == [one]
    assert follower.read() == []


def test_events_of_one_time_are_read_in_portions(vcenter: Simulator, agent: VSphereAgent) -> None:
    last = vcenter.event(OFF, MACHINE, time=PAST, number=25)
    posted = list(range(last - 24, last + 1))
    follower = Follower(agent, begin=PAST.isoformat(), types=[OFF])
    assert follower.read(10) == posted[:10]
    more = vcenter.event(OFF, MACHINE, time=PAST, number=5)
    assert follower.read(10) == posted[10:20]
    assert follower.more is True
    assert follower.read(10) == [*posted[20:], *range(more - 4, more + 1)]
    assert follower.more is False


def test_an_event_that_comes_late_is_read(vcenter: Simulator, agent: VSphereAgent) -> None:
    follower = Follower(agent, begin=PAST.isoformat(), types=[OFF])
    first = vcenter.event(OFF, MACHINE, time=PAST + timedelta(seconds=60))
    assert follower.read() == [first]
    late = vcenter.event(OFF, OTHER, time=PAST + timedelta(seconds=40))
    assert follower.read() == [late]
    assert follower.read() == []


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_posting_and_reading_is_followed(
    vcenter: Simulator, agent: VSphereAgent, seed: int
) -> None:
    chance = random.Random(seed)
    follower = Follower(agent, begin=PAST.isoformat(), types=[OFF])
    posted: list[int] = []
    read: list[int] = []
    clock = PAST
    for _ in range(25):
        clock += timedelta(seconds=chance.choice([0, 0, 1, 20]))
        late = clock - timedelta(seconds=chance.choice([0, 0, 5]))
        number = chance.choice([1, 1, 7])
        last = vcenter.event(OFF, MACHINE, time=max(late, PAST), number=number)
        posted += range(last - number + 1, last + 1)
        if chance.random() < 0.7:
            read += follower.read(chance.choice([1, 3, 50]))
    read += follower.drain(4)
    assert sorted(read) == posted


def test_listing_takes_three_calls_and_leaves_nothing(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    entity = vcenter.reference(MACHINE)
    cursor = listed(agent, entity=entity)["cursor"]
    listed(agent, entity=MACHINE)
    vcenter.calls(again=True)
    three = {"CreateCollectorForEvents": 1, "ReadNextEvents": 1, "DestroyCollector": 1}
    listed(agent, entity=entity, types=[ON])
    assert served(vcenter) == three
    listed(agent, entity=OTHER)
    assert served(vcenter) == three
    listed(agent, cursor=cursor, max=500)
    assert served(vcenter) == three
    assert vcenter.readers() == 0


def test_a_reading_that_fails_leaves_nothing(vcenter: Simulator, agent: VSphereAgent) -> None:
    vcenter.fault("InvalidState", "ReadNextEvents", times=1)
    reply = agent.event_list({})
    assert reply["error"]["reason"] == "vcenter_fault"
    assert vcenter.readers() == 0


@pytest.mark.parametrize(
    ("given", "field", "sentence"),
    [
        ({"types": ["VmPoweredOfEvent"]}, "types", f"did you mean {OFF}?"),
        ({"begin": "yesterday"}, "begin", "give it as 2026-11-22T03:04:05Z"),
        ({"end": "2026-13-01"}, "end", "2026-13-01 is no time"),
        ({"cursor": "abc"}, "cursor", "leave it out to begin anew"),
        ({"cursor": "nö"}, "cursor", "leave it out to begin anew"),
        ({"begin": "9999-12-31T23:59:59-10:00"}, "begin", "is no time"),
        ({"cursor": "abcd", "types": [ON]}, "types", "the cursor has it already"),
        ({"entity": "x", "kind": "planet"}, "kind", "none of vm, host, datastore"),
        ({"max": 501}, "max", "<= 500"),
    ],
)
def test_what_is_wrong_is_named(
    idle: VSphereAgent, given: dict[str, Any], field: str, sentence: str
) -> None:
    reply = idle.event_list(given)
    assert reply["error"]["code"] == "invalid_params"
    assert reply["error"]["field"] == field
    assert sentence in reply["msg"]


@pytest.mark.parametrize(
    "entity",
    ["nowhere", "ünbekannt", "SessionManager:SessionManager", "VirtualMachine:vm-1</entity><x>"],
)
def test_events_of_an_unknown_object_are_not_found(idle: VSphereAgent, entity: str) -> None:
    assert idle.event_list({"entity": entity})["error"]["reason"] == "not_found"


def test_events_of_an_ambiguous_name_are_refused() -> None:
    with running(vms=1, hosts=1, features=["duplicates"]) as vcenter:
        agent = agent_for(vcenter)
        reply = agent.event_list({"entity": MACHINE})
        agent.teardown()
    assert reply["error"]["reason"] == "ambiguous"


def test_events_of_a_renamed_object_are_found_by_its_new_name(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    key = vcenter.event(OFF, OTHER)
    listed(agent, entity=OTHER)
    vcenter.rename(OTHER, "büro-机器 1")
    assert keys(listed(agent, entity="büro-机器 1", types=[OFF])) == [key]


def test_events_of_an_object_that_is_gone_are_not_found(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    machine = vcenter.reference(MACHINE)
    gone = f'<obj type="VirtualMachine">{machine.partition(":")[2]}</obj>'
    vcenter.fault("ManagedObjectNotFound", "CreateCollectorForEvents", inner=gone)
    for entity in (machine, MACHINE):
        reply = agent.event_list({"entity": entity})
        assert reply["error"]["reason"] == "not_found"
        assert machine in reply["msg"]
