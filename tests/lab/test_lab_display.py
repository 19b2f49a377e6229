"""What a run shows: plain lines in a log, a table on a terminal, the same facts in both."""

import io
import time
from pathlib import Path

from lab_toy import STUDY

from paribus.lab import Store, run_plan
from paribus.lab.display import Display, LiveDisplay, clock, make_display, progress_cells, progress_text
from paribus.lab.launchers.inline import Inline
from paribus.lab.scheduling import Schedule

PLAN = STUDY.plan(STUDY.at("smoke"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def half_way() -> dict[str, object]:
    """Resumed at step 20; since the first report, 50 steps and 5000 tokens in 10 seconds."""
    first = {"step": 20, "tokens": 2000.0, "time": 100.0}
    return {"step": 70, "total": 220, "metrics": {"tokens": 7000.0, "loss": 1.23456}, "first": first, "time": 110.0}


def test_progress_shows_step_rate_loss_and_time_left() -> None:
    assert progress_cells(half_way(), None) == ("70/220", "500 tokens/s", "1.235", "0:30")
    assert progress_text(half_way()) == "step 70/220 · 500 tokens/s · loss 1.235 · 0:30 left"
    assert progress_text({}) == ""
    assert progress_text({**half_way(), "total": None, "metrics": {}}) == "step 70"
    assert progress_cells({}, time.monotonic() - 65)[3] == "1:05 so far"


def test_clocks() -> None:
    assert (clock(5), clock(75), clock(4000)) == ("0:05", "1:15", "1:06:40")


def test_plain_lines_outside_of_a_terminal(tmp_path: Path) -> None:
    stream = io.StringIO()
    store = Store(tmp_path)
    run_plan(PLAN, store, launcher=Inline(store.root), display=Display(PLAN, store, stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "toy [smoke]: 10 stages, 0 done, 10 to do"
    assert sum(" starts " in line for line in lines) == sum(" done " in line for line in lines[1:]) == 10
    assert (
        any("train [plain; seed 0]" in line for line in lines)
        and "corpus [plain, lifted; seed 0, 1]" in stream.getvalue()
    )
    assert lines[-1].startswith("Finished: 10 built, 0 reused")
    assert "\x1b" not in stream.getvalue()


def test_a_running_stage_is_shown_with_its_progress(tmp_path: Path) -> None:
    import json

    address = next(h.address for h in PLAN.graph if h.label == "train")
    for make in (Display, LiveDisplay):
        stream = Terminal()
        store = Store(tmp_path)
        display = make(PLAN, store, stream)
        display.start(Schedule(PLAN.graph, set(), store.has, lambda a: False))
        display.started(address)
        store.progress(address).write_text(json.dumps(half_way()))
        if isinstance(display, LiveDisplay):
            display._live.start()
        display.refresh()
        if isinstance(display, LiveDisplay):
            display._live.stop()
        shown = stream.getvalue()
        assert "70/220" in shown and "500 tokens/s" in shown and "1.235" in shown and "0:30" in shown
        assert "train [plain; seed 0]" in shown


def test_a_terminal_gets_the_live_display(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert type(make_display(PLAN, store, Terminal())) is LiveDisplay
    assert type(make_display(PLAN, store, io.StringIO())) is Display


def test_a_live_run_ends_with_the_same_summary(tmp_path: Path) -> None:
    stream = Terminal()
    store = Store(tmp_path)
    run_plan(PLAN, store, launcher=Inline(store.root), display=LiveDisplay(PLAN, store, stream))
    assert "Finished: 10 built, 0 reused" in stream.getvalue()


def test_what_is_shown_is_redacted(tmp_path: Path) -> None:
    stream = io.StringIO()
    Display(PLAN, Store(tmp_path), stream).line("Authorization: Bearer abcdefgh12345")
    assert "abcdefgh" not in stream.getvalue()
