"""The broker: takes requests in, gives them to workers, brings the replies back."""

from vpoller_like.broker.core import BrokerCore
from vpoller_like.broker.server import BrokerServer, run_broker

__all__ = ["BrokerCore", "BrokerServer", "run_broker"]
