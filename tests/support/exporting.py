"""An exporter as a real process, and asking it as Prometheus does."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_plain

from tests.support.fabric import Fabric, Running, eventually, free_endpoints

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

#: A sample's name and labels, and its value.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Reply:
    """What came back."""

    def __init__(self, reply: http.client.HTTPResponse) -> None:
        self.status = reply.status
        self.headers = {name.lower(): value for name, value in reply.getheaders()}
        self.body = reply.read()

    @property
    def text(self) -> str:
        return self.body.decode()

    def samples(self) -> Samples:
        """Return the samples; fail where the text is not of the format that it says."""
        kind = self.headers["content-type"]
        read = read_openmetrics if kind.startswith("application/openmetrics-text") else read_plain
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in read(self.text)
            for sample in family.samples
        }

    def value(self, name: str, /, **labels: str) -> float | None:
        """Return a sample's value."""
        return self.samples().get((name, frozenset(labels.items())))


class Exporter:
    """One ``vpoller exporter``, asked at ``port``."""

    def __init__(self, process: Running, port: int) -> None:
        self.process = process
        self.port = port

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        timeout: float = 30.0,
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def connected(self) -> socket.socket:
        """Return a connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def answers(self) -> bool:
        """Say whether it is ready."""
        if self.process.exit_code is not None:
            raise ChildProcessError(f"the exporter ended:\n{self.process.log.read_text()}")
        try:
            return self.get("/-/ready").status == 200
        except ConnectionError:
            return False


@contextmanager
def exporting(fabric: Fabric, *arguments: str, frontend: str = "") -> Iterator[Exporter]:
    """Run an exporter for a fabric's broker, and end it afterwards."""
    port = int(free_endpoints(1)[0].rpartition(":")[2])
    listen = ("--listen", f"127.0.0.1:{port}", "--endpoint", frontend or fabric.frontend)
    command = ("exporter", *listen, *arguments)
    exporter = Exporter(Running(f"exporter-{port}", command, fabric.env, fabric.place), port)
    try:
        eventually(exporter.answers, "the exporter is ready")
        yield exporter
    finally:
        assert exporter.process.end(), "SIGTERM did not end the exporter"
