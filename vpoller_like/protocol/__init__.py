"""Bytes to typed messages and back, without sockets.

:mod:`.encoding` tells JSON from MessagePack; :mod:`.envelope`, :mod:`.request` and
:mod:`.reply` are what clients speak; :mod:`.worker` is what workers speak. Every
parser returns a message or raises :class:`~vpoller_like.errors.ProtocolError`.
"""
