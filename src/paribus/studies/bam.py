"""BAM (arXiv 2408.08274): dense experts, attention included, into one mixture, and what each part of it gives.

The method, in the paper's order (its graph: ``bam_recipe.py``):

1. Branch. One dense seed model, whose blocks run attention and feed-forward side by side.
2. Specialise. A copy for each domain, trained on that domain and a tenth of general text.
3. Mix. Seed and experts become one mixture, which is trained on all domains alike. Feed-forward layers become experts
   of which a token takes one; BAM makes attention layers experts too, of which every token takes all, weighted.

What is not an expert is averaged. BTX averages attention as well; it is the baseline of every contrast of the paper, at
the same data and at the same compute. Beside it stand arms that the paper leaves out: the average of the dense models,
trained or not, the seed trained on, one dense model for the summed tokens, and gates that sum to one.
"""

from paribus.errors import ConfigError
from paribus.lab import Arm, Arms, Handle, Study
from paribus.lab.budget import total
from paribus.lab.graph import Graph
from paribus.studies.bam_claims import claims, contrasts
from paribus.studies.bam_recipe import FROM_SEED, UNTRAINED, Steps
from paribus.studies.bam_settings import ArmName, Bam, Data
from paribus.studies.stages.language_modelling import shape_of
from paribus.studies.stages.models import Recipe
from paribus.studies.stages.panels_mixture import DenseModel, MixturePanelsConfig, mixture_panels

DESCRIPTIONS: dict[ArmName, str] = {
    "dense_average": "average of seed and experts, untrained",
    "dense_average_trained": "average of seed and experts, trained on all domains",
    "dense_continued": "seed model trained on all domains",
    "dense_long": "seed model trained on what all experts and the mixture see together",
    "sparse_upcycling": "mixture of copies of the seed model, trained",
    "btx_untrained": "BTX as it is put together",
    "btx": "BTX: feed-forward experts, averaged attention; one expert a token",
    "btx_active": "BTX with further copies of the seed as experts and as many active parameters as BAM",
    "btx_top2": "BTX, two experts a token, gates sum to one",
    "btx_frozen": "BTX, experts stay as they were",
    "expert_kv": "BAM: feed-forward and attention experts, keys and values each their own",
    "expert_kv_cm": "BAM, own keys and values, for BTX's compute",
    "expert_kv_cm_body": "BAM, own keys and values, for BTX's compute outside the output layer",
    "expert_kv_top2": "BAM, own keys and values, two feed-forward experts a token, gates sum to one",
    "expert_kv_frozen": "BAM, own keys and values, experts stay as they were",
    "shared_kv": "BAM: attention experts share averaged keys and values",
    "shared_kv_cm": "BAM, shared keys and values, for BTX's compute",
    "shared_kv_cm_body": "BAM, shared keys and values, for BTX's compute outside the output layer",
    "shared_kv_attend2": "BAM, shared keys and values, two attention experts a token",
    "shared_kv_attend1": "BAM, shared keys and values, one attention expert a token",
}


def build(settings: Bam) -> Arms:
    """All arms of the study for all seeds, and the stage that draws their panels."""
    check(settings)
    steps = Steps(settings)
    arms = [
        _arm("seed", "the dense seed model", {"phase": "branch"}, {s: steps.seed(s) for s in settings.seeds}, steps)
    ]
    for domain in settings.data.experts:
        models = {seed: steps.expert(domain, seed) for seed in settings.seeds}
        arms.append(_arm(f"expert_{domain}", f"dense expert of {domain}", {"phase": "specialise"}, models, steps))
    for name in settings.arms:
        models = {seed: steps.arm(name, seed) for seed in settings.seeds}
        arms.append(_arm(name, DESCRIPTIONS[name], _factors(steps, name), models, steps))
    return Arms(arms, panels=[_panels(settings, steps, arms)])


def check(settings: Bam) -> None:
    """Refuse settings that cannot make a fair study. Raises ``ConfigError``."""
    data, training = settings.data, settings.training
    if data.general in data.experts or len(set(data.experts)) != len(data.experts) or not data.experts:
        raise ConfigError(
            f"data.experts={data.experts} must name at least one domain, each once, without {data.general!r} "
            "(data.general)."
        )
    missing = [domain for domain in data.domains if data.sources and domain not in data.sources]
    if missing:
        raise ConfigError(
            f"data.sources has no text for {', '.join(missing)}; name a file, directory or hub id for each."
        )
    if not data.sources:
        _check_world(data)
    if data.sources and data.questions:
        raise ConfigError("data.questions needs the embedded world, and data.sources is set; set data.questions=0.")
    if settings.seed_model and not data.tokenizer:
        raise ConfigError(
            "seed_model is set and data.tokenizer is not; name the tokenizer that the seed model came with."
        )
    peaks = (training.specialise.learning_rate, training.pretrain.learning_rate)
    if not settings.seed_model and abs(peaks[0] - 0.5 * peaks[1]) > 1e-9:
        raise ConfigError(
            f"training.specialise.learning_rate={peaks[0]:g} is not half of training.pretrain's {peaks[1]:g}, which is "
            "the paper's rule; set both."
        )


def _check_world(data: Data) -> None:
    """The embedded world writes these domains, in these languages."""
    from paribus.world.domains import DOMAINS
    from paribus.world.phrases import available

    for what, asked, known in (("domain", data.domains, DOMAINS), ("language", data.languages, available())):
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise ConfigError(
                f"The embedded world does not write the {what} {unknown[0]!r}; use some of {', '.join(known)}, or name "
                "texts of your own in data.sources."
            )


def _factors(steps: Steps, name: ArmName) -> dict[str, str]:
    """What sets an arm apart, as tables show it."""
    how = steps.upcycling(name)
    return {"phase": "mix", "variant": how.variant, "experts": f"top-{how.top_k} {how.gate_norm}"}


def _arm(name: str, text: str, factors: dict[str, str], models: dict[int, Handle], steps: Steps) -> Arm:
    return Arm(name, text, {seed: steps.examined(model) for seed, model in models.items()}, factors=factors)


def _panels(settings: Bam, steps: Steps, arms: list[Arm]) -> Handle:
    """The stage that turns stored records into the report's charts."""
    trained = [name for name in settings.arms if name not in UNTRAINED]
    config = MixturePanelsConfig(
        arms=tuple(arm.name for arm in arms),
        domains=settings.data.domains,
        seeds=settings.seeds,
        same_data=tuple(name for name in trained if steps.mixture_recipe(name) == settings.training.mixture),
        costs={arm.name: _costs(steps, arm, settings.seeds[0]) for arm in arms},
        dense=tuple(
            DenseModel(name=name, steps=recipe.steps, learning_rate=recipe.learning_rate)
            for name, recipe in _dense(settings).items()
        ),
        questions=bool(settings.data.questions),
    )
    mixed = next((name for name in settings.arms if name not in FROM_SEED), None)
    return mixture_panels(
        config,
        examinations={f"{arm.name}@{seed}": arm.runs[seed]["evaluation"] for arm in arms for seed in settings.seeds},
        trained={f"{name}@{seed}": steps.arm(name, seed) for name in trained for seed in settings.seeds},
        dense={
            f"{name}@{seed}": model
            for seed in settings.seeds
            for name, model in zip(_dense(settings), steps.dense(seed), strict=True)
            if not (settings.seed_model and name == "seed")
        },
        upcycled={str(seed): steps.upcycled(mixed, seed) for seed in settings.seeds if mixed is not None},
    )


def _dense(settings: Bam) -> dict[str, Recipe]:
    """The dense models that are mixed, in order, with their recipes."""
    training = settings.training
    return {
        "seed": training.pretrain,
        **{f"expert_{domain}": training.specialise for domain in settings.data.experts},
    }


def _costs(steps: Steps, arm: Arm, seed: int) -> dict[str, float]:
    """What an arm's model costs to use and what all training behind it costs, from shapes and recipes."""
    model = arm.runs[seed]["evaluation"].inputs["model"]
    shape, context = shape_of(model), steps.s.training.mixture.length
    behind = total(handle.planned for handle in Graph([model]))
    return {
        "parameters": shape.total_parameters,
        "active_parameters": shape.active_parameters,
        "flops_per_token": shape.flops_per_token(context),
        "body_flops_per_token": shape.flops_per_token(context, with_logits=False),
        "kv_bytes_per_token": shape.kv_cache_bytes(1),
        "training_flops": behind.flops,
        "training_body_flops": behind.body_flops,
        "training_tokens": behind.tokens,
    }


STUDY = Study(
    name="bam",
    title="BAM: dense experts into one mixture",
    question="When dense experts become one mixture, what do their attention layers add to their feed-forward layers?",
    paper="BAM! Branch-Attend-Mix (arXiv 2408.08274)",
    settings=Bam,
    build=build,
    contrasts=contrasts,
    claims=claims,
    covers=("documents", "training"),
    covers_note=(
        "Intervals cover the draw of test documents and the whole of training: each seed has its own seed model, "
        "experts and mixtures. They do not cover the draw of the training text and of the tokenizer, which all share."
    ),
)
