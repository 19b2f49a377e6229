"""``paribus merge``: several checkpoints of one shape into one."""

from typing import Annotated, Any, Literal

import typer

from paribus.cli.parts_options import OutFolder, Seed, numbers

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Model folders or hub ids, all trained from one checkpoint.")
]
Weights = Annotated[
    str, typer.Option(metavar="W,W", help="One weight a model; linear: with sum 1.", show_default="equal")
]
Density = Annotated[
    str,
    typer.Option(metavar="D[,D]", help="ties, dare_ties: share of each task vector kept, in (0, 1].", show_default="1"),
]


def merge(
    models: Models,
    out: OutFolder,
    method: Annotated[Literal["linear", "slerp", "ties", "dare_ties"], typer.Option(help="How to merge.")] = "linear",
    base: Annotated[
        str | None, typer.Option(metavar="MODEL", help="ties, dare_ties: the checkpoint all models started from.")
    ] = None,
    weights: Weights = "",
    normalise: Annotated[
        bool | None,
        typer.Option(help="Divide by the sum of the weights, or take them as they are.", show_default="by method"),
    ] = None,
    t: Annotated[float | None, typer.Option("--t", help="slerp: 0 is the first model, 1 the second.")] = None,
    angle: Annotated[
        Literal["tensor", "model"], typer.Option(help="slerp: an angle a tensor, or one in all.")
    ] = "tensor",
    density: Density = "",
    scale: Annotated[float, typer.Option(help="ties, dare_ties: factor on the merged task vector.")] = 1.0,
    trim: Annotated[
        Literal["tensor", "model"], typer.Option(help="ties: keep the largest of each tensor, or of the whole model.")
    ] = "tensor",
    rescale: Annotated[
        Literal["inverse", "l1"], typer.Option(help="dare_ties: divide by the share kept, or keep the L1 norm.")
    ] = "inverse",
    layer_gradient: Annotated[
        str,
        typer.Option(metavar="A/A", help="Weights from the first layer to the last: slerp 0/0.5/1, others 1,0/0,1."),
    ] = "",
    dtype: Annotated[
        str | None,
        typer.Option(help="Number format of the result; needed where models differ.", show_default="as stored"),
    ] = None,
    shard_size: Annotated[str, typer.Option(help="Largest weights file.")] = "5GB",
    ignore_config: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="A config field in which models may differ (repeatable).")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Merge models of one shape, streamed from disk: memory does not grow with their size.

    \b
    Example: paribus merge tuned-de tuned-hi --out merged --weights 0.7,0.3
             paribus merge a b c --out merged --method ties --base my-model --density 0.3

    Models that do not fit together are refused with every difference listed.
    """
    from paribus.cli.parts_progress import say
    from paribus.cli.parts_record import NAME, Run
    from paribus.weights import merge as merge_checkpoints

    options: dict[str, Any] = {
        "base": base,
        "weights": numbers(weights, "--weights") or None,
        "normalise": normalise,
        "t": t,
        "angle": angle,
        "density": numbers(density, "--density") or None,
        "scale": scale,
        "trim": trim,
        "rescale": rescale,
        "layer_gradient": _anchors(layer_gradient, method),
        "dtype": dtype,
        "seed": seed,
    }
    if options["density"] and len(options["density"]) == 1:
        options["density"] = options["density"][0]
    run = Run(out / NAME, "merge", {"method": method, **options}, {"models": models})
    report = merge_checkpoints(method, models, out, shard_size=shard_size, ignore_config=ignore_config or (), **options)
    cost = {"parameters": report.parameters, "peak_memory": report.peak_memory}
    run.finish(cost=cost, results={"weights_hash": report.weights_hash, "settings": report.settings})
    say(f"Merged {len(models)} models ({method}): {report.parameters:,} parameters in {report.seconds:.1f} s.")
    print(out)


def _anchors(text: str, method: str) -> list[Any] | None:
    if not text:
        return None
    rows = [numbers(part, "--layer-gradient") for part in text.split("/")]
    return [row[0] for row in rows] if method == "slerp" and all(len(row) == 1 for row in rows) else rows
