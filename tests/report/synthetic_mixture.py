"""A made-up study of mixtures for the report's tests: many arms and contrasts, long names; its numbers mean nothing."""

import random
from typing import Any

from paribus.lab.results import ArmSummary, ClaimResult, ContrastResult, Estimate, Panel, StudyResult

DOMAINS = ("general", "code", "law", "math")
COVERS = ("documents", "post-training")
FAMILIES = ("equal data", "equal compute", "equal compute without the output layer", "gates", "controls")
ARMS = (
    "seed",
    "expert_code",
    "expert_law",
    "expert_math",
    "dense_average",
    "dense_average_trained",
    "dense_continued",
    "sparse_upcycling",
    "btx",
    "btx_renormalised",
    "btx_top_2_renormalised",
    "btx_matched_active_top_3_of_6",
    "btx_5_experts",
    "btx_6_experts",
    "btx_7_experts",
    "btx_8_experts",
    "bam_expert_kv",
    "bam_expert_kv_compute",
    "bam_expert_kv_body_compute",
    "bam_expert_kv_attention_top_1",
    "bam_expert_kv_attention_top_2",
    "bam_expert_kv_top_2_renormalised",
    "bam_shared_kv",
    "bam_shared_kv_compute",
    "bam_shared_kv_body_compute",
)


def estimate(rng: random.Random, value: float, half: float) -> Estimate:
    wide = half * rng.uniform(0.8, 1.3)
    return Estimate(value=value, low=value - wide, high=value + 0.95 * wide, n=1_440, covers=COVERS)


def mixture_study(seed: int = 0) -> StudyResult:
    """25 arms, 6 seeds, 40 contrasts in 5 families; the same seed gives the same study."""
    rng = random.Random(seed)
    level = {arm: 1.92 - 0.006 * index + rng.uniform(-0.02, 0.02) for index, arm in enumerate(ARMS)}
    bits = {arm: _by_domain(rng, arm, level[arm]) for arm in ARMS}
    contrasts = _contrasts(rng, level)
    return StudyResult(
        study="synthetic-mixture",
        title="Which parts of a mixture earn their cost? (synthetic figures)",
        question="When every arm sees the same tokens or spends the same compute, what do attention experts add?",
        paper="A made-up paper for the report's tests, arXiv 0000.00000",
        scale="pocket",
        settings={"domains": list(DOMAINS), "mixture": {"steps": 150, "experts": 4}},
        covers_note="Intervals resample documents within domains and seeds. They do not cover another seed model.",
        arms=tuple(_arm(rng, index, arm, bits[arm]) for index, arm in enumerate(ARMS)),
        contrasts=contrasts,
        claims=_claims(contrasts),
        panels=(_matrix(bits), _cost(bits), _routing(rng), _gates(rng)),
        provenance={"paribus": "0.1.0", "seeds": list(range(6)), "machine": "2 cores, x86-64"},
    )


def _by_domain(rng: random.Random, arm: str, level: float) -> dict[str, Estimate]:
    found = {
        domain: estimate(rng, level * scale * (1.8 if arm.startswith("expert") and domain not in arm else 1.0), 0.008)
        for domain, scale in zip(DOMAINS, (1.2, 0.7, 0.95, 0.8), strict=True)
    }
    return {"all": estimate(rng, sum(e.value for e in found.values()) / 4, 0.005), **found}


def _arm(rng: random.Random, index: int, name: str, bits: dict[str, Estimate]) -> ArmSummary:
    flops = 2.6e14 * (1 + 0.06 * index)
    return ArmSummary(
        name=name,
        description=f"The {name.replace('_', ' ')} arm: what it changes in one sentence, everything else as in BTX.",
        factors={
            "upcycle.variant": name.split("_")[0],
            "upcycle.ffn_top_k": 1 + index % 3,
            "upcycle.ffn_gate_norm": "renormalised" if "renormalised" in name else "raw",
            "upcycle.attention_top_k": index % 4 or None,
            "upcycle.ffn_sources": [0, 1, 2, 3, 0, 0] if "6" in name else [0, 1, 2, 3],
            "mixture.tokens": 1_843_200 if "compute" not in name else 1_007_616,
            "train.batch_tokens": 1_536,
        },
        seeds=tuple(range(6)),
        measures={
            "bits_per_byte": {"all": bits["all"]},
            **{f"bits_per_byte_{domain}": {"all": bits[domain]} for domain in DOMAINS},
            "choice_accuracy": {"all": estimate(rng, 0.3 + 0.01 * index, 0.02)},
        },
        cost={
            "tokens": 1.84e6,
            "targets": 1.84e6,
            "examples": 14_400.0,
            "flops": flops,
            "body_flops": 0.7 * flops,
            "parameters": 8e5,
            "kv_bytes": 55_296.0,
            "seconds": rng.uniform(60, 260),
        },
        addresses={f"model seed {seed}": f"train_mixture-{rng.getrandbits(48):012x}" for seed in range(6)},
    )


def _contrasts(rng: random.Random, level: dict[str, float]) -> tuple[ContrastResult, ...]:
    return tuple(
        _contrast(rng, family, arm, measure, level[arm] - level["btx"])
        for index, family in enumerate(FAMILIES)
        for arm in ARMS[4 * index + 5 : 4 * index + 9]
        for measure in ("bits_per_byte", "choice_accuracy")
        if arm != "btx"
    ) + tuple(_contrast(rng, "specialists", arm, "bits_per_byte", 0.3) for arm in ARMS[1:5])


def _contrast(rng: random.Random, family: str, arm: str, measure: str, size: float) -> ContrastResult:
    difference = estimate(rng, size if measure == "bits_per_byte" else -size, 0.012)
    less = measure == "bits_per_byte"
    verdict: Any = "unresolved"
    if difference.high < 0 or difference.low > 0:
        verdict = "supported" if (difference.value < 0) == less else "contradicted"
    return ContrastResult(
        name=f"{arm} against btx on {measure.replace('_', ' ')}, {family}",
        arm=arm,
        baseline="btx",
        measure=measure,
        direction="less" if less else "greater",
        margin=0.0,
        difference=difference,
        by_language={code: estimate(rng, size + rng.uniform(-0.02, 0.02), 0.03) for code in ("en", "fr", "hi")},
        p_value=0.03125,
        p_holm=0.25 if verdict == "unresolved" else 0.0625,
        minimal_detectable=0.013,
        verdict=verdict,
        matched="tokens of mixture" if family == "equal data" else "body_flops of mixture",
        cost_ratio={"tokens": 1.0, "flops": 1.3, "body_flops": 1.0, "seconds": rng.uniform(0.9, 1.4)},
        family=family,
    )


def _claims(contrasts: tuple[ContrastResult, ...]) -> tuple[ClaimResult, ...]:
    return tuple(
        ClaimResult(
            id=f"claim-{index}",
            sentence=f"Under {family}, attention experts improve on feed-forward experts alone.",
            source=f"section {index + 4}, table {index + 1}",
            verdict="unresolved",
            contrasts=tuple(contrast.name for contrast in contrasts if contrast.family == family),
        )
        for index, family in enumerate(FAMILIES)
    )


def _matrix(bits: dict[str, dict[str, Estimate]]) -> Panel:
    rows = tuple(
        {"x": domain, "y": arm, "value": e.value, "low": e.low, "high": e.high}
        for arm, by_domain in bits.items()
        for domain, e in sorted(by_domain.items(), key=lambda item: item[0] == "all")
    )
    return Panel(
        id="domains",
        kind="heatmap",
        title="Bits per byte by domain",
        caption="Means over test documents and seeds; intervals resample documents.",
        rows=rows,
        x_title="domain",
        y_title="arm",
        better="less",
    )


def _cost(bits: dict[str, dict[str, Estimate]]) -> Panel:
    rows = tuple(
        {
            "x": 2.6e14 * (1 + 0.12 * index) if arm != "seed" else 1.1e14,
            "y": by_domain["all"].value if not arm.startswith("expert") else by_domain["all"].value / 1.5,
            "label": arm,
            "low": by_domain["all"].low if not arm.startswith("expert") else None,
            "high": by_domain["all"].high if not arm.startswith("expert") else None,
        }
        for index, (arm, by_domain) in enumerate(bits.items())
    )
    return Panel(
        id="cost",
        kind="scatter",
        title="What training costs against what it gives",
        rows=rows,
        x_title="FLOPs of all training behind the model",
        y_title="bits per byte",
        better="less",
    )


def _routing(rng: random.Random) -> Panel:
    rows = []
    for arm in ("btx", "bam_expert_kv"):
        for domain in DOMAINS:
            for layer in range(1, 7):
                weights = [rng.random() ** 2 + 0.02 + (expert == domain) for expert in DOMAINS]
                if (arm, layer) == ("btx", 3):
                    weights[2] = 0.004
                for expert, weight in zip(DOMAINS, weights, strict=True):
                    share = weight / sum(weights)
                    place = {"facet": f"{arm}: {domain}", "x": expert, "y": f"layer {layer}", "value": share}
                    rows.append({**place, "mark": "dead" if share < 0.01 else ""})
    return Panel(
        id="routing-ffn",
        kind="maps",
        title="Where feed-forward routers send tokens, by domain and layer",
        caption="Shares of tokens on test documents, over all seeds.",
        rows=tuple(rows),
        x_title="expert",
        y_title="layer",
    )


def _gates(rng: random.Random) -> Panel:
    rows = [
        {"facet": domain, "x": f"{index}", "y": f"layer {layer}", "value": rng.random(), "mark": None}
        for domain in DOMAINS
        for layer in range(1, 4)
        for index in range(16)
    ]
    return Panel(id="routing-many", kind="maps", title="Sixteen experts", rows=tuple(rows), y_title="layer")
