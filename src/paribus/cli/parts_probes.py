"""``paribus probe``: the test-beds on a user's own models, learning in context and formal tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_engines import (
    ApiKeyVariable,
    Concurrency,
    Endpoint,
    EngineChoice,
    PriceCap,
    Prices,
    name_of,
    price_table,
)
from paribus.cli.parts_options import Device, Dtype, OutFolder, Seed, Threads, prepare, whole_numbers
from paribus.cli.parts_probes_formal import Settings, formal, parse_settings
from paribus.errors import ConfigError

if TYPE_CHECKING:
    from paribus.testbeds.incontext.direct import DirectRow, Exam


def incontext(
    out: OutFolder,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A model folder or a hub id; with --endpoint, the name the server lists."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no model but a stand-in that reads the prompts and answers as 1-NN.")
    ] = False,
    classes: Annotated[str, typer.Option(metavar="NAMES", help="Function classes, with commas between.")] = "majority",
    dimensions: Annotated[
        str, typer.Option(metavar="N,N", help="Bits of an input; each class is asked at each.")
    ] = "5",
    examples: Annotated[int, typer.Option(min=1, help="Labelled examples in a prompt at most.")] = 50,
    every: Annotated[int, typer.Option(min=1, help="Ask after every so many examples of the same prompt.")] = 5,
    functions: Annotated[int, typer.Option(min=1, help="Fresh functions of each class.")] = 100,
    variant: Annotated[
        Literal["basic", "description", "algorithm", "steps"],
        typer.Option(help="The prompt: examples alone, with the class, with a way to find it, or with reasoning."),
    ] = "basic",
    how: Annotated[
        Literal["generate", "logprobs"],
        typer.Option(help="Let the model write the label, or take the likelier of 0 and 1 (small models)."),
    ] = "generate",
    learners: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Learners to ask the same, such as 1-nn; best: what none can beat; all."),
    ] = "null,1-nn,3-nn,averaging,best",
    paper_densities: Annotated[
        bool,
        typer.Option("--paper-densities", help="As few variables in use as in trained models, also up to 7 bits."),
    ] = False,
    setting: Settings = None,
    no_chat: Annotated[
        bool, typer.Option("--no-chat", help="Give the bare text to a model whose tokenizer has no chat template.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say how many requests and tokens it takes, and ask nothing.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="The model's name in the rows.", show_default="folder or hub id")
    ] = None,
    endpoint: Endpoint = None,
    api_key_variable: ApiKeyVariable = "OPENAI_API_KEY",
    concurrency: Concurrency = 8,
    prices: Prices = "",
    price_cap: PriceCap = None,
    seed: Seed = 0,
    device: Device = "cpu",
    dtype: Dtype = "auto",
    threads: Threads = None,
) -> None:
    """Ask a language model to continue labelled examples of Boolean functions that it has never met.

    \b
    Example: paribus probe incontext --model my-model --classes majority,parity --dimensions 5,7 --out asked
             paribus probe incontext --offline --classes conjunction --out asked

    Answers are saved as they come; the same command given again asks only for what is missing. Makes rows.jsonl
    (accuracy by number of examples, beside learners on the same prompts), answers.jsonl and run.json.
    """
    prepare(threads, device)
    from paribus.testbeds.incontext.direct import Asking
    from paribus.testbeds.incontext.probing import exams, learners_named

    if (model is None) != offline:
        raise ConfigError("Name who is asked by --model, or give --offline for the stand-in; one of the two.")
    if endpoint is not None and how == "logprobs":
        raise ConfigError(
            "--how logprobs scores with a model in this process; leave --endpoint out, or let it generate."
        )
    sat = exams(
        _names(classes),
        whole_numbers(dimensions, "--dimensions"),
        examples=examples,
        functions=functions,
        asking=Asking(variant, how, every),
        seed=seed,
        paper_densities=paper_densities,
        settings=parse_settings(setting),
    )
    beside = learners_named(_names(learners), [exam.function_class for exam in sat])
    choice = EngineChoice(
        model or "offline 1-NN",
        name_of(model, name) if model else "offline 1-NN",
        endpoint,
        api_key_variable,
        concurrency,
        prices,
        price_cap,
        device,
        dtype,
        no_chat,
    )
    _tell_estimate(sat, prices)
    if not estimate:
        options = {"functions": functions, "seed": seed, "learners": learners, "no_chat": no_chat}
        _sit(sat, choice, beside, out, options, offline=offline)


def _names(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _tell_estimate(sat: "list[Exam]", prices: str) -> None:
    from paribus.cli.parts_progress import say
    from paribus.testbeds.incontext.direct import estimate

    found = estimate(sat, prices=price_table(prices))
    price = "" if found.price is None else f", at about {found.price:.2f}"
    say(
        f"{found.requests:,} requests; about {found.prompt_tokens:,} tokens to read and at most "
        f"{found.answer_tokens:,} to write{price}."
    )


def _sit(
    sat: "list[Exam]", choice: EngineChoice, beside: Any, out: Path, options: dict[str, Any], *, offline: bool
) -> None:
    """Have the exams answered into ``out``, going on where an earlier run stopped, and show what came of it."""
    from paribus.cli.parts_answers import check_lengths
    from paribus.cli.parts_engines import cost_of
    from paribus.cli.parts_progress import Steps, say
    from paribus.cli.parts_record import open_folder
    from paribus.records import read_records, write_records
    from paribus.testbeds.incontext.direct import DirectRow, evaluate_engine, nearest_neighbour_engine
    from paribus.testbeds.incontext.textual import NEW_TOKENS

    asking = sat[0].asking
    asked = {"variant": asking.variant, "how": asking.how, "every": asking.every, "name": choice.name}
    inputs = {"model": {"name": choice.name} if offline else choice.identity}
    classes = {"classes": [exam.function_class.model_dump(mode="json") for exam in sat]}
    run = open_folder(out, "probe incontext", options | asked | classes, inputs)
    if run.complete:
        say(f"{out} is finished already; nothing to do.")
        _show(list(read_records(out / "rows.jsonl", DirectRow)), sat)
        return
    questions = [question for exam in sat for question in exam.questions]
    with Steps(f"questions to {choice.name}", len(questions), "question") as steps:
        engine = nearest_neighbour_engine() if offline else choice.open(out / "requests.sqlite")
        check_lengths(engine, [(q.id, q.messages) for q in questions], NEW_TOKENS[asking.variant])
        run.begin()
        found = evaluate_engine(engine, sat, learners=beside, answers=out / "answers.jsonl", progress=steps)
    write_records(out / "rows.jsonl", found.rows)
    (out / "requests.sqlite").unlink(missing_ok=True)
    run.finish(cost=cost_of(engine, found.answers), results={"answers": len(found.answers), "unparsed": found.unparsed})
    _show(found.rows, sat)
    print(out)


def _show(rows: "list[DirectRow]", sat: "list[Exam]") -> None:
    """A table a class: accuracy by number of examples, the model's with its interval, then the learners'."""
    from paribus.cli.parts_progress import print_table

    for exam in sat:
        key = (exam.function_class.name, exam.function_class.dimensions)
        some = [row for row in rows if (row.function_class, row.dimensions) == key]
        names = list(dict.fromkeys(row.name for row in some if row.kind == "learner"))
        model = {row.shown: row for row in some if row.kind == "model"}
        cells = {(row.name, row.shown): row.accuracy for row in some if row.kind == "learner"}
        table = [
            [shown, f"{row.accuracy:.1%} [{row.low:.1%}, {row.high:.1%}]", row.unparsed]
            + [f"{cells[name, shown]:.1%}" if (name, shown) in cells else "–" for name in names]
            for shown, row in sorted(model.items())
        ]
        who = next(iter(model.values())).name
        title = f"{key[0]} of {key[1]} bits, {len(exam.prompts)} functions; 95% intervals"
        print_table(title, ["examples", who, "unread", *names], table)


def register(app: typer.Typer) -> None:
    """Add the group of probes to the app."""
    probes = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
    probes.command(short_help="Ask a language model about functions it has never met.")(incontext)
    probes.command(short_help="Train an architecture on a formal task, or check the construction for it.")(formal)
    app.add_typer(
        probes,
        name="probe",
        help="Test-beds: learning in context, formal tasks.",
        short_help="Test-beds: in context, formal.",
    )
