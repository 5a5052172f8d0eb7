"""``vpoller doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import click
import msgspec

from vpoller_like.cli.checks import agents, brokers, configuration, keyring, machine, ports
from vpoller_like.cli.checks.finding import Finding, Reporter
from vpoller_like.cli.credentials import with_key_files
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.output import emit, output_option
from vpoller_like.cli.session import BadSettings, Session
from vpoller_like.loading import Loaded


class Examination:
    """All checks of one run, by area; each asks a broker at most once."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._settings = loaded.settings
        self.areas: dict[str, Callable[[], Iterable[Finding]]] = {
            "configuration": lambda: configuration.check(self._loaded),
            "machine": lambda: machine.check(self._settings),
            "keys": lambda: keyring.check(self._settings),
            "ports": lambda: ports.check(self._settings, self._asked.status),
            "agents": lambda: agents.check(self._settings),
            "brokers": lambda: brokers.check(self._with_keys, self._asked),
        }

    def findings(self, area: str) -> Iterator[Finding]:
        """Examine one area. A check that fails itself is a finding, too."""
        try:
            yield from self.areas[area]()
        except Exception as error:
            reason = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
            yield Reporter(area).problem(f"this could not be examined: {reason}")

    @cached_property
    def _asked(self) -> brokers.Asked:
        return brokers.ask_status(self._with_keys.client)

    @cached_property
    def _with_keys(self) -> Any:
        return msgspec.structs.replace(self._settings, client=with_key_files(self._settings))


AREAS = ("configuration", "machine", "keys", "ports", "agents", "brokers")


@click.command("doctor")
@click.argument("areas", nargs=-1, type=click.Choice(AREAS), metavar="[AREA]...")
@output_option
@click.pass_obj
def command(session: Session, areas: tuple[str, ...], output: str | None) -> int:
    """Look for what is wrong here, and say what to do about it.

    The areas are configuration, machine, keys, ports, agents and brokers; all of them unless
    said. Nothing is changed, no task is run, and no agent contacts anything. The exit code is
    1 where there is a problem; a warning is none.
    """
    findings = list(examine(session, areas or AREAS))
    emit([msgspec.structs.asdict(finding) for finding in findings], output, _lines)
    return Exit.FAILED if any(each.level == "problem" for each in findings) else Exit.OK


def examine(session: Session, areas: Sequence[str]) -> Iterator[Finding]:
    """Examine these areas; wrong settings are the only finding, as all else rests on them."""
    try:
        examination = Examination(session.load())
    except BadSettings as error:
        yield configuration.report.problem(error.message)
        return
    for area in areas:
        yield from examination.findings(area)


def _lines(findings: list[dict[str, str]]) -> str:
    return "".join(f"{_line(finding)}\n" for finding in findings)


def _line(finding: dict[str, str]) -> str:
    advice = f"; {finding['advice']}" if finding["advice"] else ""
    return f"{finding['level']:8} {finding['area']:14} {finding['text']}{advice}"
