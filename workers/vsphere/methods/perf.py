"""Figures: counters, intervals, and samples of all kinds of objects."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.inventory.kinds import CLUSTER, DATACENTER, DATASTORE, HOST, VM
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, Methods
from workers.vsphere.params import Nothing
from workers.vsphere.perf.catalogue import catalogue_of
from workers.vsphere.perf.measuring import available, measure
from workers.vsphere.perf.params import MetricGet, MetricInfo, OneMachine
from workers.vsphere.perf.usage import cpu_usage
from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import Rows

_INFO = "Successfully retrieved performance metrics"
_GET = "Successfully retrieved performance samples"


class PerformanceMethods(Methods):
    """Figures: counters, intervals, and samples of all kinds of objects."""

    @task("perf.metric.info", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=_INFO)
    def perf_metric_info(self, _: Nothing) -> Rows:
        """List the counters of the vCenter, each with the name by which requests know it."""
        return self.vcenter.run(lambda login: catalogue_of(login).counters.rows())

    @task("perf.interval.info", retry_safe=True, msg="Successfully retrieved intervals")
    def perf_interval_info(self, _: Nothing) -> Rows:
        """List the historical intervals of the vCenter."""

        def work(login: Login) -> Rows:
            return catalogue_of(login).intervals.infos

        return self.vcenter.run(work)

    @task("datacenter.perf.metric.info", retry_safe=True, msg=_INFO)
    def datacenter_perf_metric_info(self, msg: MetricInfo) -> Rows:
        """List the counters, and their instances, that there are of a datacenter."""
        return available(self.vcenter, DATACENTER, msg)

    @task("datacenter.perf.metric.get", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=_GET)
    def datacenter_perf_metric_get(self, msg: MetricGet) -> Rows:
        """Return samples of counters of datacenters."""
        return measure(self.vcenter, DATACENTER, msg)

    @task("cluster.perf.metric.info", retry_safe=True, msg=_INFO)
    def cluster_perf_metric_info(self, msg: MetricInfo) -> Rows:
        """List the counters, and their instances, that there are of a cluster."""
        return available(self.vcenter, CLUSTER, msg)

    @task("cluster.perf.metric.get", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=_GET)
    def cluster_perf_metric_get(self, msg: MetricGet) -> Rows:
        """Return samples of counters of clusters."""
        return measure(self.vcenter, CLUSTER, msg)

    @task("host.perf.metric.info", retry_safe=True, msg=_INFO)
    def host_perf_metric_info(self, msg: MetricInfo) -> Rows:
        """List the counters, and their instances, that there are of an ESXi host."""
        return available(self.vcenter, HOST, msg)

    @task("host.perf.metric.get", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=_GET)
    def host_perf_metric_get(self, msg: MetricGet) -> Rows:
        """Return samples of counters of ESXi hosts."""
        return measure(self.vcenter, HOST, msg)

    @task("vm.perf.metric.info", retry_safe=True, msg=_INFO)
    def vm_perf_metric_info(self, msg: MetricInfo) -> Rows:
        """List the counters, and their instances, that there are of a virtual machine."""
        return available(self.vcenter, VM, msg)

    @task("vm.perf.metric.get", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=_GET)
    def vm_perf_metric_get(self, msg: MetricGet) -> Rows:
        """Return samples of counters of virtual machines."""
        return measure(self.vcenter, VM, msg)

    @task("datastore.perf.metric.info", retry_safe=True, msg=_INFO)
    def datastore_perf_metric_info(self, msg: MetricInfo) -> Rows:
        """List the counters, and their instances, that there are of a datastore."""
        return available(self.vcenter, DATASTORE, msg)

    @task("datastore.perf.metric.get", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=_GET)
    def datastore_perf_metric_get(self, msg: MetricGet) -> Rows:
        """Return samples of counters of datastores."""
        return measure(self.vcenter, DATASTORE, msg)

    @task("vm.cpu.usage.percent", retry_safe=True, msg="Successfully retrieved CPU usage")
    def vm_cpu_usage_percent(self, msg: OneMachine) -> Rows:
        """Return how busy a virtual machine's processors are, in percent of all of them."""
        return [cpu_usage(self.vcenter, msg.name)]
