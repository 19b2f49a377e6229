"""A made-up study of sequence models for the report's tests: every use of line panels; its numbers mean nothing."""

import math
import random
from typing import Any

from paribus.lab.results import ArmSummary, ClaimResult, ContrastResult, Estimate, Panel, StudyResult

MODELS = ("Transformer", "LSTM", "RetNet", "Hyena", "DSS")
LENGTHS = (20, 50, 75, 100, 200, 400)
COVERS = ("sequences", "training seeds")
SEEDS = range(5)

# Accuracy at the first example and after many, and how fast it gets there: by class, for the models and the learners.
Rise = tuple[float, float, float]
CLASSES: dict[str, dict[str, Rise]] = {
    "conjunctions, n = 28": {
        "Transformer": (0.70, 1.0, 12),
        "LSTM": (0.70, 0.99, 14),
        "DSS": (0.70, 0.97, 22),
        "version-space vote": (0.70, 1.0, 9),
        "3-NN": (0.62, 0.85, 25),
        "averaging": (0.64, 0.66, 10),
        "null": (0.70, 0.70, 1),
    },
    "integer halfspaces, n = 20": {
        "Transformer": (0.51, 0.86, 20),
        "LSTM": (0.51, 0.84, 22),
        "DSS": (0.51, 0.83, 24),
        "averaging": (0.51, 0.82, 16),
        "3-NN": (0.51, 0.70, 20),
        "null": (0.51, 0.51, 1),
    },
    "parities (10, 2)": {
        "Transformer": (0.5, 0.54, 60),
        "LSTM": (0.5, 0.51, 60),
        "DSS": (0.5, 0.50, 60),
        "version-space vote": (0.5, 1.0, 4),
        "3-NN": (0.5, 0.82, 45),
        "averaging": (0.5, 0.49, 10),
        "null": (0.5, 0.5, 1),
    },
    "nearest neighbours, n = 10": {
        "Transformer": (0.5, 1.0, 8),
        "LSTM": (0.5, 0.79, 10),
        "DSS": (0.5, 0.85, 9),
        "version-space vote": (0.5, 1.0, 3),
        "averaging": (0.5, 0.58, 12),
        "null": (0.5, 0.5, 1),
    },
}
LEARNERS = ("version-space vote", "3-NN", "averaging", "null")


def sequence_study(seed: int = 0) -> StudyResult:
    """Eight panels of accuracy, from in-context curves to the state bits that a bound asks for."""
    rng = random.Random(seed)
    contrasts = tuple(_contrast(rng, model) for model in MODELS[1:])
    return StudyResult(
        study="synthetic-testbeds",
        title="Which sequence models look things up? (synthetic figures)",
        question="At equal width, parameters and state, which architectures learn a function from its examples, and "
        "which carry what a task asks them to carry?",
        paper="Two made-up papers for the report's tests, arXiv 0000.00000",
        scale="pocket",
        settings={"lengths": list(LENGTHS), "width": 64, "learning_rates": [1e-3, 2e-3, 5e-3]},
        covers_note="Intervals resample sequences and training seeds. They do not cover other learning rates.",
        arms=tuple(_arm(rng, model) for model in MODELS),
        contrasts=contrasts,
        claims=(
            ClaimResult(
                id="lookup",
                sentence="One layer of attention looks up an index that recurrent models of its width do not learn.",
                source="section 5, figure 2",
                verdict="supported",
                contrasts=tuple(contrast.name for contrast in contrasts),
                note="The bound asks for 80 bits, the recurrent models have 4,096: this is a gap of learning.",
            ),
        ),
        panels=(
            _in_context(rng),
            _teaching(rng),
            _state_bits(rng),
            _widths(rng),
            _lengths(rng),
            _by_task(rng),
            _seeds(rng),
            _grid(rng),
        ),
        provenance={"paribus": "0.1.0", "seeds": list(SEEDS)},
    )


def _estimate(rng: random.Random, value: float, half: float) -> Estimate:
    wide = half * rng.uniform(0.8, 1.2)
    return Estimate(value=value, low=value - wide, high=value + wide, n=2_000, covers=COVERS)


def _arm(rng: random.Random, model: str) -> ArmSummary:
    level = 0.98 if model == "Transformer" else 0.3 + 0.1 * rng.random()
    return ArmSummary(
        name=model,
        description=f"One layer of {model}, 64 wide, trained on index lookup.",
        factors={"mixer": model.lower(), "width": 64, "layers": 1},
        seeds=tuple(SEEDS),
        measures={"accuracy": {"all": _estimate(rng, level, 0.01)}},
        cost={"flops": 2.1e12 * rng.uniform(0.8, 1.4), "parameters": 5e4, "seconds": rng.uniform(20, 90)},
    )


def _contrast(rng: random.Random, model: str) -> ContrastResult:
    return ContrastResult(
        name=f"Transformer over {model}",
        arm="Transformer",
        baseline=model,
        measure="accuracy",
        direction="greater",
        margin=0.05,
        difference=_estimate(rng, 0.6, 0.02),
        by_language={},
        p_value=0.03,
        p_holm=0.06,
        minimal_detectable=0.03,
        verdict="supported",
        matched="parameters of model",
        cost_ratio={"flops": 1.1},
    )


def _rise(start: float, end: float, pace: float, x: float) -> float:
    return end - (end - start) * math.exp(-x / pace)


def _between(value: float) -> float:
    return min(1.0, max(0.0, value))


def _row(x: float, y: float, series: str, half: float | None = None, **extra: Any) -> dict[str, Any]:
    band = {} if half is None else {"low": _between(y - half), "high": _between(y + half)}
    return {"x": x, "y": _between(y), "series": series, **band, **extra}


def _in_context(rng: random.Random) -> Panel:
    rows = []
    for facet, curves in CLASSES.items():
        for name, (start, end, pace) in curves.items():
            role = {"role": "reference"} if name in LEARNERS else {}
            for x in range(70):
                noise = rng.gauss(0, 0.002 if role else 0.006)
                half = None if role else 0.012 + 0.02 * math.exp(-x / 15)
                rows.append(_row(x, _rise(start, end, pace, x) + noise, name, half, facet=facet, **role))
    return Panel(
        id="in-context",
        kind="lines",
        title="What is learned from the examples in a prompt",
        caption="Accuracy on the next point. Bands are 95% intervals over prompts and training seeds.",
        rows=tuple(rows),
        x_title="examples before the query",
        y_title="accuracy",
    )


def _teaching(rng: random.Random) -> Panel:
    rows = [
        _row(x, _rise(start, end, pace, x) + rng.gauss(0, 0.006), name, 0.015)
        for name, start, end, pace in (("teaching prompts", 0.1, 1.0, 1.6), ("random prompts", 0.62, 0.86, 9.0))
        for x in range(40)
    ]
    bounds = [
        {"x": 5, "y": None, "series": "teaching sequence ends", "role": "bound"},
        {"x": 7, "y": None, "series": "its longest", "role": "bound"},
        {"x": 36, "y": None, "series": "prompts in training ended here", "role": "bound"},
    ]
    return Panel(
        id="teaching",
        kind="lines",
        title="One model, two kinds of prompt",
        rows=(*rows, *bounds),
        x_title="examples before the query",
        y_title="accuracy",
    )


def _state_bits(rng: random.Random) -> Panel:
    rows: list[dict[str, Any]] = []
    for length in (20, 100):
        facet, need = f"index lookup of {length}", 4 * length
        for model in MODELS[1:]:
            for power in range(9, 18):
                level = 1 / 16 + 0.5 * (power - 8) / 10 * (20 / length) ** 0.3 + rng.gauss(0, 0.03)
                found = [level + rng.gauss(0, 0.03) for _ in SEEDS]
                rows.append(_row(2**power, sum(found) / 5, model, 0.03, facet=facet))
                for seed, y in enumerate(found):
                    rows.append(_row(2**power, y, f"seed {seed}", facet=facet, role="run", of=model))
        for bits in (16, 32, 64, 128, 256, 512, 1024, 131072):
            ceiling = min(1.0, 1 / 16 + 15 / 16 * (bits / need) ** 0.7)
            rows.append(_row(bits, ceiling, "highest possible", facet=facet, role="reference"))
        rows.append({"x": need, "y": None, "series": f"{need} bits needed", "facet": facet, "role": "bound"})
    return Panel(
        id="state-bits",
        kind="lines",
        title="Accuracy against the bits that a state carries",
        rows=tuple(rows),
        x_title="bits of state (numbers in the state times 16)",
        y_title="accuracy",
        x_scale="log",
    )


def _widths(rng: random.Random) -> Panel:
    rows: list[dict[str, Any]] = [
        _row(width, _rise(1 / 16, 0.9, length * 6, width) + rng.gauss(0, 0.01), f"Mamba, length {length}", 0.02)
        for length in LENGTHS
        for width in (32, 64, 256, 512, 1024)
    ]
    rows += [_row(width, 1 / 16, "chance", role="reference") for width in (32, 1024)]
    rows.append({"x": 24, "y": None, "series": "least width, 1-layer Transformer", "role": "bound"})
    return Panel(
        id="widths",
        kind="lines",
        title="Wider recurrent models",
        rows=tuple(rows),
        x_title="width",
        y_title="accuracy",
        x_scale="log",
    )


def _lengths(rng: random.Random) -> Panel:
    rows: list[dict[str, Any]] = []
    for model, fall in (("Transformer", 60), ("LSTM", 400), ("RetNet", 150)):
        ends = [fall * rng.choice((0.1, 1, 1, 1.2)) for _ in SEEDS]
        for x in (10, 20, 30, 40, 50, 60, 80, 100, 150, 200):
            found = [0.5 + 0.5 * math.exp(-max(0, x - 50) / end) for end in ends]
            rows.append(_row(x, sum(found) / 5, model, 0.04))
            rows += [_row(x, y, f"{model}, seed {i}", role="run", of=model) for i, y in enumerate(found)]
    rows += [_row(x, 0.5, "chance", role="reference") for x in (10, 200)]
    rows.append({"x": 50, "y": None, "series": "longest in training", "role": "bound"})
    return Panel(
        id="lengths",
        kind="lines",
        title="Longer than in training",
        caption="Sequence accuracy on bounded Dyck; each faint line is one seed.",
        rows=tuple(rows),
        x_title="length of the test sequence",
        y_title="accuracy",
    )


def _by_task(rng: random.Random) -> Panel:
    rows: list[dict[str, Any]] = [
        _row(x, _rise(0.5, 1.0, 9 + 6 * ((index + shift) % 5), 800 / x), model, 0.02, facet=task)
        for shift, task in enumerate(("index lookup", "bounded Dyck", "equality", "recall of key and value pairs"))
        for index, model in enumerate(MODELS)
        for x in LENGTHS
    ]
    rows.append({"x": 50, "y": None, "series": "longest in training", "role": "bound"})
    return Panel(
        id="by-task",
        kind="lines",
        title="Longer than in training, by task",
        rows=tuple(rows),
        x_title="length",
        y_title="accuracy",
        x_scale="log",
    )


def _seeds(rng: random.Random) -> Panel:
    rows: list[dict[str, Any]] = []
    for facet, models in (("bounded Dyck", {"LSTM": 60, "TF-(2,64)": 500}), ("index lookup", {"LSTM": 9000})):
        for model, pace in {"TF-(1,64)": 250, **models}.items():
            paces = [pace * (1 if rng.random() < 0.7 else 30) for _ in SEEDS]
            for step in range(0, 1501, 25):
                found = [_rise(0.1, 1.0, one, max(0, step - 100)) + rng.gauss(0, 0.01) for one in paces]
                rows.append(_row(step, sorted(found)[2], model, facet=facet))
                rows += [_row(step, y, f"seed {i}", facet=facet, role="run", of=model) for i, y in enumerate(found)]
    return Panel(
        id="seeds",
        kind="lines",
        title="Every seed while it trains",
        caption="The strong line is the median; runs that stay low did not learn the task in this budget.",
        rows=tuple(rows),
        x_title="step",
        y_title="sequence accuracy",
    )


def _grid(rng: random.Random) -> Panel:
    rows = tuple(
        {"x": f"{length}", "y": model, "value": _between(_rise(1 / 16, 1.0, 30 * (1 + index), 900 / length))}
        for index, model in enumerate(MODELS)
        for length in LENGTHS
    )
    return Panel(id="grid", kind="heatmap", title="Accuracy by length", rows=rows, x_title="length", y_title="model")
