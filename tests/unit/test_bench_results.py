"""What the benchmark makes of its samples."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.bench import original
from tests.bench.measuring import Sample
from tests.bench.report import write_csv, write_rst
from tests.bench.results import Results, broker_cpu, p50, rate
from tests.bench.rows import WINDOW, Row, all_rows, chosen
from tests.bench.targets import verdicts
from tests.bench.ways import BASE, OURS_C, OURS_PURE, USUAL

ROW = Row("python", WINDOW)


def sample(rate: float, broker_cpu: float = 10.0) -> Sample:
    return Sample(rate, 100.0, 200.0, broker_cpu, 5.0, 2.0)


def results(*rounds: tuple[float, float]) -> Results:
    found = Results()
    for base, own in rounds:
        found.add(ROW, BASE, sample(2 * base))
        found.add(ROW, USUAL, sample(base))
        found.add(ROW, OURS_C, sample(own))
    return found


def test_a_ratio_is_the_median_of_each_rounds_own() -> None:
    found = results((100.0, 50.0), (200.0, 160.0), (10.0, 9.0))
    assert found.ratio(ROW, OURS_C, rate, USUAL) == pytest.approx((0.8, 0.5, 0.9))


def test_what_was_not_measured_has_no_ratio() -> None:
    found = results((100.0, 50.0))
    assert found.ratio(ROW, OURS_PURE, rate) is None
    assert found.median(ROW, OURS_PURE, rate) is None


def test_lost_answers_are_told_from_what_was_not_asked() -> None:
    found = results((100.0, 50.0))
    found.add(ROW, original.NAME, None)
    assert found.lost(ROW, original.NAME)
    assert not found.lost(ROW, OURS_PURE)
    assert found.ratio(ROW, original.NAME, rate) is None


def test_targets_are_met_or_missed_by_the_ratio() -> None:
    found = {verdict.goal.name: verdict for verdict in verdicts(results((100.0, 94.0)))}
    assert not found["requests per second, Python workers"].is_met
    assert found["broker CPU, DEALER 64"].is_met
    found = {verdict.goal.name: verdict for verdict in verdicts(results((100.0, 95.0)))}
    assert found["requests per second, Python workers"].is_met
    assert found["requests per second, Python workers"].lean == pytest.approx(0.475)


def test_a_target_that_was_not_measured_is_neither_met_nor_missed() -> None:
    assert verdicts(Results()) == []


def test_the_load_that_is_at_work_all_the_time_is_seen() -> None:
    assert sample(400_000.0).load_share == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("c REQ 64 16KiB meta", ["c REQ 64 16KiB meta"]),
        (
            "python REQ 1 150B bare; c batch 64 bare",
            ["python REQ 1 150B bare", "c batch 64 150B bare"],
        ),
        ("nothing", []),
    ],
)
def test_rows_are_chosen_by_their_words(only: str, names: list[str]) -> None:
    assert [row.name for row in chosen(only)] == names


def test_all_rows_are_chosen_by_no_words_and_have_names_of_their_own() -> None:
    names = [row.name for row in all_rows()]
    assert chosen("") == list(all_rows())
    assert len(set(names)) == len(names) > 40


def test_the_figures_are_written(tmp_path: Path) -> None:
    found = results((100.0, 50.0))
    found.add(ROW, original.NAME, None)
    write_csv(found, tmp_path / "results.csv")
    lines = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [line["way"] for line in lines] == [BASE, USUAL, OURS_C, original.NAME]
    assert lines[2]["rate x"] == "0.250"
    write_rst(found, verdicts(found), {"Date": "today"}, tmp_path / "results.rst")
    text = (tmp_path / "results.rst").read_text()
    assert '"DEALER 64", "150B", "bare", "200", "0.50", "0.25", "", "lost"' in text
    assert '"0.50", "**missed**", "0.25"' in text


def test_figures_are_taken_out_of_samples() -> None:
    one = sample(3.0, 7.0)
    assert (rate(one), p50(one), broker_cpu(one)) == (3.0, 100.0, 7.0)
