"""Processes in guests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpoller_like.agent import task
from vpoller_like.errors import TaskFailed
from workers.vsphere.encode import encode
from workers.vsphere.inventory.inventory import unique
from workers.vsphere.inventory.kinds import VM
from workers.vsphere.inventory.paths import refuse_unknown
from workers.vsphere.methods.base import Methods
from workers.vsphere.params import GetProcesses
from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import Rows
from workers.vsphere.vmomi import vim

#: What ``key`` is looked for in.
_COMMAND = "cmdLine"

#: How a vCenter says that there is nobody in the guest to ask.
_UNAVAILABLE = (vim.fault.GuestOperationsFault, vim.fault.InvalidState)


class ProcessMethods(Methods):
    """Processes in guests."""

    @task("vm.process.get", retry_safe=True, msg="Successfully retrieved processes")
    def vm_process_get(self, msg: GetProcesses) -> Rows:
        """List the processes in a guest. Needs VMware Tools, and the privilege
        VirtualMachine.GuestOperations.Query.
        """
        asked = unique(["name", _COMMAND, *msg.properties])
        refuse_unknown(vim.vm.guest.ProcessManager.ProcessInfo, asked)
        running = self.vcenter.run(lambda login: self._processes(login, msg))
        return [
            {path: each.get(path) for path in asked}
            for each in running
            if not msg.key or msg.key in (each.get(_COMMAND) or "")
        ]

    def _processes(self, login: Login, msg: GetProcesses) -> Sequence[dict[str, Any]]:
        machine = self.vcenter.inventory.find(login, VM, msg.name).managed
        credentials = vim.vm.guest.NamePasswordAuthentication(
            username=msg.username, password=msg.password, interactiveSession=False
        )
        try:
            listed = login.processes.ListProcessesInGuest(vm=machine, auth=credentials, pids=[])
        except vim.fault.InvalidGuestLogin as fault:
            raise TaskFailed(
                f"The guest of {msg.name} refused the login of user {msg.username!r}: "
                "check username and password",
                reason="guest_login_refused",
            ) from fault
        except _UNAVAILABLE as fault:
            raise TaskFailed(
                f"The guest of {msg.name} cannot be asked ({fault._wsdlName}): "
                "it must be powered on, with VMware Tools running",
                reason="guest_unavailable",
            ) from fault
        return [encode(each) for each in listed]
