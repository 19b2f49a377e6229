"""The stage that turns what models of several domains measured into the charts and tables of a report."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from paribus.errors import DataError
from paribus.lab import Panel, stage
from paribus.studies.stages.config import StageConfig
from paribus.studies.stages.language_modelling import DEAD, PERPLEXITY, ROUTING, TRAINING
from paribus.studies.stages.merging import MERGED
from paribus.studies.stages.panels import pooled, summaries, write_panels
from paribus.studies.stages.rows import read_rows

BITS, CHOICE = "bits_per_byte", "choice_accuracy"
ALL = "all"


class DenseModel(StageConfig):
    """A dense model of the study and how it was trained."""

    name: str
    steps: int
    learning_rate: float


class MixturePanelsConfig(StageConfig):
    """Arms in the study's order, domains with the general one first, seeds; ``same_data``: arms of one token stream.

    ``costs``: of each arm, what its model and all training behind it cost, counted from shapes. ``dense``:
    the models that are mixed, in the order of the mixture's experts.
    """

    arms: tuple[str, ...]
    domains: tuple[str, ...]
    seeds: tuple[int, ...]
    same_data: tuple[str, ...]
    costs: dict[str, dict[str, float]]
    dense: tuple[DenseModel, ...]
    questions: bool = True


Folders = Mapping[str, Path]


@stage(version="1")
def mixture_panels(
    config: MixturePanelsConfig,
    examinations: dict[str, Path],
    trained: dict[str, Path],
    dense: dict[str, Path],
    upcycled: dict[str, Path],
    *,
    out: Path,
) -> None:
    """Write ``panels.jsonl``. Examinations, trained and dense models are keyed ``arm@seed``, mixtures by their seed.

    Raises ``DataError`` if arms that are compared on the same data saw different tokens.
    """
    bits = {arm: _by_domain(config, examinations, arm, BITS) for arm in config.arms}
    rows = [
        _matrix("domains", bits, "Bits per byte by domain"),
        *([_questions(config, examinations)] if config.questions else []),
        *_cost_charts(config, bits),
        _languages(config, examinations),
        *_routing(config, examinations),
        _perplexity(config, examinations),
        _sizes(config),
        _losses(config, trained),
        _phases(config, dense, upcycled),
        _streams(config, trained),
    ]
    write_panels(out, rows)


def _by_domain(config: MixturePanelsConfig, folders: Folders, arm: str, measure: str) -> dict[str, Any]:
    """Domain to the interval of its mean over documents and seeds; ``all``, over the domains, comes last."""
    names = {measure: ALL, **{f"{measure}_{domain}": domain for domain in config.domains}}
    rows = summaries(pooled(config.seeds, folders, arm, names), by="nothing")
    found = {names[row.measure]: row.interval for row in rows}
    return {domain: found[domain] for domain in (*config.domains, ALL)}


def _by_language(config: MixturePanelsConfig, folders: Folders, arm: str) -> dict[str, Any]:
    """Language to the interval of the mean bits per byte over its documents and seeds; ``all`` comes first."""
    return {row.language: row.interval for row in summaries(pooled(config.seeds, folders, arm, [BITS]))}


def _matrix(name: str, table: Mapping[str, Mapping[str, Any]], title: str, **told: Any) -> Panel:
    """Arms by domains (or what ``x_title`` says), each cell with its interval; ``told`` are fields of the panel."""
    rows = [
        {"x": column, "y": arm, "value": interval.estimate, "low": interval.low, "high": interval.high}
        for arm, by_column in table.items()
        for column, interval in by_column.items()
    ]
    fields = {"caption": _CAPTION, "x_title": "domain", "y_title": "arm", "better": "less", **told}
    return Panel(id=name, kind="heatmap", title=title, rows=tuple(rows), **fields)


_CAPTION = (
    "Means over test documents and seeds; intervals resample documents. 'all' is the plain mean of the domains, "
    "general text included."
)


def _questions(config: MixturePanelsConfig, folders: Folders) -> Panel:
    table = {arm: _by_domain(config, folders, arm, CHOICE) for arm in config.arms}
    caption = f"{_CAPTION} Four choices: guessing gives 25%."
    return _matrix("questions", table, "Questions answered by the likelier choice", caption=caption, better="more")


def _languages(config: MixturePanelsConfig, folders: Folders) -> Panel:
    table = {arm: _by_language(config, folders, arm) for arm in config.arms}
    told = {"caption": "All domains and seeds.", "x_title": "language"}
    return _matrix("languages", table, "Bits per byte by language", **told)


# ---- What quality costs ----------------------------------------------------------------------------------------------


_CHARTS = (
    (
        "training",
        "training_flops",
        "What training costs against what it gives",
        "FLOPs of all training behind the model",
    ),
    (
        "inference",
        "flops_per_token",
        "What a token costs against what it gives",
        "FLOPs of one token, output layer included",
    ),
)


def _cost_charts(config: MixturePanelsConfig, bits: Mapping[str, Mapping[str, Any]]) -> list[Panel]:
    return [
        Panel(
            id=f"cost-{name}",
            kind="scatter",
            title=title,
            caption=(
                "Bits per byte over all domains. The line joins the arms that no other beats at their cost or less. "
                "Operations are counted from shapes; attention counts the full square of the context."
            ),
            rows=tuple(
                {
                    "x": config.costs[arm][field],
                    "y": by_domain[ALL].estimate,
                    "low": by_domain[ALL].low,
                    "high": by_domain[ALL].high,
                    "label": arm,
                }
                for arm, by_domain in bits.items()
            ),
            x_title=axis,
            y_title="bits per byte",
            better="less",
        )
        for name, field, title, axis in _CHARTS
    ]


def _sizes(config: MixturePanelsConfig) -> Panel:
    columns = (
        "arm",
        "parameters",
        "active_parameters",
        "flops_per_token",
        "body_flops_per_token",
        "kv_bytes_per_token",
        "training_flops",
        "training_body_flops",
        "training_tokens",
    )
    rows = [{"arm": arm, **config.costs[arm]} for arm in config.arms]
    return Panel(
        id="sizes",
        kind="table",
        title="Sizes and costs, counted from shapes",
        caption=(
            "Active: what a token touches, both routers included. body: without the output layer. kv: cached keys and "
            "values in bf16. Training columns sum over all models behind the arm."
        ),
        rows=tuple(rows),
        columns=columns,
    )


# ---- Routing ---------------------------------------------------------------------------------------------------------

_BRANCHES = {"ffn": "Where feed-forward routers send tokens", "attention": "How attention experts are weighted"}
_MAPPED = ("btx", "expert_kv", "shared_kv")
"""Arms whose maps are drawn, all with one expert a domain; alarms look at all arms."""


def _routing(config: MixturePanelsConfig, folders: Folders) -> list[Panel]:
    panels = []
    for branch, title in _BRANCHES.items():
        rows = [row for arm in _MAPPED if arm in config.arms for row in _map_rows(config, folders, arm, branch)]
        if rows:
            panels.append(
                Panel(
                    id=f"routing-{branch}",
                    kind="maps",
                    title=f"{title}, by domain and layer",
                    caption="Shares of tokens, or mean gates of attention, on test documents; means over seeds.",
                    rows=tuple(rows),
                    x_title="expert",
                    y_title="layer",
                )
            )
    return [*panels, _alarm(config, folders)]


def _routing_rows(config: MixturePanelsConfig, folders: Folders, arm: str) -> list[dict[str, Any]]:
    """What every seed's routers did."""
    return [row for seed in config.seeds for row in read_rows(folders[f"{arm}@{seed}"] / ROUTING)]


def _map_rows(config: MixturePanelsConfig, folders: Folders, arm: str, branch: str) -> list[dict[str, Any]]:
    """Means over languages and seeds; ``mark`` names an expert that is dead in a layer for any seed."""
    dead = {(row["layer"], row["expert"]) for _, row in _dead(config, folders, arm) if row["branch"] == branch}
    cells: defaultdict[tuple[str, int, int], list[float]] = defaultdict(list)
    for row in _routing_rows(config, folders, arm):
        if row["branch"] == branch:
            cells[row["domain"], row["layer"], row["expert"]].append(row["share"])
    return [
        {
            "facet": f"{arm}: {domain}",
            "x": _expert(config, arm, expert),
            "y": f"layer {layer + 1}",
            "value": fmean(shares),
            "mark": "dead" if (layer, expert) in dead else "",
        }
        for (domain, layer, expert), shares in sorted(cells.items(), key=lambda item: _place(config, item[0]))
    ]


def _place(config: MixturePanelsConfig, cell: tuple[str, int, int]) -> tuple[int, int, int]:
    return (config.domains.index(cell[0]), cell[1], cell[2])


def _expert(config: MixturePanelsConfig, arm: str, number: int) -> str:
    """Experts are named after the domain of the model they were copied from; further copies are of the seed."""
    first = 0 if arm == "sparse_upcycling" else len(config.domains)
    return config.domains[number] if number < first else f"copy {number - first + 1}"


def _dead(config: MixturePanelsConfig, folders: Folders, arm: str) -> list[tuple[int, dict[str, Any]]]:
    """(seed, row) of every expert of an arm that hardly any token goes to."""
    return [(seed, row) for seed in config.seeds for row in json.loads((folders[f"{arm}@{seed}"] / DEAD).read_text())]


def _alarm(config: MixturePanelsConfig, folders: Folders) -> Panel:
    """Experts that hardly any token goes to, of all arms and seeds."""
    found = [
        f"{arm}, seed {seed}: {_expert(config, arm, row['expert'])} in layer {row['layer'] + 1} ({row['share']:.1%})"
        for arm in config.arms
        for seed, row in _dead(config, folders, arm)
    ]
    text = "; ".join(found) if found else "No arm has an expert that gets less than 1% of the tokens in a layer."
    return Panel(
        id="dead-experts",
        kind="text",
        title="Dead experts" if found else "No dead experts",
        caption="Feed-forward experts with less than 1% of a layer's tokens over all domains together.",
        rows=({"text": text},),
    )


# ---- Training --------------------------------------------------------------------------------------------------------


def _perplexity(config: MixturePanelsConfig, folders: Folders) -> Panel:
    rows = []
    for arm in config.arms:
        runs = [json.loads((folders[f"{arm}@{seed}"] / PERPLEXITY).read_text()) for seed in config.seeds]
        by_domain = {domain: fmean(run[domain] for run in runs) for domain in config.domains}
        rows.append({"arm": arm, **by_domain, "mean": fmean(by_domain.values())})
    return Panel(
        id="perplexity",
        kind="table",
        title="Perplexity per token",
        caption=(
            "Of this vocabulary's tokens, so comparable between these arms only; means over seeds. The last column is "
            "the mean over all domains, general text included."
        ),
        rows=tuple(rows),
        columns=("arm", *config.domains, "mean"),
    )


def _training(folders: Folders, arm: str, seed: int) -> dict[str, Any]:
    return dict(json.loads((folders[f"{arm}@{seed}"] / TRAINING).read_text()))


def _phases(config: MixturePanelsConfig, dense: Folders, upcycled: Folders) -> Panel:
    """What the mixtures are made of: each dense model's data, recipe and weights."""
    rows = []
    for seed in config.seeds:
        hashes = _source_hashes(upcycled[str(seed)]) if str(seed) in upcycled else [""] * len(config.dense)
        for model, weights in zip(config.dense, hashes, strict=True):
            trained = f"{model.name}@{seed}" in dense
            told: dict[str, Any] = _training(dense, model.name, seed) if trained else {"shares": {}, "stream": ""}
            row = {"model": model.name, "seed": seed, "tokens by domain": _shares(told["shares"])}
            row |= {"steps": model.steps, "learning rate": model.learning_rate}
            rows.append(row | {"stream": told["stream"][:12], "weights": weights[:12]})
    return Panel(
        id="phases",
        kind="table",
        title="The dense models behind the mixtures",
        caption="Shares as they came out; the first digits of the hashes of the tokens learned and of the weights.",
        rows=tuple(rows),
        columns=("model", "seed", "tokens by domain", "steps", "learning rate", "stream", "weights"),
    )


def _shares(by_domain: Mapping[str, float]) -> str:
    return ", ".join(f"{domain} {share:.1%}" for domain, share in by_domain.items())


def _source_hashes(upcycled: Path) -> list[str]:
    """Hashes of the models that a mixture was made of, in their order."""
    from paribus.weights.upcycling import REPORT

    return list(json.loads((upcycled / MERGED / REPORT).read_text())["source_hashes"])


def _losses(config: MixturePanelsConfig, trained: Folders) -> Panel:
    """Losses of the mixture phase, each point the mean of a twentieth of the run."""
    arms = dict.fromkeys(key.rpartition("@")[0] for key in trained)
    rows = []
    for arm in arms:
        runs = [_training(trained, arm, seed)["losses"] for seed in config.seeds]
        for points in zip(*runs, strict=True):
            rows.append({"x": points[0][0], "y": fmean(loss for _, loss in points), "series": arm})
    return Panel(
        id="losses",
        kind="lines",
        title="Losses of the mixture phase",
        caption="Training loss in nats per token (without the routers' losses), means over seeds.",
        rows=tuple(rows),
        x_title="step",
        y_title="loss",
    )


def _streams(config: MixturePanelsConfig, trained: Folders) -> Panel:
    """The hash of the tokens that each arm learned from; those compared on the same data must agree."""
    rows = []
    for seed in config.seeds:
        hashes = {arm: _training(trained, arm, seed)["stream"] for arm in config.same_data}
        if len(set(hashes.values())) > 1:
            raise DataError(f"Arms that are compared on the same data saw other tokens (seed {seed}): {hashes}.")
        rows += [{"seed": seed, "arms": len(hashes), "tokens": next(iter(hashes.values()))}] if hashes else []
    return Panel(
        id="streams",
        kind="table",
        title="The data-matched arms saw the same tokens in the same order",
        caption=f"SHA-256 of the token ids of the whole mixture phase: {', '.join(config.same_data)}.",
        rows=tuple(rows),
        columns=("seed", "arms", "tokens"),
    )
