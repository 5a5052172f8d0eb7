"""What a vCenter answers, turned into rows and sentences."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pyVmomi")

from pyVmomi import vim, vmodl

from vpoller_like.errors import InvalidParams, TaskFailed
from workers.vsphere.faults import NotYet, explain
from workers.vsphere.inventory.collector import collect
from workers.vsphere.inventory.inventory import Inventory, refuse_denied
from workers.vsphere.inventory.kinds import VM
from workers.vsphere.inventory.paths import unknown_property
from workers.vsphere.session.connection import ConnectTimeout, Target
from workers.vsphere.session.tls import make_trust

TARGET = Target("vc01", 443, make_trust(), 10.0, 30.0)


def answering(*contents: Any) -> Any:
    """Return a login whose collector answers with ``contents``."""
    result = SimpleNamespace(objects=list(contents), token=None)
    collector = SimpleNamespace(RetrievePropertiesEx=lambda **_: result)
    view = vim.view.ContainerView("view-1")
    return SimpleNamespace(
        content=SimpleNamespace(propertyCollector=collector), view=lambda _: view
    )


def content(*, missing: dict[str, Any], **held: Any) -> Any:
    pc = vmodl.query.PropertyCollector
    return SimpleNamespace(
        obj=vim.VirtualMachine("vm-1"),
        propSet=[vmodl.DynamicProperty(name=name, val=value) for name, value in held.items()],
        missingSet=[pc.MissingProperty(path=path, fault=fault) for path, fault in missing.items()],
    )


def test_a_property_that_may_not_be_read_is_none_and_says_why() -> None:
    login = answering(content(missing={"config": vim.fault.NoPermission()}, name="vm01"))
    (row,) = collect(login, VM.type, ["name", "config"], [VM.type("vm-1")])
    assert row.properties == {"name": "vm01", "config": None}
    assert row.denied == {"config": "NoPermission"}
    with pytest.raises(
        TaskFailed, match=r"config of vm01 may not be read \(NoPermission\)"
    ) as caught:
        refuse_denied("vm01", row.denied)
    assert caught.value.details == {"reason": "no_permission", "properties": ["config"]}


def test_an_object_whose_name_is_hidden_is_not_found_by_a_name() -> None:
    login = answering(content(missing={"name": vim.fault.NoPermission()}))
    with pytest.raises(TaskFailed, match="Cannot find object None"):
        Inventory(0).find(login, VM, "None", ["name"])


def test_an_unset_property_is_none() -> None:
    (row,) = collect(
        answering(content(missing={}, name="vm01")), VM.type, ["name", "guest"], [VM.type("vm-1")]
    )
    assert row.properties == {"name": "vm01", "guest": None}
    assert row.denied == {}


def test_an_answer_without_objects_is_no_rows() -> None:
    collector = SimpleNamespace(RetrievePropertiesEx=lambda **_: None)
    login: Any = SimpleNamespace(content=SimpleNamespace(propertyCollector=collector))
    assert collect(login, VM.type, ["name"], [VM.type("vm-1")]) == []


def test_a_missing_session_told_for_a_property_is_a_lost_session() -> None:
    login = answering(content(missing={"name": vim.fault.NotAuthenticated()}))
    with pytest.raises(vim.fault.NotAuthenticated):
        collect(login, VM.type, ["name"], [VM.type("vm-1")])


def test_an_invalid_property_told_for_one_object_is_refused() -> None:
    login = answering(content(missing={"nmae": vmodl.query.InvalidProperty(name="nmae")}))
    with pytest.raises(InvalidParams, match="did you mean name"):
        collect(login, VM.type, ["nmae"], [VM.type("vm-1")])


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("runtime.powerstate", "did you mean runtime.powerState?"),
        ("runtim.powerState", "did you mean runtime?"),
        ("config.hardware.memoryMb", "did you mean config.hardware.memoryMB?"),
        ("name.first", "leave it out"),
        ("xyzzy", "leave it out"),
    ],
)
def test_a_wrong_path_is_answered_with_the_nearest_one(path: str, hint: str) -> None:
    error = unknown_property(vim.VirtualMachine, path)
    assert error.message == f"properties: VirtualMachine has no property {path}; {hint}"
    assert error.details == {"field": "properties", "property": path}


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (vim.fault.InvalidLogin(), "login_refused", "refused the login of user 'root'"),
        (vim.fault.NoPermission(privilegeId="System.Read"), "no_permission", "System.Read"),
        (vim.fault.NotAuthenticated(), "vcenter_fault", "ended the session"),
        (vmodl.fault.InvalidArgument(msg="no good"), "vcenter_fault", "InvalidArgument: no good"),
        (ConnectTimeout("timed out", 10.0), "timeout", "could not be connected within 10 s"),
        (TimeoutError(), "timeout", "did not answer within 30 s"),
        (ConnectionRefusedError(111, "Connection refused"), "unreachable", "Connection refused"),
    ],
)
def test_what_goes_wrong_is_one_sentence(error: Exception, reason: str, words: str) -> None:
    told = explain(error, TARGET, "root")
    assert isinstance(told, TaskFailed)
    assert told.details == {"reason": reason, "host": "vc01"}
    assert words in told.message
    assert "vc01:443" in told.message


def test_a_postponed_try_says_when_the_next_one_is() -> None:
    error = NotYet(age=18.8, retry_in=41.2, down=18.8)
    error.__cause__ = vim.fault.InvalidLogin()
    told = explain(error, TARGET, "root")
    assert told is not None
    assert told.message.endswith("; that was 19 s ago, and the next try is in 42 s")
    assert told.details["reason"] == "login_refused"


def test_a_try_that_is_under_way_is_told_of() -> None:
    error = NotYet(age=12.0, retry_in=0.0, down=80.0)
    error.__cause__ = ConnectTimeout("timed out", 10.0)
    told = explain(error, TARGET, "root")
    assert told is not None
    assert told.message.endswith("; that was 12 s ago, and it is being tried again now")


def test_our_own_faults_are_not_explained_away() -> None:
    assert explain(KeyError("x"), TARGET, "root") is None
