"""Triggered alarms."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.alarms import triggered
from workers.vsphere.inventory.kinds import CLUSTER, DATACENTER, DATASTORE, HOST, VM
from workers.vsphere.methods.base import Methods
from workers.vsphere.params import Named
from workers.vsphere.vcenter import Rows

_ALARMS = "Successfully retrieved alarms"


class AlarmMethods(Methods):
    """Triggered alarms."""

    @task("datacenter.alarm.get", retry_safe=True, msg=_ALARMS)
    def datacenter_alarm_get(self, msg: Named) -> Rows:
        """List the alarms that are triggered on a datacenter and what is in it."""
        return triggered(self.vcenter, DATACENTER, msg)

    @task("cluster.alarm.get", retry_safe=True, msg=_ALARMS)
    def cluster_alarm_get(self, msg: Named) -> Rows:
        """List the alarms that are triggered on a cluster and what is in it."""
        return triggered(self.vcenter, CLUSTER, msg)

    @task("host.alarm.get", retry_safe=True, msg=_ALARMS)
    def host_alarm_get(self, msg: Named) -> Rows:
        """List the alarms that are triggered on an ESXi host."""
        return triggered(self.vcenter, HOST, msg)

    @task("vm.alarm.get", retry_safe=True, msg=_ALARMS)
    def vm_alarm_get(self, msg: Named) -> Rows:
        """List the alarms that are triggered on a virtual machine."""
        return triggered(self.vcenter, VM, msg)

    @task("datastore.alarm.get", retry_safe=True, msg=_ALARMS)
    def datastore_alarm_get(self, msg: Named) -> Rows:
        """List the alarms that are triggered on a datastore."""
        return triggered(self.vcenter, DATASTORE, msg)
