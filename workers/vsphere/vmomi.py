"""pyVmomi's names, untyped.

pyVmomi builds its classes from the server's schema when they are first used, and only
some releases come with types. Behind this module the agent is checked the same with,
and without, whichever release is installed.
"""

from __future__ import annotations

from typing import Any

from pyVmomi import SoapAdapter, VmomiSupport
from pyVmomi import vim as _vim
from pyVmomi import vmodl as _vmodl

vim: Any = _vim
vmodl: Any = _vmodl
support: Any = VmomiSupport
soap: Any = SoapAdapter
