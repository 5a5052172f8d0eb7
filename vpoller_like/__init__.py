"""vpoller-like: task distribution over ZeroMQ.

Import from the package that holds what you need: :mod:`vpoller_like.client` to ask,
:mod:`vpoller_like.agent` to serve, :mod:`vpoller_like.errors` for what can go wrong.
"""

__version__ = "0.1.0"
