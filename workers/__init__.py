"""The agents that ship with vpoller-like. They use :mod:`vpoller_like.agent` only."""
