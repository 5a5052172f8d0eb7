"""Finding agents by their entry points, ours and everyone's alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from vpoller_like.agent.agent import Agent, tasks_of
from vpoller_like.agent.secrets import settings_secrets
from vpoller_like.agent.vault import VAULT
from vpoller_like.errors import AgentError, ConfigError

GROUP = "vpoller_like.agents"


def available_agents() -> dict[str, EntryPoint]:
    """Return the installed agents by name, without importing any."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}


def load_agents(names: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[Agent]:
    """Return the instances that ``settings`` configures of the agents ``names``.

    ``settings`` has a section for each agent, by name; one without a section gets an
    empty one. Only what is named is imported. Raises ``AgentError`` for an agent that is
    unknown or cannot be loaded, ``ConfigError`` for its settings; secret settings are in
    neither, and from here on in no log.
    """
    VAULT.keep(settings_secrets(settings))
    available = available_agents()
    return [
        agent
        for name in dict.fromkeys(names)
        for agent in _instances(name, _load(name, available), settings.get(name, {}))
    ]


def _load(name: str, available: Mapping[str, EntryPoint]) -> type[Agent]:
    entry = available.get(name)
    if entry is None:
        raise AgentError(_unknown(name, list(available)))
    _refuse_ambiguous(name)
    try:
        loaded = entry.load()
    except Exception as error:
        raise AgentError(_import_failure(entry, error)) from error
    return _checked(name, entry, loaded)


def _unknown(name: str, available: list[str]) -> str:
    close = get_close_matches(name, available, 1, 0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    installed = ", ".join(available) or "none"
    return f"agent {name} is not installed{hint} (installed: {installed})"


def _refuse_ambiguous(name: str) -> None:
    values = sorted({entry.value for entry in entry_points(group=GROUP, name=name)})
    if len(values) > 1:
        raise AgentError(
            f"agent {name} is provided twice, as {' and '.join(values)}; uninstall one"
        )


def _import_failure(entry: EntryPoint, error: Exception) -> str:
    failed = f"agent {entry.name} ({entry.value}) cannot be imported"
    if isinstance(error, ModuleNotFoundError):
        return f"{failed}: {error}; {_remedy(entry, error.name or '')}"
    return f"{failed}: {type(error).__name__}: {error}"


def _remedy(entry: EntryPoint, module: str) -> str:
    package = entry.dist.name if entry.dist else ""
    extras = (entry.dist.metadata.get_all("Provides-Extra") if entry.dist else None) or []
    wanted = entry.extras or [extra for extra in extras if extra == entry.name]
    # The agent's own module missing is a broken installation, which no extra mends.
    if wanted and not f"{entry.module}.".startswith(f"{module}."):
        return f"pip install '{package}[{','.join(wanted)}]' brings what it needs"
    return f"install it, or reinstall {package or 'the package that provides the agent'}"


def _checked(name: str, entry: EntryPoint, loaded: object) -> type[Agent]:
    if not isinstance(loaded, type) or not issubclass(loaded, Agent):
        raise AgentError(f"agent {name} ({entry.value}) is not a subclass of Agent")
    if not loaded.name:
        raise AgentError(f'agent {name} ({entry.value}) has no name; give it name = "{name}"')
    if not tasks_of(loaded):
        raise AgentError(
            f"agent {name} ({entry.value}) has no tasks; decorate its methods with @task"
        )
    return loaded


def _instances(name: str, kind: type[Agent], settings: Mapping[str, Any]) -> list[Agent]:
    try:
        agents: list[Agent] = list(kind.from_config(settings))
    except (ConfigError, AgentError) as error:
        error.message = VAULT.hide(error.message)
        error.args = (error.message,)
        raise
    except Exception as error:
        text = VAULT.hide(str(error))
        raise AgentError(
            f"agent {name} cannot be made from its settings: {type(error).__name__}: {text}"
        ) from error
    if not agents:
        raise ConfigError(f"agents.{name}: no host is configured; add one, or do not load it")
    return agents
