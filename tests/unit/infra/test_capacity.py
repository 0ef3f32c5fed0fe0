"""What the simulation says of loads whose answer is plain, and what holds for every load."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.capacity import Forecast, draw_arrivals, forecast, judge, least_workers, measure, percentiles
from infra.capacity_terms import CapacityError, Fleet, Load
from infra.cli import main as command_line

ONE = Fleet(1, images_a_second=10.0)

arrivals_in_order = st.lists(st.floats(0, 100), max_size=120).map(sorted)
fleets = st.builds(
    Fleet,
    workers=st.integers(1, 6),
    images_a_second=st.floats(1, 20),
    max_batch=st.integers(1, 16),
    fixed_seconds=st.floats(0, 0.04),
    max_in_flight=st.integers(1, 64),
    at_full_speed=st.one_of(st.none(), st.integers(1, 3)),
)


def served(arrivals: list[float], fleet: Fleet) -> Forecast:
    return measure(arrivals, list(judge(arrivals, fleet)), fleet, 100.0)


def test_one_worker_at_half_load_is_busy_about_half_of_its_time_and_nobody_waits_long() -> None:
    fleet = replace(ONE, max_batch=1, fixed_seconds=0.0)
    result = forecast(Load(rate=5.0), fleet)
    assert result.busy_share == pytest.approx(0.5, abs=0.02)
    # A queue with one server, arrivals at random and a fixed time for each: 0.05 s of waiting on average at half load.
    assert 0.2 <= result.p50 < 0.25
    assert result.p99 < 0.65


def test_an_image_alone_takes_its_wait_for_company_its_batch_and_what_is_beside() -> None:
    result = served([1.0], Fleet(1, 10.0, max_batch=10, fixed_seconds=0.5, wait_seconds=0.025, aside_seconds=0.1))
    assert result.p50 == pytest.approx(0.025 + 0.55 + 0.1)


def test_a_full_batch_does_not_wait_for_company() -> None:
    (batch,) = judge([1.0, 1.01, 1.02], Fleet(1, 10.0, max_batch=3, wait_seconds=5.0))
    assert batch.begin == 1.02
    assert batch.end - batch.begin == pytest.approx(0.3)


def test_under_overload_the_backlog_grows_with_time() -> None:
    backlogs = [forecast(Load(rate=20.0), ONE, seconds).backlog for seconds in (500, 1000, 2000)]
    assert backlogs == pytest.approx([5000, 10_000, 20_000], rel=0.05)


def test_twice_the_workers_halve_the_hours_of_catching_up_and_leave_the_work_the_same() -> None:
    one, two = (forecast(Load(rate=4.0), replace(ONE, workers=count)) for count in (1, 2))
    assert two.catch_up_hours == one.catch_up_hours / 2
    assert two.busy_hours == one.busy_hours == pytest.approx(27.8, abs=0.1)
    assert two.worker_hours == pytest.approx(2 * one.worker_hours, rel=0.01)  # both are paid, and one would do


def test_twice_the_workers_halve_the_time_that_a_burst_takes() -> None:
    burst = [0.0] * 1600
    one, two = (served(burst, Fleet(count, 10.0, fixed_seconds=0.0)) for count in (1, 2))
    assert one.oldest_seconds == pytest.approx(160.1)
    assert two.oldest_seconds == pytest.approx(80.1)


def test_workers_that_share_cores_judge_no_more_than_one() -> None:
    burst = [0.0] * 1600
    one, four = (served(burst, Fleet(count, 10.0, at_full_speed=1)).oldest_seconds for count in (1, 4))
    assert four == pytest.approx(one, rel=0.05)


def test_without_arrivals_there_is_nothing_to_wait_for_and_nothing_is_divided_by() -> None:
    result = forecast(Load(rate=0.0), ONE)
    assert result == replace(result, images=0, p50=0, p95=0, p99=0, backlog=0, oldest_seconds=0, busy_share=0)
    assert result.worker_hours == 0


def test_bursts_keep_the_average_and_fill_their_share_of_the_time() -> None:
    load = Load(rate=10.0, burst=5.0, burst_share=0.1, burst_seconds=60.0)
    arrivals = list(draw_arrivals(load, 6000.0))
    in_bursts = sum(moment % 600 >= 540 for moment in arrivals)
    assert len(arrivals) == pytest.approx(60_000, rel=0.02)
    assert in_bursts == pytest.approx(30_000, rel=0.02)


def test_a_simulation_shorter_than_the_way_to_a_burst_still_has_one() -> None:
    result = forecast(Load(rate=1.0, burst=20.0, burst_share=0.01, burst_seconds=100.0), ONE, seconds=60.0)
    assert result.images == pytest.approx(10_000, rel=0.05)
    assert result.oldest_seconds > 60


def test_bursts_make_images_wait_longer() -> None:
    calm, bursts = Load(rate=6.0), Load(rate=6.0, burst=3.0, burst_share=0.1)
    assert forecast(bursts, ONE).p95 > 10 * forecast(calm, ONE).p95


def test_the_same_seed_gives_the_same_and_another_seed_another() -> None:
    load = Load(rate=5.0)
    assert forecast(load, ONE, seed=1) == forecast(load, ONE, seed=1) != forecast(load, ONE, seed=2)


def test_least_workers_judge_more_than_arrives() -> None:
    assert [least_workers(Load(rate), ONE) for rate in (0.0, 9.9, 10.0, 25.0)] == [1, 1, 2, 3]


def test_percentiles_of_nothing_and_of_one() -> None:
    assert percentiles([]) == (0, 0, 0)
    assert percentiles([3.0]) == (3, 3, 3)


@given(arrivals_in_order, fleets)
def test_every_image_ends_exactly_once_and_never_before_it_came(arrivals: list[float], fleet: Fleet) -> None:
    batches = list(judge(arrivals, fleet))
    assert [place for batch in batches for place in batch.images] == list(range(len(arrivals)))
    assert all(arrivals[place] <= batch.begin < batch.end for batch in batches for place in batch.images)
    assert all(len(batch.images) <= fleet.max_batch for batch in batches)
    assert all(one.begin <= after.begin for one, after in pairwise(batches))


@given(arrivals_in_order, fleets)
def test_no_more_are_in_flight_and_no_more_workers_busy_than_there_may_be(arrivals: list[float], fleet: Fleet) -> None:
    batches = list(judge(arrivals, fleet))
    for batch in batches:
        running = [other for other in batches if other.begin <= batch.begin < other.end]
        assert len(running) <= fleet.workers
        assert sum(len(other.images) for other in running) <= fleet.max_in_flight


@given(arrivals_in_order, fleets, st.integers(1, 4))
def test_more_workers_never_make_p95_worse_by_more_than_a_batch(arrivals: list[float], fleet: Fleet, more: int) -> None:
    fewer = replace(fleet, at_full_speed=None, max_in_flight=512)
    p95 = served(arrivals, fewer).p95
    batch = fewer.wait_seconds + fewer.batch_seconds(fewer.max_batch)
    assert served(arrivals, replace(fewer, workers=fewer.workers + more)).p95 <= p95 + batch


@given(arrivals_in_order, fleets)
def test_the_figures_agree_with_each_other(arrivals: list[float], fleet: Fleet) -> None:
    result = served(arrivals, fleet)
    assert result.p50 <= result.p95 <= result.p99 <= result.oldest_seconds
    assert 0 <= result.busy_share <= 1
    assert bool(arrivals) <= result.backlog <= len(arrivals) == result.images


@settings(max_examples=20)
@given(st.floats(0, 5), st.floats(1, 8), st.floats(0, 0.12), st.integers(0, 9))
def test_arrivals_come_in_order_and_within_their_time(rate: float, burst: float, share: float, seed: int) -> None:
    arrivals = list(draw_arrivals(Load(rate, burst, share), 300.0, seed))
    assert arrivals == sorted(arrivals)
    assert all(0 <= moment < 300 for moment in arrivals)


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: Load(-1.0), "give 0 or more images a second"),
        (lambda: Load(float("nan")), "give 0 or more images a second"),
        (lambda: Load(1.0, burst=0.5), "give a factor of 1 or more"),
        (lambda: Load(1.0, burst_share=1.0), "give a share from 0 to below 1"),
        (lambda: Load(1.0, burst_seconds=0.0), "give 1 or more"),
        (lambda: Load(1.0, burst=50.0, burst_share=0.05), "give a share of at most 0.02"),
        (lambda: Fleet(0, 10.0), "workers cannot be 0: give 1 or more"),
        (lambda: Fleet(20_000, 10.0), "give 10000 or fewer"),
        (lambda: Fleet(1, 0.0), "give more than 0, of one worker"),
        (lambda: Fleet(1, 10.0, max_batch=0), "max batch cannot be 0"),
        (lambda: Fleet(1, 10.0, max_in_flight=0), "max in flight cannot be 0"),
        (lambda: Fleet(1, 10.0, fixed_seconds=2.0), "below 1.6, which is what a full batch takes"),
        (lambda: Fleet(1, 10.0, aside_seconds=-1.0), "aside seconds cannot be -1"),
        (lambda: Fleet(1, 10.0, at_full_speed=0), "workers at full speed cannot be 0"),
        (lambda: forecast(Load(1.0), ONE, seconds=0.0), "simulated seconds cannot be 0"),
        (lambda: forecast(Load(1e6), ONE), "fewer seconds: at most 5,000,000"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_give_instead(make: object, remedy: str) -> None:
    assert callable(make)
    with pytest.raises(CapacityError, match=re.escape(remedy)):
        make()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["assay", "capacity", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    return ended.value.code


@pytest.mark.usefixtures("logging_restored")
class TestCommand:
    def test_overload_is_told_in_words_with_how_many_workers_to_take(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "--rate", "25", "--images-a-second", "10", "--workers", "2", "--seconds", "60") == 0
        assert "take at least 3 workers" in capsys.readouterr().out

    def test_a_wrong_figure_is_one_line_and_exit_code_1(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "--rate", "-1", "--images-a-second", "10") == 1
        assert capsys.readouterr().err == "assay: rate cannot be -1: give 0 or more images a second\n"

    def test_the_price_an_hour_becomes_the_cost_of_a_million_images(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "--rate", "5", "--images-a-second", "10", "--price", "0.2", "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert report["cost"] == pytest.approx(report["worker_hours"] * 0.2)
        assert report["least_workers"] == 1

    def test_the_guide_shows_what_the_command_prints(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repository: Path
    ) -> None:
        guide = (repository / "docs" / "operations.md").read_text("utf-8")
        shown = re.search(r"```sh\nassay capacity (.*)\n```\n\n```text\n(.*?)```", guide, re.DOTALL)
        assert shown is not None
        assert run(monkeypatch, *shown[1].split()) == 0
        assert capsys.readouterr().out == shown[2]

    def test_each_row_of_the_guide_is_what_the_command_gives(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repository: Path
    ) -> None:
        guide = (repository / "docs" / "operations.md").read_text("utf-8")
        rows = re.findall(r"^\| `assay capacity (.*?)` \| (.*) \|$", guide, re.MULTILINE)
        assert len(rows) >= 3
        for arguments, cells in rows:
            assert run(monkeypatch, *arguments.split(), "--json") == 0
            assert guide_cells(json.loads(capsys.readouterr().out)) == cells


def guide_cells(report: dict[str, float]) -> str:
    figures = [f"{report['p50']:.1f} s", f"{report['p95']:.1f} s", f"{report['backlog']:,}"]
    return " | ".join([*figures, f"{report['busy_share']:.0%}", f"{report['worker_hours']:.0f}"])
