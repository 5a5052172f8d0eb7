"""``vpoller host`` and ``vconnector-cli``: what they do, say, and keep to themselves."""

from __future__ import annotations

import contextlib
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyVmomi")
pytest.importorskip("cryptography")

from tests.support.cli import Vpoller
from tests.support.cli import vpoller as vpoller
from tests.support.hosts import keeper_at, make_vconnector
from tests.support.hosts import nobody_elses_hosts as nobody_elses_hosts
from vpoller_like.agent.vault import VAULT
from workers.vsphere.hosts.commands import add
from workers.vsphere.hosts.configured import from_database
from workers.vsphere.hosts.keeper import Keeper
from workers.vsphere.hosts.record import Source, options_of
from workers.vsphere.hosts.settings import HostSettings

ROOT = Path(__file__).resolve().parents[2]
SECRET = "Kanarie-4711"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Say in ./vpoller.toml where the hosts are; vc09 is in the settings themselves."""
    path = tmp_path / "kept" / "hosts.db"
    config = tmp_path / "vpoller.toml"
    config.write_text(
        f'[agents.vsphere]\ndatabase = "{path}"\n'
        f'[[agents.vsphere.hosts]]\nhost = "vc09"\nuser = "root"\npassword = "{SECRET}-9"\n'
    )
    config.chmod(0o600)
    return path


def passwords(database: Path) -> dict[str, str]:
    """Return the passwords of the enabled hosts as logins would have them."""
    found = from_database({"database": str(database)})
    return {host.arguments["host"]: host.arguments["pwd"]() for host in found}


def added(vpoller: Vpoller, host: str, *more: str, password: str = SECRET) -> None:
    outcome = vpoller("host", "add", host, "--user", "root", *more, stdin=f"{password}\n".encode())
    assert outcome.code == 0, outcome.err


# add --------------------------------------------------------------------------------------


def test_a_password_is_read_from_stdin_and_encrypted(vpoller: Vpoller, database: Path) -> None:
    outcome = vpoller("host", "add", "vc01", "--user", "root", stdin=b" s3cret; w\xc3\xb6rd \n")
    assert outcome.code == 0
    assert outcome.out == ""
    assert f"vc01 is added: {database}" in outcome.err
    assert passwords(database) == {"vc01": " s3cret; wörd "}
    assert b"s3cret" not in database.read_bytes()


def test_a_password_is_asked_for_without_echo(tmp_path: Path, database: Path) -> None:
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vpoller_like.cli", "host", "add", "vc01", "--user", "root"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = os.read(terminal, 1000)
        while b"Password for vc01: " not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, SECRET.encode() + b"\n")
        while b"vc01 is added" not in shown:
            shown += os.read(terminal, 1000)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert SECRET.encode() not in shown
    assert passwords(database) == {"vc01": SECRET}


def test_a_password_may_stay_where_it_is(
    vpoller: Vpoller, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("from a file\n")
    (tmp_path / "password").chmod(0o600)
    monkeypatch.setenv("VC_PASSWORD", "from a variable")
    for host, *source in (
        ("vc01", "--password-file", "password"),
        ("vc02", "--password-env", "VC_PASSWORD"),
        ("vc03", "--password-command", "echo 'from  a command'"),
    ):
        assert vpoller("host", "add", host, "--user", "root", *source).code == 0
    told = {row["host"]: row["password"] for row in vpoller("host", "list").data}
    assert told == {
        "vc09": "settings",
        "vc01": f"file: {tmp_path}/password",
        "vc02": "environment: VC_PASSWORD",
        "vc03": "command: echo from  a command",
    }
    monkeypatch.chdir("/")
    assert passwords(database) == {
        "vc01": "from a file",
        "vc02": "from a variable",
        "vc03": "from  a command",
    }


def test_every_setting_of_a_host_can_be_said() -> None:
    """So that none is forgotten that comes later."""
    said = {option for parameter in add.params for option in parameter.opts}
    settings = options_of(HostSettings(host="h", user="u"))
    assert {f"--{name.replace('_', '-')}" for name in settings} <= said


def test_what_is_said_of_a_host_is_shown(vpoller: Vpoller, database: Path) -> None:
    added(vpoller, "vc01", "--port", "8443", "--no-verify", "--timeout-ms", "1500", "--disabled")
    shown = vpoller("host", "show", "vc01").data
    assert shown["host"] == "vc01"
    assert (shown["port"], shown["verify"], shown["timeout_ms"]) == (8443, False, 1500)
    assert (shown["enabled"], shown["password"], shown["origin"]) == (
        False,
        "encrypted",
        "database",
    )
    assert passwords(database) == {}


@pytest.mark.parametrize(
    ("arguments", "code", "fault"),
    [
        (["vc01"], 2, "--user is missing"),
        (["vc01", "--user", "u", "--port", "0"], 2, "--port"),
        (["vc01", "--user", "u", "--timeout-ms", "0"], 2, "--timeout-ms"),
        (["vc01", "--user", "u", "--password-env", "A", "--password-file", "b"], 2, "one of them"),
        (["vc01", "--user", "u", "--password-command", "a 'b"], 2, "--password-command"),
        (["vc01", "--user", "u", "--password-command", " "], 2, "command: it is empty"),
        (["vc01", "--user", "u", "--ca-file", "/no/such.pem"], 1, "there is no /no/such.pem"),
        (["vc01", "--user", "u", "--thumbprint", "zz"], 1, "thumbprint: expected"),
        (["vc01", "--user", "u", "--no-verify", "--thumbprint", "ab" * 20], 1, "contradicts"),
        (["https://vc01/sdk", "--user", "u"], 1, "host: expected a name or an address alone"),
        (["root@vc01", "--user", "u"], 1, "host: expected a name or an address alone"),
        (["vc01:8443", "--user", "u"], 1, "host: expected a name or an address alone"),
        (["vc\x1b[31m", "--user", "u"], 1, "host: expected a name or an address alone"),
        (["vc\udcff", "--user", "u"], 1, "host: expected a name or an address alone"),
        (["", "--user", "u"], 1, "`$.host`"),
        (["vc01", "--user", ""], 1, "`$.user`"),
        (["vc01", "--user", "u\nv"], 1, "user: expected printable characters"),
        (["vc01", "--user", "u", "--ca-file", ""], 1, "`$.ca_file`"),
        (["vc01", "--user", "u", "--password-env", ""], 2, "--password-env: it is empty"),
        (["vc01", "--user", "u", "--password-file", ""], 2, "--password-file: it is empty"),
        (["vc09", "--user", "u"], 1, "vc09 is in the settings"),
    ],
)
def test_what_is_wrong_is_told_before_a_password_is_read(
    vpoller: Vpoller, database: Path, arguments: list[str], code: int, fault: str
) -> None:
    outcome = vpoller("host", "add", *arguments)
    assert outcome.code == code
    assert fault in outcome.err
    assert "stdin" not in outcome.err
    assert not database.exists()


def test_a_password_cannot_be_given_on_the_command_line(vpoller: Vpoller, database: Path) -> None:
    outcome = vpoller("host", "add", "vc01", "--user", "root", f"--password={SECRET}")
    assert outcome.code == 2
    assert not database.exists()


@pytest.mark.parametrize("given", [b"Kanarie\nuser: me\n", b"Kanarie-\xe4\n", b"Kanarie" * 1000])
def test_what_is_not_one_line_of_text_is_no_password(
    vpoller: Vpoller, database: Path, given: bytes
) -> None:
    """A password manager prints notes after it; kept with them, it would be refused later."""
    outcome = vpoller("-v", "host", "add", "vc01", "--user", "root", stdin=given)
    assert (outcome.code, "as one line of UTF-8 text" in outcome.err) == (1, True)
    assert "Kanarie" not in outcome.err
    assert not database.exists()


def test_no_password_is_none(vpoller: Vpoller, database: Path) -> None:
    outcome = vpoller("host", "add", "vc01", "--user", "root", stdin=b"\n")
    assert (outcome.code, "Password for vc01: nothing was given" in outcome.err) == (1, True)
    assert not database.exists()


# --replace --------------------------------------------------------------------------------


def test_a_host_that_is_there_is_not_added_again(vpoller: Vpoller, database: Path) -> None:
    added(vpoller, "vc01")
    outcome = vpoller("host", "add", "vc01", "--user", "other", stdin=b"other\n")
    assert (outcome.code, "--replace" in outcome.err) == (1, True)
    assert passwords(database) == {"vc01": SECRET}


def test_replacing_changes_what_is_said_and_keeps_the_rest(
    vpoller: Vpoller, database: Path
) -> None:
    added(vpoller, "vc01", "--port", "8443", "--no-verify", "--disabled")
    replace = ("host", "add", "vc01", "--replace")
    assert vpoller(*replace, "--user", "other").code == 0
    assert vpoller(*replace, "--thumbprint", "ab" * 20).code == 0
    assert vpoller(*replace, stdin=b"a new one\n").code == 0
    shown = vpoller("host", "show", "vc01").data
    assert (shown["user"], shown["port"], shown["enabled"]) == ("other", 8443, False)
    assert (shown["verify"], shown["thumbprint"]) == (True, "ab" * 20)
    vpoller("host", "enable", "vc01")
    assert passwords(database) == {"vc01": "a new one"}


def test_what_changes_while_a_password_is_asked_for_stays_changed(
    vpoller: Vpoller, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(vpoller, "vc01")

    def answer(keeper: Keeper, host: str) -> Source:
        Keeper({"database": str(database)}).enable("vc01", False)
        return keeper.encrypted(host, "a new one")

    monkeypatch.setattr("workers.vsphere.hosts.options.asked", answer)
    assert vpoller("host", "add", "vc01", "--replace").code == 0
    assert vpoller("host", "show", "vc01").data["enabled"] is False


def test_replacing_a_host_that_is_not_there_adds_it(vpoller: Vpoller, database: Path) -> None:
    added(vpoller, "vc01", "--replace")
    assert passwords(database) == {"vc01": SECRET}


# list, show, enable, disable, remove ------------------------------------------------------


def test_hosts_are_listed_as_asked(vpoller: Vpoller, database: Path) -> None:
    assert [row["host"] for row in vpoller("host", "list").data] == ["vc09"]
    added(vpoller, "vc01")
    assert vpoller("host", "list", "-o", "table").out.splitlines() == [
        "host  port  user  password   enabled  origin",
        "vc09   443  root  settings   yes      settings",
        "vc01   443  root  encrypted  yes      database",
    ]
    assert vpoller("host", "show", "vc01", "-o", "yaml").out.startswith("host: vc01\n")
    assert database.exists()


def test_disabled_hosts_are_kept_and_not_served(vpoller: Vpoller, database: Path) -> None:
    added(vpoller, "vc01")
    assert vpoller("host", "disable", "vc01").code == 0
    assert passwords(database) == {}
    assert vpoller("host", "show", "vc01").data["enabled"] is False
    assert vpoller("host", "enable", "vc01").code == 0
    assert passwords(database) == {"vc01": SECRET}
    assert vpoller("host", "remove", "vc01").code == 0
    assert vpoller("host", "show", "vc01").code == 5


@pytest.mark.parametrize("verb", ["show", "enable", "disable", "remove", "test"])
def test_an_unknown_host_is_not_found(vpoller: Vpoller, database: Path, verb: str) -> None:
    outcome = vpoller("host", verb, "vc05")
    assert (outcome.code, outcome.out) == (5, "")
    assert outcome.err == "Error: there is no host vc05; `vpoller host list` shows them\n"
    assert not database.exists()


@pytest.mark.parametrize("verb", ["enable", "disable", "remove"])
def test_a_host_of_the_settings_is_changed_there(
    vpoller: Vpoller, database: Path, verb: str
) -> None:
    outcome = vpoller("host", verb, "vc09")
    assert (outcome.code, "vc09 is in the settings" in outcome.err) == (1, True)
    assert not database.exists()


def test_a_wrong_section_is_named(vpoller: Vpoller, database: Path) -> None:
    Path("vpoller.toml").write_text(f'[agents.vsphere]\ndatabse = "{database}"\n')
    outcome = vpoller("host", "list")
    assert (outcome.code, "did you mean database?" in outcome.err) == (1, True)


# test -------------------------------------------------------------------------------------


def test_what_is_in_the_way_is_told_for_each_host(vpoller: Vpoller, database: Path) -> None:
    added(vpoller, "127.0.0.1", "--port", "1")
    vpoller("host", "add", "vc02", "--user", "root", "--password-env", "VC_NOT_SET")
    outcome = vpoller("host", "test", "127.0.0.1", "vc02")
    assert outcome.code == 1
    refused, unset = outcome.data
    assert (refused["host"], refused["ok"], refused["reason"]) == (
        "127.0.0.1",
        False,
        "unreachable",
    )
    assert "127.0.0.1:1 cannot be reached" in refused["error"]
    assert unset["reason"] == "config"
    assert "VC_NOT_SET is not set" in unset["error"]
    assert database.exists()


def test_no_hosts_are_nothing_to_test(vpoller: Vpoller) -> None:
    outcome = vpoller("host", "test")
    assert (outcome.code, "no enabled host" in outcome.err) == (1, True)


# import -----------------------------------------------------------------------------------

ROWS = [
    ("vc01", "root", f"{SECRET}-1", 1),
    ("vc02", "root", f"{SECRET}-2", 0),
    ("vc03", None, "x", 1),
    ("vc04", "root", "", 1),
    ("vc05", "root", None, 1),
    ("https://vc06", "root", "x", 1),
    ("vc09", "root", f"{SECRET}-9", 1),
    (None, "root", "x", 1),
]


def results(outcome: Any) -> dict[str, tuple[str, str | None]]:
    return {row["host"]: (row["result"], row["reason"]) for row in outcome.data}


def test_vconnectors_hosts_are_taken_over_and_the_rest_is_told(
    vpoller: Vpoller, database: Path, tmp_path: Path
) -> None:
    theirs = make_vconnector(tmp_path / "vconnector.db", *ROWS)
    before = theirs.read_bytes()
    outcome = vpoller("host", "import", str(theirs), "--no-verify")
    assert outcome.code == 1
    told = results(outcome)
    assert told["vc01"] == told["vc02"] == ("taken", None)
    assert told["vc03"] == ("left", "it has no user")
    assert told["vc04"] == told["vc05"] == ("left", "it has no password")
    assert told[None] == ("left", "it has no host")  # type: ignore[index]
    assert "a name or an address alone" in str(told["https://vc06"])
    assert "is in the settings" in str(told["vc09"])
    assert "passwords in plain text" in outcome.err
    assert theirs.read_bytes() == before
    assert passwords(database) == {"vc01": f"{SECRET}-1"}
    assert vpoller("host", "show", "vc02").data["enabled"] is False
    assert vpoller("host", "show", "vc02").data["verify"] is False


def test_importing_again_changes_nothing(vpoller: Vpoller, database: Path, tmp_path: Path) -> None:
    theirs = make_vconnector(tmp_path / "vconnector.db", *ROWS[:2])
    assert vpoller("host", "import", str(theirs)).code == 0
    vpoller("host", "enable", "vc02")
    before = database.read_bytes()
    again = vpoller("host", "import", str(theirs))
    assert again.code == 0
    assert results(again) == {"vc01": ("unchanged", None), "vc02": ("unchanged", None)}
    assert database.read_bytes() == before


def test_a_host_that_differs_is_left_unless_replacing(
    vpoller: Vpoller, database: Path, tmp_path: Path
) -> None:
    added(vpoller, "vc01", "--port", "8443", password="ours")
    theirs = make_vconnector(tmp_path / "vconnector.db", ROWS[0])
    left = vpoller("host", "import", str(theirs))
    assert (left.code, results(left)["vc01"][0]) == (1, "left")
    assert passwords(database) == {"vc01": "ours"}
    taken = vpoller("host", "import", str(theirs), "--replace")
    assert (taken.code, results(taken)["vc01"]) == (0, ("replaced", None))
    assert passwords(database) == {"vc01": f"{SECRET}-1"}
    assert vpoller("host", "show", "vc01").data["port"] == 8443


def test_a_password_that_is_no_text_is_left_and_not_quoted(
    vpoller: Vpoller, database: Path, tmp_path: Path
) -> None:
    theirs = make_vconnector(tmp_path / "vconnector.db", *ROWS[:2])
    with contextlib.closing(sqlite3.connect(theirs)) as connection, connection:
        connection.execute(
            "UPDATE hosts SET pwd = CAST(? AS TEXT) WHERE host = 'vc01'", (b"Kanarie-\xe4",)
        )
    outcome = vpoller("-vv", "host", "import", str(theirs))
    assert results(outcome)["vc01"] == ("left", "it has no password")
    assert passwords(database) == {}
    assert vpoller("host", "show", "vc02").code == 0
    assert "Kanarie" not in outcome.out + outcome.err


def test_what_is_no_database_of_vconnectors_is_refused(vpoller: Vpoller, tmp_path: Path) -> None:
    missing = vpoller("host", "import", str(tmp_path / "gone.db"))
    assert (missing.code, "there is no" in missing.err) == (5, True)
    ours = keeper_at(tmp_path).store
    ours.make()
    assert "no database of vConnector's" in vpoller("host", "import", ours.path).err


# vconnector-cli ---------------------------------------------------------------------------

GRID = """\
+----------+----------+-------------+---------+
| Hostname | Username | Password    | Enabled |
+==========+==========+=============+=========+
| vc09     | root     | (settings)  | 1       |
+----------+----------+-------------+---------+
| vc01     | root     | (encrypted) | 0       |
+----------+----------+-------------+---------+
"""


def vconnector(vpoller: Vpoller, line: str) -> Any:
    return vpoller("vconnector-cli", *line.split())


def test_vconnectors_program_works_with_its_flags(vpoller: Vpoller, database: Path) -> None:
    assert vconnector(vpoller, "init").code == 0
    assert database.exists()
    assert vconnector(vpoller, "init").code == 0
    outcome = vconnector(vpoller, f"-H vc01 -U root -P {SECRET} add")
    assert outcome.code == 0
    assert "Notice: a password after -P can be seen by others" in outcome.err
    assert vconnector(vpoller, "get").out == GRID
    assert vconnector(vpoller, "-H vc01 enable").code == 0
    assert passwords(database) == {"vc01": SECRET}
    assert vconnector(vpoller, "--host vc01 --user you --pwd another update").code == 0
    assert passwords(database) == {"vc01": "another"}
    assert vpoller("host", "show", "vc01").data["user"] == "you"
    assert vconnector(vpoller, "-D -H vc01 disable").code == 0
    assert passwords(database) == {}
    assert vconnector(vpoller, "-H vc01 remove").code == 0
    assert "vc01" not in vconnector(vpoller, "get").out


def test_vconnectors_program_takes_another_database(vpoller: Vpoller, tmp_path: Path) -> None:
    other = tmp_path / "other" / "hosts.db"
    assert vconnector(vpoller, f"-d {other} -H vc01 -U root -P {SECRET} add").code == 0
    assert "vc01" in vconnector(vpoller, f"--database {other} get").out
    assert other.exists()
    assert (other.parent / "vsphere-hosts.key").exists()


@pytest.mark.parametrize(
    ("line", "code", "fault"),
    [
        ("enable", 2, "enable needs --host"),
        ("-H vc01 -U root add", 2, "add needs --pwd"),
        ("-H vc01 delete", 2, "'delete' is not one of"),
        ("-H vc05 enable", 5, "there is no host vc05"),
        ("-H vc05 remove", 5, "there is no host vc05"),
    ],
)
def test_vconnectors_program_says_what_is_wrong(
    vpoller: Vpoller, database: Path, line: str, code: int, fault: str
) -> None:
    outcome = vconnector(vpoller, line)
    assert (outcome.code, fault in outcome.err) == (code, True)
    assert not database.exists()


def test_vconnectors_program_does_not_write_into_vconnectors_database(
    vpoller: Vpoller, tmp_path: Path
) -> None:
    theirs = make_vconnector(tmp_path / "vconnector.db", ROWS[0])
    theirs.chmod(0o600)
    outcome = vconnector(vpoller, f"-d {theirs} get")
    assert (outcome.code, "is vConnector's" in outcome.err) == (1, True)
    assert SECRET not in outcome.out + outcome.err


# The canary -------------------------------------------------------------------------------


def test_no_verb_shows_a_password(vpoller: Vpoller, database: Path, tmp_path: Path) -> None:
    """Whatever is asked, at whatever length, in whatever format: no part of it is said."""
    (tmp_path / "password").write_text(f"{SECRET}-file\n")
    (tmp_path / "password").chmod(0o600)
    theirs = make_vconnector(tmp_path / "vconnector.db", *ROWS[:2], ("vc11", "root", SECRET, 1))
    file = ("--password-file", "password")
    fail = ("--password-command", f"sh -c 'cat {tmp_path}/password; exit 1'")
    runs: list[tuple[str, ...]] = [
        ("host", "add", "127.0.0.1", "--user", "root", "--port", "1"),
        ("host", "add", "127.0.0.1", "--user", "root"),
        ("host", "add", "127.0.0.1", "--replace"),
        ("host", "add", "localhost", "--user", "root", "--port", "1", *file),
        ("host", "import", str(theirs)),
        ("host", "import", str(theirs), "--replace", "-o", "table"),
        *(("host", "list", "-o", output) for output in ("table", "json", "yaml")),
        *(("host", "show", host, "-o", "yaml") for host in ("127.0.0.1", "vc01", "vc09")),
        ("host", "add", "vc13", "--user", "root", *fail),
        ("host", "test", "127.0.0.1", "localhost", "vc13"),
        ("vconnector-cli", "-H", "vc12", "-U", "root", "-P", SECRET, "add"),
        ("vconnector-cli", "-H", "vc12", "-U", "root", "-P", SECRET),
        ("vconnector-cli", "-H", f"https://{SECRET}", "-U", "root", "-P", SECRET, "add"),
        ("vconnector-cli", "get"),
        ("config", "show", "--origin"),
        ("doctor", "agents", "configuration"),
        ("host", "remove", "vc12"),
    ]
    for run in runs:
        VAULT.forget()  # Each is a process of its own, which has to learn of it.
        outcome = vpoller("-vv", *run, stdin=f"{SECRET}\n".encode())
        assert SECRET[:7] not in outcome.out + outcome.err, run
    for path in database.parent.iterdir():
        assert SECRET[:7].encode() not in path.read_bytes(), path


# doctor -----------------------------------------------------------------------------------


def problems(vpoller: Vpoller) -> list[str]:
    found = vpoller("doctor", "agents").data
    return [each["text"] for each in found if each["level"] == "problem"]


@pytest.fixture
def serving(database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VPOLLER_WORKER_AGENTS", "vsphere")
    return database


def test_the_doctor_finds_nothing_wrong_where_nothing_is(vpoller: Vpoller, serving: Path) -> None:
    added(vpoller, "vc01")
    assert problems(vpoller) == []
    assert "for 2 hosts" in vpoller("doctor", "agents").out
    assert serving.exists()


def test_the_doctor_looks_at_the_files_modes(vpoller: Vpoller, serving: Path) -> None:
    added(vpoller, "vc01")
    key = serving.parent / "vsphere-hosts.key"
    key.chmod(0o644)
    assert problems(vpoller) == [f"key_file: {key} is open to others (mode 0644); chmod 600 {key}"]
    key.chmod(0o600)
    serving.chmod(0o606)
    assert problems(vpoller) == [
        f"database: {serving} is open to others (mode 0606); chmod 600 {serving}"
    ]


def test_the_doctor_tries_to_read_each_password(
    vpoller: Vpoller, serving: Path, tmp_path: Path
) -> None:
    added(vpoller, "vc01")
    vpoller("host", "add", "vc02", "--user", "root", "--password-file", "gone")
    vpoller("host", "add", "vc03", "--user", "root", "--password-command", "touch ran")
    (serving.parent / "vsphere-hosts.key").unlink()
    keeper_at(serving.parent).key.make()
    first, second = problems(vpoller)
    assert first.startswith("vc01: key_file: the password of vc01 was not encrypted with")
    assert second.startswith(f"vc02: password_file: {tmp_path}/gone cannot be read")
    assert not (tmp_path / "ran").exists()
