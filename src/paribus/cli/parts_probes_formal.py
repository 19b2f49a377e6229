"""``paribus probe formal``: a small architecture on a formal task, or the construction that solves it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_options import Device, OutFolder, Threads, numbers, prepare, whole_numbers
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.testbeds.formal.probing import FormalProbe, FormalResult, StateFacts, VerifiedRow
    from paribus.testbeds.formal.task import FormalTask

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        metavar="NAME=VALUE",
        help="A further field of the task or classes, such as symbols=4 (repeatable).",
        show_default="none",
    ),
]


def formal(
    task: Annotated[str, typer.Option(metavar="NAME", help="A formal task, such as index-lookup or equality.")],
    out: OutFolder,
    architecture: Annotated[
        Literal["attention", "elman", "lstm", "gru", "dss", "retention", "mamba2", "hyena", "rwkv"],
        typer.Option(help="What mixes the tokens."),
    ] = "attention",
    length: Annotated[
        int | None,
        typer.Option(min=1, help="Size to train at: length, bits or points of the task.", show_default="the task's"),
    ] = None,
    test_lengths: Annotated[
        str, typer.Option(metavar="N,N", help="Sizes to test at, beside that of training.", show_default="none")
    ] = "",
    setting: Settings = None,
    width: Annotated[int, typer.Option(min=1, help="Width of the model.")] = 64,
    layers: Annotated[int, typer.Option(min=1, help="Layers.")] = 1,
    heads: Annotated[int, typer.Option(min=1, help="Heads, where the architecture has them.")] = 4,
    state_size: Annotated[int, typer.Option(min=1, help="State a channel of dss and mamba2.")] = 16,
    seeds: Annotated[str, typer.Option(metavar="N,N", help="Of weights and data; one training each.")] = "0,1,2",
    learning_rates: Annotated[
        str, typer.Option(metavar="X,X", help="Rates to choose from, with the first seed.")
    ] = "3e-4,1e-3,3e-3,1e-2",
    steps: Annotated[int, typer.Option(min=1, help="Steps of a training at most.")] = 1000,
    batch_size: Annotated[int, typer.Option(min=1, help="Fresh sequences a step.")] = 64,
    stop_at: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Strict accuracy in training that ends it early (0: never).")
    ] = 0.999,
    learned_at: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Strict accuracy in testing from which a task counts as learned.")
    ] = 0.99,
    sequences: Annotated[int, typer.Option(min=1, help="Fresh sequences to test on at each size.")] = 512,
    construction: Annotated[
        bool, typer.Option("--construction", help="Train nothing; build the construction for the task and check it.")
    ] = False,
    samples: Annotated[
        int, typer.Option(min=1, help="With --construction: inputs to check where they cannot all be.")
    ] = 10_000,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Train an architecture on a formal task and test it at several lengths; its state is set beside the bound.

    \b
    Example: paribus probe formal --task index-lookup --length 20 --test-lengths 40 --architecture lstm --out probed
             paribus probe formal --task equality --length 6 --construction --out checked

    Makes rows.jsonl (a row a seed and size) and run.json. Stopped trainings go on from their last checkpoint when the
    same command is given again.
    """
    prepare(threads, device)
    from paribus.testbeds.formal.probing import FormalProbe, config_for, task_at
    from paribus.training.settings import TrainSettings

    sizes = whole_numbers(test_lengths, "--test-lengths")
    chosen = task_at(task, length, sizes, **parse_settings(setting))
    if construction:
        _check(chosen, sizes, samples, out)
        return
    rates = _rates(learning_rates)
    shape = {"mixer": architecture, "hidden_size": width, "num_hidden_layers": layers}
    what = FormalProbe(
        chosen,
        config_for(chosen, sizes, **shape, num_attention_heads=heads, state_size=state_size),
        TrainSettings(
            steps=steps,
            batch_size=batch_size,
            learning_rate=rates[0],
            warmup_steps=steps // 20,
            checkpoint_every=max(1, steps // 10),
        ),
        rates,
        whole_numbers(seeds, "--seeds"),
        sizes,
        learned_at,
        stop_at,
        sequences,
        device,
        out / "checkpoints",
    )
    _train(what, out)


def _rates(text: str) -> list[float]:
    rates = numbers(text, "--learning-rates")
    if not rates:
        raise ConfigError("--learning-rates names no rate; give one or more, such as 1e-3,3e-3.")
    wrong = [rate for rate in rates if not 0 < rate < math.inf or rates.count(rate) > 1]
    if wrong:
        raise ConfigError(f"--learning-rates is {text!r}; each must be above 0 and stand there once, not {wrong[0]:g}.")
    return rates


def parse_settings(given: list[str] | None) -> dict[str, str]:
    """``["symbols=4"]`` as a dictionary; the part that reads it checks names and values."""
    pairs = [text.partition("=") for text in given or ()]
    for name, sign, value in pairs:
        if not (name.strip() and sign and value.strip()):
            raise ConfigError(f"--setting is {name + sign + value!r}; give a name and a value, such as symbols=4.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _train(what: "FormalProbe", out: Path) -> None:
    import shutil
    from dataclasses import asdict

    from paribus.cli.parts_progress import Steps, say
    from paribus.cli.parts_record import open_folder
    from paribus.records import write_records
    from paribus.testbeds.formal.probing import probe

    run = open_folder(out, "probe formal", _identity(what), {"task": what.task.model_dump(mode="json")})
    if run.complete:
        say(f"{out} is finished already; nothing to do.")
        return
    run.begin()
    most = what.settings.steps
    with Steps("training", what.runs * most, "step") as show:
        result = probe(what, on_step=lambda number, step: show(number * most + step.step, loss=step.loss))
    write_records(out / "rows.jsonl", result.rows)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    found = {"learning_rate": result.learning_rate, "edge": result.edge, "learned": result.successes}
    cost = {"steps": sum(row.steps for row in result.rows if row.size == what.task.size)}
    run.finish(cost=cost, results=found | {"state": asdict(result.state)})
    _show(what, result)
    print(out)


def _identity(what: "FormalProbe") -> dict[str, Any]:
    decided = what.settings.model_dump(exclude={"checkpoint_every", "learning_rate", "seed"})
    shape = {name: value for name, value in vars(what.config.shape).items() if value is not None}
    given = {"learning_rates": what.rates, "seeds": what.seeds, "sizes": what.sizes, "sequences": what.sequences}
    return decided | shape | given | {"learned_at": what.learned_at, "stop_at": what.stop_at}


def _show(what: "FormalProbe", result: "FormalResult") -> None:
    from paribus.cli.parts_progress import print_table, say

    table = []
    for size in dict.fromkeys(row.size for row in result.rows):
        rows = [row for row in result.rows if row.size == size]
        strict = [row.accuracy for row in rows]
        tokens = sum(row.token_accuracy for row in rows) / len(rows)
        reached = sum(accuracy >= what.learned_at for accuracy in strict)
        spread = f"{min(strict):.1%} to {max(strict):.1%}"
        table.append([size, f"{sum(strict) / len(rows):.1%}", spread, f"{tokens:.1%}", f"{reached}/{len(rows)}"])
    title = (
        f"{what.config.mixer}, width {what.config.hidden_size}, {what.config.num_hidden_layers} layers, on "
        f"{what.task.name}; learning rate {result.learning_rate:g}, chance {what.task.chance:.1%}\n"
        f"{_state(result.state)}"
    )
    columns = [
        what.task.size_field,
        "strict accuracy",
        "over seeds",
        "token accuracy",
        f"seeds at {what.learned_at:.0%}",
    ]
    print_table(title, columns, table)
    if result.successes < len(what.seeds):
        say("Not every seed learned the task within this budget, which is no proof that the architecture cannot.")
        if result.edge:
            say("The learning rate chosen is the first or last of those tried; widen --learning-rates.")


def _state(state: "StateFacts") -> str:
    needed = "an unknown number of" if state.needed is None else f"{state.needed:,}"
    if not state.binds:
        return (
            f"keeps the whole past ({state.numbers:,} numbers); no bound on states binds it ({needed} bits for others)"
        )
    ceiling = "" if state.ceiling is None else f"; that allows a token accuracy of {state.ceiling:.1%} at most"
    return f"state {state.numbers:,} numbers, {state.bits:,} bits of float32; exact solvers need {needed}{ceiling}"


def _check(task: "FormalTask", sizes: Sequence[int], samples: int, out: Path) -> None:
    """Build and check constructions, unless that is done."""
    from paribus.cli.parts_progress import say
    from paribus.cli.parts_record import open_folder
    from paribus.records import read_records, write_records
    from paribus.testbeds.formal.probing import VerifiedRow, verify_constructions

    options = {"construction": True, "sizes": list(sizes), "samples": samples}
    run = open_folder(out, "probe formal", options, {"task": task.model_dump(mode="json")})
    if run.complete:
        say(f"{out} is finished already; nothing to do.")
        _show_checks(list(read_records(out / "rows.jsonl", VerifiedRow)))
        return
    run.begin()
    rows = verify_constructions(task, sizes, samples=samples)
    write_records(out / "rows.jsonl", rows)
    run.finish(cost={"inputs": sum(row.checked for row in rows)}, results={"errors": sum(row.errors for row in rows)})
    _show_checks(rows)
    print(out)


def _show_checks(rows: "Sequence[VerifiedRow]") -> None:
    from paribus.cli.parts_progress import print_table

    table = [
        [
            f"{row.construction}, {row.task}",
            row.layers,
            row.width,
            f"{row.checked:,}{' (all)' if row.exhaustive else ''}",
            row.errors,
            f"{row.measured_margin:.3g} (≥ {row.margin:.3g})",
            f"none: {row.proved}" if row.proved else f"{row.failure_bound:.2g}",
        ]
        for row in rows
    ]
    columns = [
        "construction",
        "layers",
        "width",
        "inputs checked",
        "errors",
        "margin (guaranteed)",
        "errors rarer than",
    ]
    print_table("Constructions: weights written by hand, run as any model", columns, table)
