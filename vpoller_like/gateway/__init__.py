"""Gateways: other protocols' ways to say the same message. Needs the extra ``metrics``."""

from vpoller_like.gateway.exporter import run_exporter

__all__ = ["run_exporter"]
