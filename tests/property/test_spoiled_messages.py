"""Spoiled messages by the ten thousand, for everything that reads bytes from elsewhere.

``tests/faults/fuzz_decoders.py`` feeds as many as asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.decoders import GIANTS, TARGETS
from tests.support.fuzzing import BLOCK, blocks, fault_of, fuzz
from vpoller_like.client import outcome
from vpoller_like.protocol import worker as wire

SEED = 20261122
#: Blocks for each target.
BLOCKS = 40
#: Seconds for an input as large as the doors let in, on a machine that is busy as well.
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_no_spoiled_message_upsets_it(name: str) -> None:
    figures = fuzz(SEED, blocks(0, BLOCKS, 1, [name]), BLOCKS)
    assert not figures.faults, figures.faults[0]
    assert figures.total == BLOCKS * BLOCK


@pytest.mark.parametrize("name", GIANTS)
def test_the_largest_messages_are_dealt_with_in_bounded_time(name: str) -> None:
    kind, make = GIANTS[name]
    target, frames = kind(), make()
    start = time.thread_time()
    assert not fault_of(target, frames)
    assert time.thread_time() - start < PATIENCE


def test_a_client_that_falls_over_a_large_number_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(envelope: dict[str, Any]) -> float:
        told = (envelope.get("error") or {}).get("retry_after_ms")
        return told / 1000 if isinstance(told, int | float) else 0.0

    monkeypatch.setattr(outcome, "retry_after", careless)
    assert fuzz(SEED, blocks(0, BLOCKS, 1, ["client"]), BLOCKS).faults


def test_a_decoder_that_lets_other_errors_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "DECODE_FAULTS", (KeyError,))
    assert fuzz(SEED, blocks(0, BLOCKS, 1, ["from-worker"]), BLOCKS).faults
