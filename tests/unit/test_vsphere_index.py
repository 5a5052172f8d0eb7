"""Names: how they are written, the index of them, and what feeds it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pyVmomi")

from pyVmomi import vim, vmodl

from workers.vsphere.inventory import memory
from workers.vsphere.inventory.collector import Row, collect
from workers.vsphere.inventory.index import IndexFull, NameIndex
from workers.vsphere.inventory.kinds import CLUSTER, DATASTORE, HOST, KINDS, NETWORK, POOL, VM
from workers.vsphere.inventory.names import referred, spellings, unescaped
from workers.vsphere.inventory.terms import Path, Pattern, Reference, Term, term
from workers.vsphere.inventory.watch import THREAD_NAME, Watch
from workers.vsphere.inventory.whereabouts import last_name

pc = vmodl.query.PropertyCollector

INSTANCE, BIOS = VM.uuids
UUID = "bfff331f-7f07-572d-951e-edd3701dc061"


def machine(number: int) -> Any:
    return vim.VirtualMachine(f"vm-{number}")


def ids(found: list[Any]) -> list[str]:
    return sorted(each._moId for each in found)


def look_up(index: NameIndex, text: str, kind: Any = VM) -> list[str]:
    return ids(term(kind, text, patterns=True).match(kind, index).managed)


def index_of(**names: str) -> NameIndex:
    """Return an index of virtual machines, each by its id, ``vm1`` and so on."""
    index = NameIndex(100)
    for moid, name in names.items():
        index.put(vim.VirtualMachine(moid), {"name": name})
    return index


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("VirtualMachine:vm-42", VM, vim.VirtualMachine),
        ("DistributedVirtualPortgroup:dvportgroup-9", NETWORK, vim.dvs.DistributedVirtualPortgroup),
        ("VirtualApp:resgroup-v3", POOL, vim.VirtualApp),
        ("HostSystem:host-9", VM, None),
        ("ComputeResource:domain-s4", CLUSTER, None),
        ("VirtualMachineConfigInfo:x", VM, None),
        ("Nothing:x", VM, None),
        ("vm-42", VM, None),
        ("backup: daily", VM, None),
    ],
)
def test_a_reference_is_to_an_object_of_the_kind(text: str, kind: Any, found: Any) -> None:
    managed = referred(kind, text)
    assert (managed if managed is None else type(managed)) is found


@pytest.mark.parametrize(
    ("text", "kind", "term_type"),
    [
        ("VirtualMachine:vm-42", VM, Reference),
        ("HostSystem:host-9", VM, Term),
        ("/DC0/vm/web", VM, Path),
        ("web-*", VM, Pattern),
        ("web-[12]", VM, Pattern),
        ("web", VM, Term),
        ("ds:///vmfs/volumes/1/", DATASTORE, Term),
    ],
)
def test_a_text_says_what_it_is(text: str, kind: Any, term_type: type[Term]) -> None:
    assert type(term(kind, text, patterns=True)) is term_type


def test_a_pattern_is_a_name_where_one_object_is_asked_for() -> None:
    assert type(term(VM, "web-*")) is Term


def test_escapes_are_read_and_written_as_vsphere_does() -> None:
    assert "a%2fb%5cc%25d" in spellings("a/b\\c%d")
    assert "a%2fb" in spellings("a%2Fb")
    assert unescaped("a%2fb%5Cc%25d") == "a/b\\c%d"
    assert unescaped("100%252f") == "100%2f"
    assert last_name("/DC0/vm/a%2Fb/") == "a%2fb"


def test_an_object_is_found_by_its_name_its_id_and_its_uuids() -> None:
    index = NameIndex(10)
    index.put(machine(1), {"name": "web", INSTANCE: UUID, BIOS: UUID.replace("b", "c")})
    for text in ("web", "vm-1", UUID, UUID.upper(), UUID.replace("b", "c")):
        assert look_up(index, text) == ["vm-1"]
    assert look_up(index, "Web") == []
    assert look_up(index, "vm-1", HOST) == []


def test_a_name_like_anothers_id_means_both() -> None:
    assert look_up(index_of(vm1="vm2", vm2="db"), "vm2") == ["vm1", "vm2"]


def test_the_uuid_of_an_instance_comes_before_that_of_a_bios() -> None:
    index = NameIndex(10)
    index.put(machine(1), {"name": "copy", BIOS: UUID})
    index.put(machine(2), {"name": "web", INSTANCE: UUID})
    assert look_up(index, UUID) == ["vm-2"]


def test_the_url_of_a_datastore_comes_before_a_name() -> None:
    index = NameIndex(10)
    index.put(vim.Datastore("ds-1"), {"name": "/vmfs/2", "info.url": "/vmfs/1"})
    index.put(vim.Datastore("ds-2"), {"name": "two", "info.url": "/vmfs/2"})
    assert look_up(index, "/vmfs/1", DATASTORE) == ["ds-1"]
    assert look_up(index, "/vmfs/2", DATASTORE) == ["ds-2"]


def test_patterns_fit_names_as_people_write_them() -> None:
    index = index_of(vm1="web%2f1", vm2="web%2f2", vm3="db", vm4="web[1]")
    assert look_up(index, "web/?") == ["vm1", "vm2"]
    assert look_up(index, "*%2f*") == ["vm1", "vm2"]
    assert look_up(index, "web[1]") == ["vm4"]
    assert look_up(index, "nothing*") == []


def test_a_renamed_object_has_one_name_and_a_lost_name_is_none() -> None:
    index = index_of(vm1="web", vm2="web")
    index.put(vim.VirtualMachine("vm1"), {"name": "db"})
    assert look_up(index, "web") == ["vm2"]
    assert look_up(index, "db") == ["vm1"]
    index.put(vim.VirtualMachine("vm1"), {"name": None})
    assert look_up(index, "db") == []
    assert look_up(index, "vm1") == ["vm1"]


def test_a_dropped_object_is_found_by_nothing() -> None:
    index = index_of(vm1="web", vm2="web")
    index.drop(vim.VirtualMachine("vm1"))
    index.drop(vim.VirtualMachine("vm9"))
    assert look_up(index, "web") == ["vm2"]
    assert look_up(index, "vm1") == []
    assert len(index) == 1


def test_an_index_holds_no_more_than_its_limit() -> None:
    index = NameIndex(2)
    for number in (1, 2):
        index.put(machine(number), {"name": "web"})
    index.put(machine(1), {"name": "db"})
    with pytest.raises(IndexFull, match="more than 2 objects"):
        index.put(machine(3), {"name": "web"})
    index.drop(machine(1))
    index.put(machine(3), {"name": "web"})
    index.put(vim.Folder("group-v1"), {"name": "no kind of ours"})
    assert len(index) == 2


def test_an_index_keeps_no_connection() -> None:
    index = NameIndex(1)
    index.put(vim.VirtualMachine("vm-1", object()), {"name": "web"})
    (found,) = Term("web").match(VM, index).managed
    assert found._stub is None


def test_an_object_is_checked_to_have_the_name_still() -> None:
    now = Row(machine(1), {"name": "db"}, {})
    assert Term("db").accepts(now, ("name",))
    assert Term("vm-1").accepts(now, ("name",))
    assert not Term("web").accepts(now, ("name",))
    assert Pattern("d*").accepts(now, ("name",))
    assert not Pattern("w*").accepts(now, ("name",))
    assert not Term("None").accepts(Row(machine(1), {"name": None}, {}), ("name",))


def update(version: str, *changes: Any, truncated: bool = False) -> Any:
    """Return a set of updates: ``(kind, object, {path: value})`` each."""
    objects = [
        SimpleNamespace(
            kind=kind,
            obj=managed,
            changeSet=[
                SimpleNamespace(name=name, val=value, op="remove" if value is None else "assign")
                for name, value in values.items()
            ],
        )
        for kind, managed, values in changes
    ]
    return SimpleNamespace(
        version=version, truncated=truncated, filterSet=[SimpleNamespace(objectSet=objects)]
    )


class Server:
    """A vCenter for a watch: answers what waits for updates, one after the other.

    After the last answer the connection is lost. It is the stub of its objects as well.
    """

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[str, int]] = []
        self.destroyed: list[str] = []
        self._answers = list(answers)

    def login(self) -> Any:
        content = SimpleNamespace(
            propertyCollector=pc("collector-0", self),
            viewManager=vim.view.ViewManager("views", self),
            rootFolder=vim.Folder("group-d1", self),
        )
        return SimpleNamespace(content=content, companion=lambda *_: self)

    def __getattr__(self, name: str) -> Any:
        names = {"InvokeMethod": self.invoke, "DropConnections": lambda: None}
        return names[name]

    def invoke(self, managed: Any, info: Any, arguments: Any) -> Any:
        match info.wsdlName:
            case "CreatePropertyCollector":
                return pc("collector-1", self)
            case "CreateContainerView":
                return vim.view.ContainerView("view-1", self)
            case "WaitForUpdatesEx":
                return self._wait(*arguments)
            case "DestroyPropertyCollector" | "DestroyView":
                self.destroyed.append(managed._moId)
        return None

    def _wait(self, version: str, options: Any) -> Any:
        self.asked.append((version, options.maxWaitSeconds))
        if not self._answers:
            raise ConnectionResetError("lost")
        return self._answers.pop(0)


def followed(server: Server, limit: int = 10) -> Watch:
    """Return a watch that has followed ``server`` to the end of its answers."""
    watch = Watch(server.login(), limit)
    watch.start()
    watch._thread.join(10)
    return watch


def test_a_watch_loads_all_pages_of_names_before_it_is_used() -> None:
    server = Server(
        update("1", ("enter", machine(1), {"name": "web"}), truncated=True),
        update("2", ("enter", machine(2), {"name": "db"})),
    )
    watch = followed(server)
    assert look_up(watch.index, "web") == ["vm-1"]
    assert look_up(watch.index, "db") == ["vm-2"]
    assert server.asked[:2] == [("", 0), ("1", 0)]
    version, seconds = server.asked[2]
    assert version == "2"
    assert seconds > 0


def test_a_watch_takes_in_what_is_new_renamed_and_gone() -> None:
    server = Server(
        update("1", ("enter", machine(1), {"name": "web"}), ("enter", machine(2), {"name": "db"})),
        update("2", ("modify", machine(1), {"name": "www"}), ("leave", machine(2), {})),
        None,
        update("3", ("enter", machine(3), {"name": "new", BIOS: None}), truncated=True),
        update("4", ("enter", machine(4), {"name": "newer"})),
    )
    index = followed(server).index
    assert [look_up(index, name) for name in ("web", "db")] == [[], []]
    assert [look_up(index, name) for name in ("www", "new", "newer")] == [
        ["vm-1"],
        ["vm-3"],
        ["vm-4"],
    ]
    assert [version for version, _ in server.asked] == ["", "1", "2", "2", "3", "4"]


def test_a_watch_ends_with_its_connection() -> None:
    watch = followed(Server(update("1")))
    assert not watch.alive
    watch.stop()


class Slow(Server):
    """Has no news, and tells that only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def _wait(self, version: str, options: Any) -> None:
        self.asked.append((version, options.maxWaitSeconds))
        self.let.wait(10)


def test_names_closed_while_they_are_loaded_are_not_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_SETTLE_SECONDS", 0.0)
    server, names = Slow(), memory.Names(10)
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(names.known, server.login())
        while not server.asked:
            pass
        names.close()
        server.let.set()
        assert loading.result(10) is not None
    assert THREAD_NAME not in {each.name for each in threading.enumerate()}


def test_a_watch_of_too_much_leaves_nothing_at_the_vcenter() -> None:
    server = Server(update("1", *(("enter", machine(n), {"name": "x"}) for n in range(3))))
    watch = Watch(server.login(), 2)
    with pytest.raises(IndexFull):
        watch.start()
    assert server.destroyed == ["collector-1", "view-1"]
    assert not watch.alive


def test_a_machine_in_a_vapp_has_the_path_of_its_vapp() -> None:
    parents = {
        vim.VirtualMachine("vm-1"): ("web", None, vim.VirtualApp("resgroup-v1")),
        vim.VirtualApp("resgroup-v1"): ("app", vim.Datacenter("datacenter-1"), None),
        vim.Datacenter("datacenter-1"): ("DC0", vim.Folder("group-d1"), None),
        vim.Folder("group-d1"): ("Datacenters", None, None),
    }
    contents = [
        SimpleNamespace(
            obj=managed,
            missingSet=[],
            propSet=[
                SimpleNamespace(name=path, val=value)
                for path, value in zip(("name", "parent", "parentVApp"), held, strict=True)
                if value is not None
            ],
        )
        for managed, held in parents.items()
    ]
    answer = SimpleNamespace(objects=contents, token=None)
    collector = SimpleNamespace(RetrievePropertiesEx=lambda **_: answer)
    login: Any = SimpleNamespace(content=SimpleNamespace(propertyCollector=collector))
    asked = [vim.VirtualMachine("vm-1"), vim.VirtualMachine("vm-9")]
    (row,) = collect(login, vim.VirtualMachine, ["name"], asked, placed=True)
    assert row.place == "/DC0/app/web"


def test_no_object_is_of_two_kinds() -> None:
    for kind in KINDS:
        for other in KINDS:
            assert kind is other or not issubclass(kind.type, other.type)
