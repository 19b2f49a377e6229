"""Contrasts and claims of the BAM study, as data.

Sources: BAM (arXiv 2408.08274) with its table or section, and BTX (arXiv 2403.07816), which it builds on. Directions
and sentences are the papers'; margins are ours. The families in which p-values are corrected were fixed before any
run: the paper's main comparison (two variants, data-matched and compute-matched by either count) is one of them.
"""

from collections.abc import Iterable
from typing import Literal

from paribus.lab import Claim, Contrast, Matched, Unmatched
from paribus.studies.bam_settings import Bam

BITS = "bits_per_byte"
CHOICE = "choice_accuracy"

BAM = "BAM (arXiv 2408.08274)"
BTX = "BTX (arXiv 2403.07816)"
OWN = "control of this study"

_SAME_DATA = Matched(currency="tokens", labels=("mix",))
_SAME_COMPUTE = Matched(currency="flops", labels=("mix",))
_SAME_BODY = Matched(currency="body_flops", labels=("mix",))
_SAME_TOTAL = Matched(currency="tokens", labels=("expert-*", "mix"))
_PHASE = Unmatched(reason="the paper's own comparison: a model before and after a phase of training")

UPCYCLED = ("upcycle.variant",)
BRANCHED = ("upcycle.variant", "upcycle.inputs", "expert-*")
"""Against arms that are made of the seed model alone."""

_Row = tuple[str, str, str, tuple[str, ...], Matched | Unmatched]


def contrasts(settings: Bam) -> list[Contrast]:
    """The comparisons that the settings' arms allow."""
    present = {"seed", *(f"expert_{domain}" for domain in settings.data.experts), *settings.arms}
    rows = [
        *_main(),
        *_variants(),
        *_baselines(),
        *_routing(),
        *_freezing(settings),
        *_specialists(settings),
        *(_downstream() if settings.data.questions else []),
    ]
    return [row for row in rows if {row.arm, row.baseline} <= present]


def _compared(
    rows: Iterable[_Row], family: str, *, measure: str = BITS, direction: Literal["less", "greater"] = "less"
) -> list[Contrast]:
    """Arms against baselines; of bits per byte less is better."""
    return [
        Contrast(
            name=name,
            arm=arm,
            baseline=baseline,
            measure=measure,
            direction=direction,
            differs_in=differs,
            matched=matched,
            family=family,
        )
        for name, arm, baseline, differs, matched in rows
    ]


def _main() -> list[Contrast]:
    """BAM against BTX: the paper's question."""
    shorter = (*UPCYCLED, "mix.recipe.steps")
    rows: list[_Row] = []
    for variant, words in (("expert_kv", "expert-KV"), ("shared_kv", "shared-KV")):
        rows += [
            (f"{words} BAM over BTX, same data", variant, "btx", UPCYCLED, _SAME_DATA),
            (f"{words} BAM over BTX, same compute", f"{variant}_cm", "btx", shorter, _SAME_COMPUTE),
            (f"{words} BAM over BTX, same body compute", f"{variant}_cm_body", "btx", shorter, _SAME_BODY),
        ]
    return _compared(rows, "BAM against BTX")


def _variants() -> list[Contrast]:
    """Where the gain comes from."""
    active = (*UPCYCLED, "upcycle.ffn_sources", "upcycle.top_k")
    rows: list[_Row] = [
        ("expert-KV over shared-KV BAM", "expert_kv", "shared_kv", UPCYCLED, _SAME_DATA),
        ("expert-KV BAM over BTX of the same active size", "expert_kv", "btx_active", active, _SAME_DATA),
        ("BTX of BAM's active size over BTX", "btx_active", "btx", active[1:], _SAME_DATA),
    ]
    return _compared(rows, "parts of BAM")


def _baselines() -> list[Contrast]:
    """What BAM's paper leaves out: dense and sparse arms at the same data, and better gates for BTX."""
    gates = ("upcycle.top_k", "upcycle.gate_norm")
    trained = ("mix", "examine.inputs")
    rows: list[_Row] = [
        (
            "BTX over sparse upcycling",
            "btx",
            "sparse_upcycling",
            (*BRANCHED, "upcycle.ffn_sources"),
            _SAME_DATA,
        ),
        ("BTX over the seed continued", "btx", "dense_continued", BRANCHED, _SAME_DATA),
        ("expert-KV BAM over the seed continued", "expert_kv", "dense_continued", BRANCHED, _SAME_DATA),
        (
            "expert-KV BAM over one dense model for the summed tokens",
            "expert_kv",
            "dense_long",
            (*BRANCHED, "mix.recipe.steps", "mix.shares"),
            _SAME_TOTAL,
        ),
        ("BTX over the trained average", "btx", "dense_average_trained", UPCYCLED, _SAME_DATA),
        ("expert-KV BAM over the trained average", "expert_kv", "dense_average_trained", UPCYCLED, _SAME_DATA),
        ("expert-KV BAM over BTX with renormalised top-2", "expert_kv", "btx_top2", (*UPCYCLED, *gates), _SAME_DATA),
        ("expert-KV BAM over BTX, both renormalised top-2", "expert_kv_top2", "btx_top2", UPCYCLED, _SAME_DATA),
        ("renormalised top-2 over the paper's gates, BTX", "btx_top2", "btx", gates, _SAME_DATA),
        ("renormalised top-2 over the paper's gates, BAM", "expert_kv_top2", "expert_kv", gates, _SAME_DATA),
        ("BTX trained over BTX untrained", "btx", "btx_untrained", trained, _PHASE),
        ("the untrained average over BTX untrained", "dense_average", "btx_untrained", UPCYCLED, _PHASE),
    ]
    return _compared(rows, "baselines")


def _routing() -> list[Contrast]:
    """Soft attention against fewer attention experts: every arm computes all of them and masks gates."""
    rows: list[_Row] = [
        (
            f"soft over top-{k} attention",
            "shared_kv",
            f"shared_kv_attend{k}",
            ("upcycle.attention_top_k",),
            _SAME_COMPUTE,
        )
        for k in (2, 1)
    ]
    return _compared(rows, "attention routing")


def _freezing(s: Bam) -> list[Contrast]:
    """Experts that go on learning against experts that stay."""
    rows = [("BTX", "btx"), ("expert-KV BAM", "expert_kv")]
    return [
        Contrast(
            name=f"{words} with frozen experts is as good",
            arm=f"{arm}_frozen",
            baseline=arm,
            measure=BITS,
            direction="equivalent",
            margin=s.equivalence,
            differs_in=("mix.freeze",),
            matched=_SAME_DATA,
            family="freezing",
        )
        for words, arm in rows
    ]


def _specialists(s: Bam) -> list[Contrast]:
    """What an expert gains at home and loses elsewhere, and what a mixture keeps."""
    family, general = "specialists", f"{BITS}_{s.data.general}"
    whole = ("expert-*", "upcycle", "mix", "examine.inputs")
    found: list[Contrast] = []
    for domain in s.data.experts:
        expert, trained = f"expert_{domain}", (f"expert-{domain}", "examine.inputs")
        learned: _Row = (f"{domain} expert over the seed at home", expert, "seed", trained, _PHASE)
        forgotten: _Row = (f"{domain} expert forgets general text", expert, "seed", trained, _PHASE)
        ahead: _Row = (f"{domain} expert over expert-KV BAM at home", expert, "expert_kv", whole, _PHASE)
        found += _compared([learned], family, measure=f"{BITS}_{domain}")
        found += _compared([forgotten], family, measure=general, direction="greater")
        found += _compared([ahead], family, measure=f"{BITS}_{domain}")
    kept: list[_Row] = [
        (f"{arm} does not recover the seed's general text", arm, "seed", whole, _PHASE)
        for arm in ("btx", "expert_kv", "shared_kv")
    ]
    return found + _compared(kept, family, measure=general, direction="greater")


def _downstream() -> list[Contrast]:
    """Questions of all domains, answered by the likelier choice."""
    shorter = (*UPCYCLED, "mix.recipe.steps")
    rows: list[_Row] = [
        ("expert-KV BAM over BTX on questions, same data", "expert_kv", "btx", UPCYCLED, _SAME_DATA),
        ("expert-KV BAM over BTX on questions, same compute", "expert_kv_cm", "btx", shorter, _SAME_COMPUTE),
        ("shared-KV BAM over BTX on questions, same data", "shared_kv", "btx", UPCYCLED, _SAME_DATA),
        ("shared-KV BAM over BTX on questions, same compute", "shared_kv_cm", "btx", shorter, _SAME_COMPUTE),
    ]
    return _compared(rows, "questions", measure=CHOICE, direction="greater")


def claims(settings: Bam) -> list[Claim]:
    """The papers' sentences whose contrasts this run has."""
    present = {contrast.name for contrast in contrasts(settings)}
    rows = [*_CLAIMS, *_specialist_claims(settings)]
    return [claim for claim in rows if set(claim.contrasts) <= present]


_CLAIMS = (
    Claim(
        id="bam-data",
        sentence="On the same data, both variants of BAM have lower perplexity than BTX.",
        source=f"{BAM}, small model, data-matched",
        contrasts=("expert-KV BAM over BTX, same data", "shared-KV BAM over BTX, same data"),
    ),
    Claim(
        id="bam-compute",
        sentence="At the same compute, both variants of BAM have lower perplexity than BTX.",
        source=f"{BAM}, small model, compute-matched",
        contrasts=("expert-KV BAM over BTX, same compute", "shared-KV BAM over BTX, same compute"),
        scope_note="The paper matches accelerator time; this matches floating-point operations, output layer included.",
    ),
    Claim(
        id="bam-compute-body",
        sentence="At the same compute outside the output layer, both variants of BAM have lower perplexity than BTX.",
        source=f"{OWN}: the paper's small model spends most of its operations on a vocabulary of 256 k",
        contrasts=("expert-KV BAM over BTX, same body compute", "shared-KV BAM over BTX, same body compute"),
    ),
    Claim(
        id="bam-keys",
        sentence="Keys and values of their own for every attention expert are better than shared ones.",
        source=f"{BAM}, small model",
        contrasts=("expert-KV over shared-KV BAM",),
    ),
    Claim(
        id="bam-active",
        sentence="BAM beats BTX also when BTX has as many total and active parameters.",
        source=f"{BAM}, ablation (BTX top-3 of 6)",
        contrasts=("expert-KV BAM over BTX of the same active size",),
        scope_note="BTX's further FFN experts are copies of the seed, as in the paper.",
    ),
    Claim(
        id="bam-active-gain",
        sentence="BTX gains from more active feed-forward experts.",
        source=f"{BAM}, ablation (BTX top-3 of 6 against BTX)",
        contrasts=("BTX of BAM's active size over BTX",),
    ),
    Claim(
        id="bam-soft",
        sentence="Soft routing of attention experts beats top-2 and top-1 routing.",
        source=f"{BAM}, ablation",
        contrasts=("soft over top-2 attention", "soft over top-1 attention"),
        scope_note="Data and compute are equal: all attention experts are computed, and gates are masked.",
    ),
    Claim(
        id="bam-questions",
        sentence="BAM answers more questions of the domains right than BTX, on the same data and at the same compute.",
        source=f"{BAM}, large model, downstream averages",
        contrasts=(
            "expert-KV BAM over BTX on questions, same data",
            "expert-KV BAM over BTX on questions, same compute",
            "shared-KV BAM over BTX on questions, same data",
            "shared-KV BAM over BTX on questions, same compute",
        ),
    ),
    Claim(
        id="bam-general",
        sentence="No mixture recovers the seed model's perplexity on general text.",
        source=f"{BAM}, both model sizes",
        contrasts=(
            "btx does not recover the seed's general text",
            "expert_kv does not recover the seed's general text",
            "shared_kv does not recover the seed's general text",
        ),
    ),
    Claim(
        id="btx-sparse",
        sentence="BTX beats sparse upcycling and continued dense training on the mixture phase's data.",
        source=f"{BTX}, data-matched baselines",
        contrasts=("BTX over sparse upcycling", "BTX over the seed continued"),
    ),
    Claim(
        id="btx-frozen",
        sentence="Freezing the experts during mixture training costs next to nothing.",
        source=f"{BTX}, ablation",
        contrasts=("BTX with frozen experts is as good",),
    ),
    Claim(
        id="bam-frozen",
        sentence="BAM's experts, attention included, can be frozen at next to no cost.",
        source=f"{OWN}; the paper trains everything",
        contrasts=("expert-KV BAM with frozen experts is as good",),
    ),
    Claim(
        id="bam-average",
        sentence="BAM and BTX beat the average of the dense models, trained on the same data.",
        source=f"{OWN}; neither paper has this arm",
        contrasts=("BTX over the trained average", "expert-KV BAM over the trained average"),
    ),
    Claim(
        id="bam-long",
        sentence="BAM beats one dense model that is trained on all of its tokens.",
        source=f"{OWN}; the experts' training counted",
        contrasts=("expert-KV BAM over one dense model for the summed tokens",),
    ),
    Claim(
        id="bam-gates",
        sentence="BAM with the paper's gates beats BTX with two renormalised experts a token.",
        source=OWN,
        contrasts=("expert-KV BAM over BTX with renormalised top-2",),
    ),
)


def _specialist_claims(s: Bam) -> list[Claim]:
    domains = s.data.experts
    return [
        Claim(
            id="experts-learn",
            sentence="Each dense expert is better than the seed on its own domain, and worse on general text.",
            source=f"{BAM}, small model",
            contrasts=(
                *(f"{domain} expert over the seed at home" for domain in domains),
                *(f"{domain} expert forgets general text" for domain in domains),
            ),
        ),
        Claim(
            id="experts-home",
            sentence="On its own domain the dense expert stays ahead of the mixture.",
            source=f"{BAM}, large model only; its small model shows the reverse",
            contrasts=tuple(f"{domain} expert over expert-KV BAM at home" for domain in domains),
        ),
    ]
