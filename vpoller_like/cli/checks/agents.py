"""The worker's agents: installed, importable, and content with their settings.

They are made as a worker makes them, and not set up: nothing is contacted.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpoller_like.agent import AgentHost, load_agents
from vpoller_like.agent.loader import agent_sources
from vpoller_like.agent.vault import VAULT
from vpoller_like.cli.checks.finding import Finding, Reporter, count
from vpoller_like.config import Settings
from vpoller_like.errors import VPollerError

report = Reporter("agents")


def check(settings: Settings) -> Iterator[Finding]:
    """Look at each agent that the worker would load, and at all of them together."""
    names = list(dict.fromkeys(settings.worker.agents))
    if not names:
        yield report.warning("worker.agents names none", "name the agents that this worker runs")
        return
    findings = [look_at([name], settings) for name in names]
    yield from findings
    for name in names:
        yield from complaints(name, settings)
    if len(names) > 1 and all(finding.level == "ok" for finding in findings):
        together = look_at(names, settings)
        if together.level != "ok":
            yield together


def complaints(name: str, settings: Settings) -> Iterator[Finding]:
    """Say what an agent itself finds wrong, unless it cannot even be made."""
    try:
        (source,) = agent_sources([name], settings.agents)
        source.instances()
        for text in source.complaints():
            yield report.problem(VAULT.hide(text))
    except VPollerError:
        return  # which has been told


def look_at(names: list[str], settings: Settings) -> Finding:
    """Say whether a worker could load these agents together."""
    try:
        offers = AgentHost(load_agents(names, settings.agents)).offers()
    except VPollerError as error:
        return report.problem(VAULT.hide(error.message))
    if not offers:
        return report.warning(
            f"{', '.join(names)}: no host is configured yet, so nothing is served",
            "add one; a worker that runs takes it up",
        )
    methods = len({method.name for offer in offers for method in offer.methods})
    hosts = {host for offer in offers for host in offer.hosts or ()}
    for_hosts = f" for {count(len(hosts), 'host')}" if hosts else ""
    return report.ok(f"{', '.join(names)}: {count(methods, 'method')}{for_hosts}")
