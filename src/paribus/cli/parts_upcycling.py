"""``paribus upcycle`` and ``export``: dense models into one mixture, and a mixture into a class of transformers."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paribus.cli.parts_options import OutFolder, whole_numbers

if TYPE_CHECKING:
    from paribus.weights import UpcycleReport

Models = Annotated[
    list[str],
    typer.Argument(metavar="MODEL...", help="Dense model folders or hub ids of one shape, the seed model among them."),
]
Variant = Annotated[
    Literal["expert_kv", "shared_kv", "btx", "sparse_upcycling", "dense_average", "dense_continued"],
    typer.Option(
        help="expert_kv, shared_kv: attention and FFNs become experts; btx: FFNs only; sparse_upcycling: copies of "
        "the seed; dense_average, dense_continued: no experts."
    ),
]
Sources = Annotated[
    str,
    typer.Option(
        metavar="N,N",
        help="Which model (from 0) each FFN expert is copied from, such as 0,1,2,3,0,0.",
        show_default="one of each",
    ),
]
RouterSeed = Annotated[int, typer.Option(help="Fixes the draw of the routers.")]
ShardSize = Annotated[str, typer.Option(help="Largest weights file.")]


def upcycle(
    models: Models,
    out: OutFolder,
    variant: Variant = "expert_kv",
    seed_model: Annotated[int, typer.Option(metavar="N", help="The model (from 0) the others branched from.")] = 0,
    ffn_sources: Sources = "",
    top_k: Annotated[int, typer.Option(help="FFN experts a token.")] = 1,
    gate_norm: Annotated[
        Literal["raw", "renormalised", "scaled"],
        typer.Option(help="Gates of FFN experts: as the softmax gives them, divided by their sum, or times experts."),
    ] = "raw",
    attention_top_k: Annotated[
        int | None, typer.Option(help="Attention experts a token; all of them are computed.", show_default="all")
    ] = None,
    attention_gate_norm: Annotated[
        Literal["raw", "renormalised"], typer.Option(help="Gates of the attention experts that were kept.")
    ] = "raw",
    split: Annotated[int, typer.Option(help="Cut every FFN into so many experts.")] = 1,
    blend: Annotated[bool, typer.Option("--blend", help="With --split: a part of every model in each expert.")] = False,
    router_std: Annotated[float, typer.Option(help="Standard deviation of the routers' first weights.")] = 0.02,
    load_balance: Annotated[float, typer.Option(help="Weight of the load-balancing loss in training.")] = 0.01,
    router_z: Annotated[float, typer.Option(help="Weight of the router z-loss in training.")] = 0.001,
    dtype: Annotated[
        str | None,
        typer.Option(help="Number format of the result; needed where models differ.", show_default="as stored"),
    ] = None,
    shard_size: ShardSize = "5GB",
    ignore_config: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="A config field in which models may differ (repeatable).")
    ] = None,
    seed: RouterSeed = 0,
) -> None:
    """Make one mixture of dense models that were trained from one seed model, streamed from disk.

    \b
    Example: paribus upcycle seed code law math --out mixture
             paribus upcycle seed code law math --out wide --variant btx --ffn-sources 0,1,2,3,0,0 --top-k 3

    Experts are copies to the bit, everything else is the mean of all models; routers are drawn. Then train it:
    `paribus pretrain`.
    """
    from paribus.cli.parts_progress import say
    from paribus.cli.parts_record import NAME, Run
    from paribus.weights import upcycle as upcycle_checkpoints

    options: dict[str, Any] = {
        "seed_model": seed_model,
        "ffn_sources": whole_numbers(ffn_sources, "--ffn-sources") or None,
        "ffn_top_k": top_k,
        "ffn_gate_norm": gate_norm,
        "attention_top_k": attention_top_k,
        "attention_gate_norm": attention_gate_norm,
        "split": split,
        "blend": blend,
        "router_std": router_std,
        "router_seed": seed,
        "load_balance_coefficient": load_balance,
        "router_z_coefficient": router_z,
        "dtype": dtype,
    }
    run = Run(out / NAME, "upcycle", {"variant": variant, **options}, {"models": models})
    report = upcycle_checkpoints(
        variant, models, out, shard_size=shard_size, ignore_config=ignore_config or (), **options
    )
    sizes, origins = _sizes(str(out)), origin_counts(report)
    cost = {"parameters": report.parameters, "peak_memory": report.peak_memory}
    hashes = {"weights_hash": report.weights_hash, "source_hashes": report.source_hashes}
    run.finish(cost=cost, results={**hashes, "settings": report.settings, "sizes": sizes, "origins": origins})
    say(
        f"Upcycled {len(models)} model{'s' * (len(models) > 1)} ({variant}) in {report.seconds:.1f} s: "
        f"{sizes['parameters']:,} parameters, {sizes['active_parameters']:,} of them active for a token; "
        f"{sizes['kv_bytes_per_token']:,} bytes of keys and values a token (16-bit)."
    )
    say(f"Of its parameters {', '.join(f'{count:,} are {origin}' for origin, count in origins.items())}.")
    _tell_gates(sizes["ffn_experts"], top_k, gate_norm)
    print(out)


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A mixture, as upcycle or pretrain wrote it.")],
    out: OutFolder,
    to: Annotated[
        str,
        typer.Option(metavar="CLASS", help="auto (the first class that computes the same), or one by name."),
    ] = "auto",
    shard_size: ShardSize = "5GB",
) -> None:
    """Write a mixture with one attention as a class of transformers that computes the same.

    \b
    Example: paribus export mixture --out for-serving --to auto

    Classes: cohere2_moe, mixtral, qwen2_moe, qwen3_moe; without experts cohere, llama, mistral, qwen2, qwen3, gemma.
    What would compute something else is refused, with every reason.
    """
    from paribus.cli.parts_progress import say
    from paribus.cli.parts_record import NAME, Run
    from paribus.weights import export_mixture

    run = Run(out / NAME, "export", {"to": to}, {"model": model})
    report = export_mixture(model, out, to, shard_size=shard_size)
    cost = {"parameters": report.parameters, "peak_memory": report.peak_memory}
    kept = report.model_dump(include={"target", "architecture", "notes", "source_hash", "weights_hash"})
    run.finish(cost=cost, results=kept)
    say(f"Exported as {report.architecture} ({report.target}): {report.parameters:,} parameters.")
    for note in report.notes:
        say(f"Note: {note}")
    print(out)


def origin_counts(report: "UpcycleReport") -> dict[str, int]:
    """Parameters by what they came from; kinds that do not occur are left out."""
    counts = {"copied": 0, "averaged": 0}
    for piece in (piece for tensor in report.tensors for piece in tensor.pieces):
        origin = "copied" if len(piece.models) == 1 else "averaged"
        counts[origin] += (piece.rows[1] - piece.rows[0]) * (piece.columns[1] - piece.columns[0])
    counts["drawn (routers)"] = report.parameters - sum(counts.values())
    return {origin: count for origin, count in counts.items() if count}


def _sizes(folder: str) -> dict[str, int]:
    """What the mixture costs to hold and to serve, from its configuration."""
    from paribus.models.mixture import MixtureConfig
    from paribus.models.shapes import MixtureShape

    shape = MixtureShape.of(MixtureConfig.from_pretrained(folder))
    return {
        "parameters": shape.total_parameters,
        "active_parameters": shape.active_parameters,
        "kv_bytes_per_token": shape.kv_cache_bytes(1),
        "attention_experts": shape.attention_experts,
        "ffn_experts": shape.ffn_experts,
    }


def _tell_gates(experts: int, top_k: int, gate_norm: str) -> None:
    """What the gates do to a mixture that is not trained yet."""
    from paribus.cli.parts_progress import say

    if experts > 1 and gate_norm == "renormalised" and top_k == 1:
        say("Note: one expert with a renormalised gate: the gate is 1, so the text teaches its router nothing.")
    if experts > top_k and gate_norm == "raw":
        better = "scaled" if top_k == 1 else "renormalised"
        say(
            f"Note: raw gates sum to about {top_k}/{experts} until the routers are trained, which weakens the "
            f"feed-forward layers; --gate-norm {better} starts at full strength."
        )
