"""How often workers are to be heard, and what that depends on."""

from __future__ import annotations

from tests.support.core import Player, Stage
from vpoller_like.broker.rhythm import MAX_BEATS, Rhythm
from vpoller_like.config import BrokerSettings
from vpoller_like.protocol import worker as wire


def _intervals(stage: Stage, player: Player) -> list[tuple[int, int]]:
    welcomes = stage.said(wire.Welcome, player.peer)
    return [(welcome.heartbeat_ms, welcome.liveness_ms) for welcome in welcomes]


def _crowd(stage: Stage, count: int) -> list[Player]:
    return [Player(stage, name=f"w{number}") for number in range(count)]


def test_few_workers_keep_to_the_settings() -> None:
    stage = Stage()
    players = _crowd(stage, MAX_BEATS)
    assert all(_intervals(stage, player) == [(1000, 3000)] for player in players)


def test_where_there_are_many_all_are_asked_to_say_less() -> None:
    stage = Stage()
    players = _crowd(stage, MAX_BEATS + 1)
    assert _intervals(stage, players[0]) == [(1000, 3000), (2000, 6000)]
    assert _intervals(stage, players[-1]) == [(2000, 6000)]


def test_heartbeats_together_stay_below_what_the_broker_has_time_for() -> None:
    rhythm = Rhythm(BrokerSettings())
    for workers in range(1, 3000):
        rhythm.fit(workers)
        assert workers * 1000 / rhythm.heartbeat_ms <= MAX_BEATS


def test_telling_all_is_rare_however_many_come_one_by_one() -> None:
    rhythm = Rhythm(BrokerSettings())
    assert sum(rhythm.fit(workers) for workers in range(1, 3000)) == 6


def test_a_worker_that_comes_and_goes_changes_nothing() -> None:
    rhythm = Rhythm(BrokerSettings())
    assert rhythm.fit(MAX_BEATS + 1)
    assert not any(rhythm.fit(MAX_BEATS + number % 2) for number in range(20))


def test_rarer_heartbeats_in_the_settings_are_kept_for_more_workers() -> None:
    rhythm = Rhythm(BrokerSettings(heartbeat_ms=10_000, liveness_ms=30_000))
    assert not rhythm.fit(10 * MAX_BEATS)
    assert (rhythm.heartbeat_ms, rhythm.liveness_ms) == (10_000, 30_000)


def test_no_interval_is_longer_than_can_be_said() -> None:
    rhythm = Rhythm(BrokerSettings(heartbeat_ms=3_000_000, liveness_ms=86_400_000))
    rhythm.fit(1_000_000)
    assert max(rhythm.heartbeat_ms, rhythm.liveness_ms) == 3_600_000


def test_silence_is_judged_by_what_workers_were_told() -> None:
    stage = Stage()
    players = _crowd(stage, MAX_BEATS + 1)
    stage.pass_time(5.5)
    assert len(stage.core.roster.workers) == len(players)
    stage.pass_time(1.0)
    assert not stage.core.roster.workers


def test_who_kept_to_the_longer_intervals_is_not_given_up_when_they_end() -> None:
    stage = Stage()
    players = _crowd(stage, MAX_BEATS + 1)
    stage.pass_time(5.0)
    for player in players[MAX_BEATS // 4 :]:
        player.says(wire.Bye())
    left = players[: MAX_BEATS // 4]
    assert _intervals(stage, left[0])[-1] == (1000, 3000)
    stage.pass_time(2.0)
    assert len(stage.core.roster.workers) == len(left)
    stage.pass_time(1.5)
    assert not stage.core.roster.workers


def test_who_is_told_of_shorter_intervals_hears_the_broker_within_them() -> None:
    """It was silent for a heartbeat of the long ones, and was asked for a HELLO again."""
    stage = Stage()
    players = _crowd(stage, 5 * MAX_BEATS)
    stage.tick()
    for player in players[10:]:
        player.bye()
    assert _intervals(stage, players[0])[-1] == (1000, 3000)
    stage.told.clear()
    stage.pass_time(1.2, alive=players[:10])
    assert stage.said(wire.Alive, players[0].peer)
