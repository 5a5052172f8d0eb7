"""Finding agents by their entry points, ours and everyone's alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from vpoller_like.agent.agent import Agent, is_revised, tasks_of
from vpoller_like.agent.secrets import settings_secrets
from vpoller_like.agent.vault import VAULT
from vpoller_like.errors import AgentError, ConfigError

GROUP = "vpoller_like.agents"

T = TypeVar("T")


class AgentSource:
    """Where the instances of one agent come from: its class and its section's ``settings``."""

    def __init__(self, name: str, kind: type[Agent], settings: Mapping[str, Any]) -> None:
        self.name = name
        self._kind = kind
        self._settings = settings
        #: Whether they may become others while a worker runs.
        self.is_revised = is_revised(kind)

    def revision(self) -> Hashable:
        """Return what changes when the instances do; raises as :meth:`instances` does."""
        return self._asked(lambda: self._kind.revision(self._settings))

    def instances(self) -> list[Agent]:
        """Make the instances that are configured now.

        Raises ``ConfigError`` or ``AgentError``, whose message tells no secret; also where
        there is none, unless the agent may have some later.
        """
        agents = self._asked(lambda: list(self._kind.from_config(self._settings)))
        if not agents and self.revision() is None:
            raise ConfigError(
                f"agents.{self.name}: no host is configured; add one, or do not load it"
            )
        return agents

    def complaints(self) -> list[str]:
        """Return what the agent says is wrong; raises as :meth:`instances` does."""
        return self._asked(lambda: list(self._kind.complaints(self._settings)))

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (ConfigError, AgentError) as error:
            error.message = VAULT.hide(error.message)
            error.args = (error.message,)
            raise
        except Exception as error:
            text = VAULT.hide(str(error))
            raise AgentError(
                f"agent {self.name} cannot be made from its settings: "
                f"{type(error).__name__}: {text}"
            ) from error


def available_agents() -> dict[str, EntryPoint]:
    """Return the installed agents by name, without importing any."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP))}


def load_agents(names: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[Agent]:
    """Return the instances that ``settings`` configures of the agents ``names``.

    Raises what :func:`agent_sources` and :meth:`AgentSource.instances` do.
    """
    sources = agent_sources(names, settings)
    return [agent for source in sources for agent in source.instances()]


def agent_sources(
    names: Sequence[str], settings: Mapping[str, Mapping[str, Any]]
) -> list[AgentSource]:
    """Return where the instances of the agents ``names`` come from, in their order.

    ``settings`` has a section for each agent, by name; one without a section gets an
    empty one. Only what is named is imported. Raises ``AgentError`` for an agent that is
    unknown or cannot be loaded; secret settings are in no log from here on.
    """
    VAULT.keep(settings_secrets(settings))
    available = available_agents()
    return [
        AgentSource(name, _load(name, available), settings.get(name, {}))
        for name in dict.fromkeys(names)
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
