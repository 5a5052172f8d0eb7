"""The agent ``system``: facts about the machine that it runs on."""

from workers.system.agent import SystemAgent

__all__ = ["SystemAgent"]
