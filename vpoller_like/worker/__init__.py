"""The worker: processes that run tasks for brokers, and what keeps them running."""

from vpoller_like.worker.core import Identity, WorkerCore
from vpoller_like.worker.supervisor import Patience, Supervisor, run_worker

__all__ = ["Identity", "Patience", "Supervisor", "WorkerCore", "run_worker"]
