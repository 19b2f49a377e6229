"""A made-up study for the report's tests: every number comes from a random generator and means nothing.

It has the shape of a real one (25 arms, 10 languages, 13 panels), long texts, right-to-left and East Asian scripts.
"""

import random
from typing import Any

from paribus.lab.results import ArmSummary, ClaimResult, ContrastResult, Estimate, Panel, StudyResult

LANGUAGES = ("en", "es", "de", "ru", "ar", "he", "hi", "tr", "zh", "ja")
COVERS = ("prompts", "post-training")
STEPS = ("base", "single teacher", "arbitrage", "merge", "offline preference", "online preference")
TEACHERS = ("teacher-romance", "teacher-slavic", "teacher-semitic", "teacher-indic", "teacher-east-asia", "generalist")

SAMPLES: tuple[tuple[str, str, str, str], ...] = (
    (
        "en",
        "Which month comes after June?",
        "July.",
        "The month that comes after June is August, because June is the seventh month.",
    ),
    (
        "ar",
        "ما هو اليوم الذي يلي يوم الاثنين؟",
        "يوم الثلاثاء.",
        "اليوم الذي يلي يوم الاثنين هو Wednesday (3) يوم الأربعاء.",
    ),
    ("he", "איזה יום בא אחרי יום שני?", "יום שלישי.", "יום רביעי, 12:30."),
    ("hi", "सोमवार के बाद कौन सा दिन आता है?", "मंगलवार।", "सोमवार के बाद बुधवार आता है, क्योंकि सप्ताह में सात दिन होते हैं।"),
    ("zh", "星期一之后是星期几?", "星期二。", "星期一之后是星期三。因为一周有七天,所以答案是星期三,请参考日历。"),
    ("ja", "月曜日の次は何曜日ですか。", "火曜日です。", "月曜日の次は水曜日です。"),
    ("ru", "Какой день следует за понедельником?", "Вторник.", "За понедельником следует среда."),
)


def estimate(rng: random.Random, value: float, half: float = 0.03, n: int = 400) -> Estimate:
    wide = half * rng.uniform(0.8, 1.3)
    return Estimate(value=value, low=value - wide, high=value + wide * 0.95, n=n, covers=COVERS)


def synthetic_study(seed: int = 0) -> StudyResult:
    """The whole made-up study; the same seed gives the same study."""
    rng = random.Random(seed)
    names = [
        "base",
        "single",
        "random",
        "fixed",
        "reward",
        "learned",
        "merge-linear",
        "merge-slerp",
        "merge-ties",
        "merge-dare",
        "joint",
    ]
    names += ["offline", "online", "offline-online", "rloo", "translationese"]
    names += [f"arbiter-{accuracy}" for accuracy in (60, 70, 80, 90, 100)] + [
        f"beta-{beta}" for beta in ("0.05", "0.1", "0.3", "0.5")
    ]
    level = {name: 0.34 + 0.5 * index / len(names) + rng.uniform(-0.04, 0.04) for index, name in enumerate(names)}
    return StudyResult(
        study="synthetic-expanse",
        title="Which step of the recipe made the model better? (synthetic figures)",
        question="When every arm sees the same prompts and pays for the same tokens, how much does each step of "
        "a multilingual recipe add, and in which languages?",
        paper="A made-up paper for the report's tests, arXiv 0000.00000",
        scale="pocket",
        settings={
            "languages": list(LANGUAGES),
            "train": {"steps": 600, "learning_rate": 3e-4, "batch_size": 64},
            "rounds": 3,
        },
        covers_note="Intervals resample prompts within languages and post-training seeds. They do not cover another "
        "pre-training run, another world of facts, or larger models.",
        arms=tuple(_arm(rng, name, level[name]) for name in names),
        contrasts=_contrasts(rng),
        claims=_claims(),
        panels=_panels(rng, names, level),
        provenance={
            "paribus": "0.1.0",
            "python": "3.11.9",
            "torch": "2.13.0+cpu",
            "compute path": {
                "dtype": "bfloat16",
                "attention": "eager",
                "compile": True,
                "reason": "fastest of four in the self-test",
            },
            "data hash": "9f1c6cf6d7f1b6d0a0b3e7b0f7a1c1b7c6e2d9a8f4b3c2d1e0f9a8b7c6d5e4f3",
            "seeds": [0, 1, 2],
            "machine": "2 cores, x86-64",
        },
    )


def _arm(rng: random.Random, name: str, level: float) -> ArmSummary:
    spread = {code: level + rng.uniform(-0.14, 0.1) for code in LANGUAGES}
    router = name if name in ("random", "fixed", "reward", "learned") else "none" if name == "base" else "single"
    return ArmSummary(
        name=name,
        description=f"The {name} arm: one made-up change to the recipe, everything else as in the baseline.",
        factors={
            "router.kind": router,
            "merge.method": name.removeprefix("merge-") if name.startswith("merge") else "none",
            "beta": float(name.removeprefix("beta-")) if name.startswith("beta") else 0.1,
            "tokens": 4_200_000,
            "layers": 6,
        },
        seeds=(0, 1, 2),
        measures={
            "exact_match": {
                "all": estimate(rng, level, 0.02, 4000),
                **{code: estimate(rng, value, 0.05) for code, value in spread.items()},
            },
            "chrf": {"all": estimate(rng, 40 + 30 * level, 1.3, 4000)},
            "wrong_language_rate": {"all": estimate(rng, 0.06, 0.01, 4000)},
        },
        cost={
            "tokens": 4.2e6 * rng.uniform(0.995, 1.005),
            "flops": 2.6e14 * rng.uniform(0.99, 1.4),
            "seconds": rng.uniform(60, 260),
        },
        addresses={"model": f"train_sft-{rng.getrandbits(48):012x}", "items": f"evaluate-{rng.getrandbits(48):012x}"},
    )


def _contrasts(rng: random.Random) -> tuple[ContrastResult, ...]:
    planned = (
        ("single over base", "single", "base", 0.052, "supported"),
        ("reward over single", "reward", "single", 0.061, "supported"),
        ("reward over random", "reward", "random", 0.034, "supported"),
        ("reward over fixed", "reward", "fixed", 0.004, "unresolved"),
        ("merge over joint", "merge-linear", "joint", -0.028, "contradicted"),
        ("merge over reward", "merge-linear", "reward", 0.039, "supported"),
        ("offline over merge", "offline", "merge-linear", 0.037, "supported"),
        ("online over offline", "offline-online", "offline", 0.016, "unresolved"),
    )
    return tuple(_contrast(rng, *plan) for plan in planned)


def _contrast(rng: random.Random, name: str, arm: str, baseline: str, size: float, verdict: Any) -> ContrastResult:
    p = 0.0004 if verdict == "supported" else 0.31 if verdict == "unresolved" else 0.012
    return ContrastResult(
        name=name,
        arm=arm,
        baseline=baseline,
        measure="exact_match",
        direction="greater",
        margin=0.01,
        difference=estimate(rng, size, 0.018, 4000),
        by_language={code: estimate(rng, size + rng.uniform(-0.05, 0.05), 0.05) for code in LANGUAGES},
        p_value=p,
        p_holm=min(1.0, p * 4),
        minimal_detectable=0.021,
        verdict=verdict,
        matched="tokens of sft",
        cost_ratio={"tokens": 1.0, "flops": rng.uniform(0.98, 1.3), "seconds": rng.uniform(0.9, 1.4)},
    )


def _claims() -> tuple[ClaimResult, ...]:
    return (
        ClaimResult(
            id="arbitrage",
            sentence="Choosing the best teacher per prompt beats any single teacher.",
            source="section 2.1",
            verdict="supported",
            contrasts=("reward over single",),
        ),
        ClaimResult(
            id="routers",
            sentence="Reward-based routing is better than random and fixed routing at the same number of prompts.",
            source="section 2.2, figure 3",
            verdict="unresolved",
            contrasts=("reward over random", "reward over fixed"),
            note="The fixed router is right by construction in this world, so little room is left above it.",
        ),
        ClaimResult(
            id="merging",
            sentence="Merging models trained per language cluster beats one model trained on the pooled data.",
            source="section 2.5",
            verdict="contradicted",
            contrasts=("merge over joint",),
        ),
        ClaimResult(
            id="online",
            sentence="Online preference rounds after offline training improve on offline training alone.",
            source="section 2.4",
            verdict="unresolved",
            contrasts=("online over offline",),
        ),
    )


def _panels(rng: random.Random, names: list[str], level: dict[str, float]) -> tuple[Panel, ...]:
    return (
        _ladder(rng),
        _sizes(rng),
        _heat(rng, names, level),
        *_routing(rng),
        _win_rates(rng),
        *_monitors(rng),
        _cost(rng, names, level),
        *_words(),
    )


def _ladder(rng: random.Random) -> Panel:
    arms = ("base", "single", "reward", "merge-linear", "offline", "offline-online")
    rows, value = [], 0.31
    for step, arm in zip(STEPS, arms, strict=True):
        value += rng.uniform(-0.01, 0.09)
        rows.append(
            {"step": step, "arm": arm, "value": value, "low": value - 0.022, "high": value + 0.021, "language": "all"}
        )
        rows += [
            {
                "step": step,
                "arm": arm,
                "value": value + rng.uniform(-0.1, 0.1),
                "low": value - 0.2,
                "high": value + 0.2,
                "language": code,
            }
            for code in LANGUAGES
        ]
    return Panel(
        id="ladder",
        kind="ladder",
        title="Step by step",
        caption="Exact match on held-out facts after each step. The pale bar is what the step added or took away.",
        rows=tuple(rows),
        y_title="exact match, all languages",
    )


def _sizes(rng: random.Random) -> Panel:
    rows = []
    for index, step in enumerate(("sft", "merge", "preference")):
        for arm, start in (("1M parameters", 0.3), ("8M parameters", 0.42)):
            value = start + 0.08 * index + rng.uniform(-0.02, 0.02)
            rows.append({"step": step, "arm": arm, "value": value, "low": value - 0.03, "high": value + 0.03})
    return Panel(id="sizes", kind="ladder", title="The ladder at two sizes", rows=tuple(rows), y_title="exact match")


def _heat(rng: random.Random, names: list[str], level: dict[str, float]) -> Panel:
    rows = tuple(
        {"x": code, "y": name, "value": level[name] + rng.uniform(-0.14, 0.1)} for name in names for code in LANGUAGES
    )
    return Panel(
        id="by-language", kind="heatmap", title="Exact match by language", rows=rows, x_title="language", y_title="arm"
    )


def _routing(rng: random.Random) -> tuple[Panel, ...]:
    rows = []
    for code in LANGUAGES:
        weights = [rng.random() ** 3 for _ in TEACHERS]
        rows += [{"group": code, "part": t, "share": w / sum(weights)} for t, w in zip(TEACHERS, weights, strict=True)]
    changed = tuple(
        {"x": code, "y": router, "value": rng.uniform(-0.09, 0.12)}
        for router in ("fixed", "reward", "learned")
        for code in LANGUAGES
    )
    return (
        Panel(
            id="routing",
            kind="shares",
            title="Who taught what",
            caption="Share of prompts each teacher won, reward router.",
            rows=tuple(rows),
        ),
        Panel(id="gain", kind="heatmap", title="Gain in accuracy over the random router", rows=changed),
    )


def _win_rates(rng: random.Random) -> Panel:
    rows = []
    for group in ("against single", "against joint"):
        for code in LANGUAGES:
            value = rng.uniform(0.4, 0.72)
            rows.append(
                {
                    "label": code,
                    "value": value,
                    "low": value - 0.07,
                    "high": value + 0.07,
                    "group": group,
                    "reference": 0.5,
                }
            )
    return Panel(
        id="win-rates",
        kind="intervals",
        title="Win rates",
        caption="Rule judge, both orders, ties apart. The line is an even match.",
        rows=tuple(rows),
        x_title="win rate",
    )


def _monitors(rng: random.Random) -> tuple[Panel, ...]:
    rows = []
    for facet, start, slope in (
        ("KL to SFT", 0.0, 0.012),
        ("reply length, tokens", 18.0, 0.11),
        ("gold minus arbiter gap", 0.02, 0.003),
    ):
        for series in ("online", "offline then online", "rloo"):
            rate = slope * rng.uniform(0.4, 1.4)
            rows += [
                {"x": x, "y": start + rate * x + rng.uniform(-1, 1) * slope * 4, "series": series, "facet": facet}
                for x in range(0, 300, 5)
            ]
    loss = [
        {"x": step, "y": 5.5 * (step + 20) ** -0.3 + rng.uniform(-0.03, 0.03), "series": name}
        for name in TEACHERS
        for step in range(1, 1201, 4)
    ]
    return (
        Panel(
            id="monitors",
            kind="lines",
            title="Signs of reward hacking",
            rows=tuple(rows),
            x_title="online step",
            y_title="monitor",
        ),
        Panel(
            id="loss",
            kind="lines",
            title="Training loss of the teachers",
            rows=tuple(loss),
            x_title="step",
            y_title="loss, nats per token",
        ),
    )


def _cost(rng: random.Random, names: list[str], level: dict[str, float]) -> Panel:
    rows = [
        {"x": 2e14 * 1.3**index, "y": level[name], "label": name, "low": level[name] - 0.03, "high": level[name] + 0.03}
        for index, name in enumerate(names[:16])
    ]
    return Panel(
        id="cost", kind="scatter", title="Cost against quality", rows=tuple(rows), x_title="FLOP", y_title="exact match"
    )


def _words() -> tuple[Panel, ...]:
    rows = []
    for language, prompt, right, wrong in SAMPLES:
        rows.append(
            {
                "language": language,
                "prompt": prompt,
                "arm": "single",
                "text": wrong,
                "correct": False,
                "note": "wrong fact",
            }
        )
        rows.append(
            {"language": language, "prompt": prompt, "arm": "reward", "text": right, "correct": True, "note": ""}
        )
        rows.append(
            {
                "language": language,
                "prompt": prompt,
                "arm": "online",
                "text": (wrong + " ") * 12,
                "correct": None,
                "note": "cut at 256 tokens",
            }
        )
    bias = tuple(
        {"judge": judge, "first wins": 0.53, "flip rate": 0.081, "parsed": 0.998, "games": 8_000}
        for judge in ("rule", "endpoint")
    )
    return (
        Panel(id="samples", kind="samples", title="Answers side by side", rows=tuple(rows)),
        Panel(
            id="bias",
            kind="table",
            title="Position bias of the judges",
            rows=bias,
            columns=("judge", "games", "first wins", "flip rate", "parsed"),
        ),
        Panel(
            id="reading",
            kind="text",
            title="How to read this",
            rows=({"text": "Every figure on this page is synthetic."},),
        ),
    )
