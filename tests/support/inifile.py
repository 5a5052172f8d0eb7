"""vPoller's INI file, as vPoller's users have it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

FULL = """\
[proxy]
frontend = tcp://*:10123
backend  = tcp://*:10124
mgmt     = tcp://*:9999

[worker]
db       = {db}
proxy    = tcp://localhost:10124
mgmt     = tcp://*:10000
helpers  = vpoller.helpers.zabbix,vpoller.helpers.czabbix
tasks    = vpoller.vsphere.tasks

[cache]
enabled      = True
maxsize      = 0
ttl          = 3600
housekeeping = 480
"""
LOCAL = """\
[proxy]
frontend: {frontend}
backend: {backend}
mgmt: {mgmt}

[worker]
proxy = {backend}
tasks = vpoller.vsphere.tasks
"""


def vconnectors_database(
    path: Path, host: str = "vc01.example.org", user: str = "root", password: str = "vmware"
) -> Path:
    """Make a database of vConnector's with one enabled host."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE hosts (host TEXT UNIQUE, user TEXT, pwd TEXT, enabled INT)")
        database.execute("INSERT INTO hosts VALUES (?, ?, ?, 1)", (host, user, password))
        database.commit()
    return path
