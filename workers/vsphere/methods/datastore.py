"""Datastores."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.kinds import DATASTORE
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, DISCOVERED, RETRIEVED, Methods
from workers.vsphere.params import Discover, GetDatastore
from workers.vsphere.vcenter import Rows


class DatastoreMethods(Methods):
    """Datastores."""

    @task("datastore.discover", retry_safe=True, timeout=DISCOVER_TIMEOUT, msg=DISCOVERED)
    def datastore_discover(self, msg: Discover) -> Rows:
        """List all datastores, each with the URL by which datastore.get knows it."""
        return self._discover(DATASTORE, ["info.url", *msg.properties])

    @task("datastore.get", retry_safe=True, msg=RETRIEVED)
    def datastore_get(self, msg: GetDatastore) -> Rows:
        """Return properties of one datastore."""
        return self._get(DATASTORE, msg.name, msg.properties)
