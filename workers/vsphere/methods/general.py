"""The vCenter itself, and who is logged in."""

from __future__ import annotations

from vpoller_like.agent import task
from workers.vsphere.inventory.inventory import unique
from workers.vsphere.inventory.paths import refuse_unknown
from workers.vsphere.methods.base import Methods
from workers.vsphere.params import About, Nothing
from workers.vsphere.vcenter import Rows
from workers.vsphere.vmomi import vim

#: What ``session.get`` tells of a session; each is a string, as in vPoller.
_SESSION_FIELDS = (
    "key",
    "userName",
    "fullName",
    "loginTime",
    "lastActiveTime",
    "ipAddress",
    "userAgent",
    "callCount",
)


class GeneralMethods(Methods):
    """The vCenter itself, and who is logged in."""

    @task("about", retry_safe=True, msg="Successfully retrieved properties")
    def about(self, msg: About) -> Rows:
        """Tell the product, its version and its build."""
        whole = self.vcenter.read(vim.ServiceInstance("ServiceInstance"), "content.about")
        if not msg.properties:
            return [whole]
        asked = unique(["fullName", *msg.properties])
        refuse_unknown(vim.AboutInfo, asked)
        return [{path: whole.get(path) for path in asked}]

    @task("session.get", retry_safe=True, msg="Successfully retrieved sessions")
    def session_get(self, _: Nothing) -> Rows:
        """List the sessions at the vCenter. Needs the privilege Sessions.TerminateSession."""
        manager = self.vcenter.run(lambda login: login.content.sessionManager)
        sessions = self.vcenter.read(manager, "sessionList")
        return [{field: str(each.get(field, "")) for field in _SESSION_FIELDS} for each in sessions]
