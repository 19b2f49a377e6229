"""Money and pace: the cap holds from many threads, the pace is even."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.inference.endpoint_limits import Meter, Pace, Prices, Usage

price = st.floats(0, 100, allow_nan=False)


@given(price, price, st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_price_is_per_million(into, out, prompt, completion):
    assert Prices(into, out).of(prompt, completion) == pytest.approx(into * prompt / 1e6 + out * completion / 1e6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0, 1)), min_size=1, max_size=40), st.integers(1, 60))
def test_the_cap_holds_whatever_the_threads_do(calls, cap):
    meter, over = Meter(Prices(0.0, 0.0), cap), []

    def spend(most, share):
        if meter.start(most):
            meter.settle(most, price=most * share)
            over.append(meter.usage.price > cap)

    threads = [threading.Thread(target=spend, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(over)
    assert meter.usage.calls == len(over)


def test_a_call_waits_for_those_under_way_before_it_is_refused():
    meter, started = Meter(Prices(0.0, 0.0), 10.0), []
    assert meter.start(8.0)
    waiting = threading.Thread(target=lambda: started.append(meter.start(5.0)))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    meter.settle(8.0, price=1.0)
    waiting.join(5.0)
    assert started == [True]
    meter.settle(5.0, price=5.0)
    assert not meter.start(5.0)


def test_usage_adds_up():
    meter = Meter(Prices(1.0, 2.0), None)
    meter.start(0.5)
    meter.settle(0.5, prompt_tokens=10, completion_tokens=20, price=None)
    meter.add(retries=1, cache_hits=3)
    assert meter.usage == Usage(1, 1, 3, 10, 20, pytest.approx(50e-6))


def test_the_pace_is_even_and_idle_time_is_not_saved_up():
    now = 0.0
    pace = Pace(60, lambda: now)
    assert [pace.take(1) for _ in range(3)] == [0.0, 1.0, 2.0]
    now = 100.0
    assert [pace.take(2), pace.take(1)] == [0.0, 2.0]
    pace.give_back(3)
    assert pace.take(1) == 0.0


def test_no_limit_never_waits():
    pace = Pace(None, lambda: 0.0)
    assert [pace.take(10**9) for _ in range(3)] == [0.0] * 3
