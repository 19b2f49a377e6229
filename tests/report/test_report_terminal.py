"""Terminal tables: the same facts, and no stored text that steers the terminal."""

import io

import pytest
from rich.console import Console
from synthetic_study import synthetic_study

from paribus.errors import DataError
from paribus.lab.results import Panel
from paribus.report.scoreboard import scoreboard_rows
from paribus.report.terminal import print_scoreboard, print_study


def console(width: int = 140) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=False)


def printed(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def test_a_study_prints_claims_and_ladders() -> None:
    target = console()
    print_study(synthetic_study(), target)
    text = printed(target)
    assert "+ supported" in text
    assert "x contradicted" in text
    assert "? unresolved" in text
    assert "Step by step" in text
    assert "The ladder at two sizes" in text
    assert "online preference" in text


def test_the_scoreboard_prints_a_line_per_claim_and_the_tally() -> None:
    target = console()
    print_scoreboard(scoreboard_rows([synthetic_study()]), target)
    text = printed(target)
    assert "1 supported, 1 contradicted, 2 unresolved" in text
    assert "merge over joint" in text
    assert "TFLOP" in text


def test_stored_text_cannot_steer_the_terminal_or_use_markup() -> None:
    study = synthetic_study()
    claim = study.claims[0].model_copy(update={"sentence": "\x1b[2J[red]loud[/red]"})
    target = console()
    hostile = study.model_copy(
        update={"claims": (claim,), "title": "\x1b]0;x\x07", "question": "\x1b[2J", "covers_note": "\x1b"}
    )
    print_study(hostile, target)
    print_scoreboard(scoreboard_rows([hostile]), target)
    assert "\x1b" not in printed(target)
    assert "[red]loud[/red]" in printed(target)


def test_a_broken_ladder_is_named() -> None:
    broken = Panel(id="broken", kind="ladder", title="B", rows=({"step": "sft"},))
    with pytest.raises(DataError, match="'broken'"):
        print_study(synthetic_study().model_copy(update={"panels": (broken,)}), console())


def test_a_narrow_terminal_wraps_instead_of_failing() -> None:
    target = console(width=48)
    print_study(synthetic_study(), target)
    assert max(len(line) for line in printed(target).splitlines()) <= 48
