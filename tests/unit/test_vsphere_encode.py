"""vSphere's values as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

pytest.importorskip("pyVmomi")

from pyVmomi import VmomiSupport, vim, vmodl

from workers.vsphere import VSphereAgent
from workers.vsphere.encode import encode


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "text", [1, "two"]])
def test_what_json_knows_stays_as_it_is(value: Any) -> None:
    assert encode(value) == value


def test_a_time_is_iso_8601() -> None:
    assert encode(datetime(2026, 11, 22, 3, 4, 5, 600, UTC)) == "2026-11-22T03:04:05.000600Z"
    east = timezone(timedelta(hours=2))
    assert encode(datetime(2026, 11, 22, 3, 4, 5, tzinfo=east)) == "2026-11-22T03:04:05+02:00"


def test_a_managed_object_is_its_reference() -> None:
    assert encode(vim.VirtualMachine("vm-42")) == "VirtualMachine:vm-42"
    assert encode([vim.Datastore("datastore-1")]) == ["Datastore:datastore-1"]


def test_pyvmomis_own_numbers_and_strings_become_pythons() -> None:
    encoded = encode([VmomiSupport.long(5), VmomiSupport.short(6), VmomiSupport.URI("ds:///x")])
    assert encoded == [5, 6, "ds:///x"]
    assert [type(each) for each in encoded] == [int, int, str]


def test_an_enumeration_is_its_word() -> None:
    encoded = encode(vim.VirtualMachine.PowerState.poweredOn)
    assert encoded == "poweredOn"
    assert type(encoded) is str


def test_bytes_are_base64() -> None:
    assert encode(b"\x00\xff") == "AP8="
    assert encode(VmomiSupport.binary(b"\x00\xff")) == "AP8="


def test_types_and_methods_are_their_names() -> None:
    assert encode(vim.VirtualMachine) == "VirtualMachine"
    assert encode(vim.VirtualMachine.PowerOn) == "PowerOnVM_Task"


def test_a_data_object_is_a_dict_of_what_is_set() -> None:
    overhead = vim.vm.ConfigInfo.OverheadInfo(initialMemoryReservation=5)
    assert encode(overhead) == {"initialMemoryReservation": 5}


def test_pyvmomis_bookkeeping_is_left_out() -> None:
    option = vim.option.OptionValue(key="a", value=1, dynamicType="x")
    assert encode(option) == {"key": "a", "value": 1}


def test_an_object_of_another_type_than_declared_names_its_type() -> None:
    disk = vim.vm.device.VirtualDisk(key=2000, capacityInKB=1024)
    hardware = vim.vm.VirtualHardware(numCPU=2, device=[disk])
    assert encode(hardware)["device"][0]["_type"] == "VirtualDisk"
    assert "_type" not in encode(hardware)
    assert "_type" not in encode(disk)


def test_an_array_by_itself_names_the_types_too() -> None:
    devices = VmomiSupport.CreateArrayType(vim.vm.device.VirtualDevice)(
        [vim.vm.device.VirtualE1000(key=4000)]
    )
    assert encode(devices)[0]["_type"] == "VirtualE1000"


def test_a_fault_inside_a_result_is_encoded() -> None:
    fault = vmodl.fault.InvalidArgument(invalidProperty="x")
    info = vim.TaskInfo(error=fault)
    encoded = encode(info)["error"]
    assert encoded["_type"] == "InvalidArgument"
    assert encoded["invalidProperty"] == "x"


def test_everything_encoded_is_json() -> None:
    task = vim.TaskInfo(
        task=vim.Task("task-1"),
        queueTime=datetime(2026, 1, 1, tzinfo=UTC),
        entity=vim.VirtualMachine("vm-1"),
        cancelable=False,
    )
    assert json.loads(json.dumps(encode(task)))["queueTime"] == "2026-01-01T00:00:00Z"


def test_a_foreign_value_is_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        encode(1j)


def test_the_agent_encodes_vspheres_values_and_leaves_others_to_the_sdk() -> None:
    agent = VSphereAgent(user="root", pwd="secret", host="vc01")
    assert agent.encode_value(vim.HostSystem("host-9")) == "HostSystem:host-9"
    with pytest.raises(TypeError):
        agent.encode_value(object())
