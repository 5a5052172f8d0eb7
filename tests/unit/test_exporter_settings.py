"""Where the exporter listens, whom it answers, and what it needs to start."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("prometheus_client")

from tests.support.cli import Vpoller, vpoller
from vpoller_like.errors import ConfigError
from vpoller_like.gateway.exporter import Networks

__all__ = ["vpoller"]


@pytest.mark.parametrize(
    ("listen", "fault"),
    [
        ("0.0.0.0:10127", "not a loopback address"),
        ("[::]:10127", "not a loopback address"),
        ("metrics.example.org:10127", "not a loopback address"),
        ("127.0.0.1:99999", "a port below 65536"),
        ("127.0.0.1", "exporter.listen"),
    ],
)
def test_it_does_not_listen_where_anybody_could_ask(
    vpoller: Vpoller, listen: str, fault: str
) -> None:
    outcome = vpoller("exporter", "--listen", listen)
    assert outcome.code != 0
    assert outcome.err.startswith("Error: ")
    assert fault in outcome.err


def test_a_network_that_is_none_is_named(vpoller: Vpoller) -> None:
    outcome = vpoller("exporter", "--allow", "10.1.0.0/99")
    assert outcome.code == 1
    assert "exporter.allow" in outcome.err
    assert "10.1.0.0/99" in outcome.err


def test_a_missing_extra_is_named(vpoller: Vpoller, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("vpoller_like.gateway")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "h11", None)
    outcome = vpoller("exporter")
    assert outcome.code == 1
    assert "pip install 'vpoller-like[metrics]'" in outcome.err


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.1.200.3", True),
        ("::ffff:10.1.200.3", True),
        ("10.2.0.1", False),
        ("::ffff:10.2.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("fe80::1%eth0", False),
        ("2001:db8::5", True),
    ],
)
def test_this_machine_and_the_named_networks_may_ask(address: str, admitted: bool) -> None:
    networks = Networks(["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"])
    assert networks.admit(address) is admitted


def test_without_networks_only_this_machine_may() -> None:
    assert not Networks([]).admit("10.1.0.1")
    with pytest.raises(ConfigError):
        Networks(["everybody"])
