"""Prices: totals in every currency, split in done and to do, and hours from a rate."""

from pathlib import Path

import pytest
from lab_toy import STUDY

from paribus.lab import Store, price, run_plan
from paribus.lab.budget import Cost
from paribus.lab.launchers.inline import Inline
from paribus.lab.pricing import ASSUMED_FLOPS_PER_SECOND, Rate, expected_seconds

PLAN = STUDY.plan(STUDY.at("smoke"))


def test_before_anything_ran_all_is_to_do() -> None:
    found = price(PLAN)
    assert found.todo == Cost(tokens=8000, flops=8e7) and found.done == Cost()
    assert (found.stages_done, found.stages_todo) == (0, len(PLAN.graph))
    assert not found.measured and found.flops_per_second == ASSUMED_FLOPS_PER_SECOND


def test_hours_follow_the_rate_the_workers_and_the_longest_chain() -> None:
    one = price(PLAN, flops_per_second=1e6)
    assert one.hours == pytest.approx(80 / 3600)
    assert price(PLAN, flops_per_second=1e6, workers=2).hours == pytest.approx(40 / 3600)
    assert price(PLAN, flops_per_second=1e6, workers=100).hours == pytest.approx(20 / 3600)  # four chains of 20 s


def test_declared_seconds_go_before_flops() -> None:
    assert expected_seconds(Cost(seconds=3, flops=1e12), Rate(1e9)) == 3
    assert expected_seconds(Cost(flops=2e9), Rate(1e9)) == 2


def test_what_is_done_is_paid_and_the_rate_is_measured(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run_plan(PLAN, store, launcher=Inline(store.root))
    found = price(PLAN, store)
    assert found.done == Cost(tokens=8000, flops=8e7) and found.todo == Cost() and found.hours == 0
    assert found.measured and found.flops_per_second > 0
    more = price(STUDY.plan(STUDY.at("smoke", ["seeds=0,1,2"])), store)
    assert more.todo == Cost(tokens=4000, flops=4e7) and more.done.tokens == 8000
    rows = {row.label: (row.stages, row.done) for row in more.rows}
    assert rows == {"corpus": (1, 1), "train": (6, 4), "evaluate": (6, 4), "analysis": (1, 0)}
