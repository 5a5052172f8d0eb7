"""The SDK for agents: what serves methods.

An agent is a class with tasks; a worker, or a client that runs locally, hosts it::

    class Hello(Agent):
        name = "hello"

        @task("hello.greet", retry_safe=True)
        def greet(self, msg: Greet) -> dict[str, str]:
            return {"greeting": f"Hello, {msg.name}"}

It registers as an entry point in group ``vpoller_like.agents``. How-to: write an agent.
"""

from vpoller_like.agent import settings
from vpoller_like.agent.agent import Agent
from vpoller_like.agent.answer import Answer
from vpoller_like.agent.bound import BoundTask
from vpoller_like.agent.helpers import Helper, available_helpers
from vpoller_like.agent.host import AgentHost
from vpoller_like.agent.loader import available_agents, load_agents
from vpoller_like.agent.outcome import Outcome
from vpoller_like.agent.params import Params, Secret
from vpoller_like.agent.secrets import redact
from vpoller_like.agent.task import Task, task
from vpoller_like.agent.vault import hide_from_now_on

__all__ = [
    "Agent",
    "AgentHost",
    "Answer",
    "BoundTask",
    "Helper",
    "Outcome",
    "Params",
    "Secret",
    "Task",
    "available_agents",
    "available_helpers",
    "hide_from_now_on",
    "load_agents",
    "redact",
    "settings",
    "task",
]
