"""Reward models that read synthetic critiques (arXiv 2405.20850): what are critiques worth, and when?

A critic writes about each answer by itself, the other answer and the label hidden. A reward model reads prompt, answer
and critique; its baseline reads prompt and answer, from the same base, pairs, order, steps and seed. Numbers of pairs,
critics and bases are crossed, and controls tell what a critique says from the fact that it is there.
"""

from collections.abc import Mapping

from paribus.errors import ConfigError
from paribus.lab import Arm, Arms, Handle, Study
from paribus.studies.reward_critiques_claims import claims, contrasts, plain, reading
from paribus.studies.reward_critiques_recipe import Steps
from paribus.studies.reward_critiques_settings import BaseName, RewardCritiques
from paribus.studies.settings import check_distinct
from paribus.studies.stages.graded import WORLD
from paribus.studies.stages.outcomes_critiques import CritiquePanelsConfig
from paribus.studies.stages.panels_critiques import critique_panels

CONTROLS = {
    "shuffled": "critiques of other answers in place of its own",
    "filler": "words that say nothing, as many as the critique",
    "swapped": "trained as the main arm; each answer is tested with the other's critique",
    "critique_only": "critiques alone, without prompt and answer",
    "answer_only": "answers alone, without prompt and critique",
    "oracle": "critiques that state the label",
}
OTHER_BASES: tuple[BaseName, ...] = ("weak", "tuned")


def build(settings: RewardCritiques) -> Arms:
    """All arms of the study for all seeds, and the stage that draws their panels."""
    check(settings)
    steps = Steps(settings)
    arms = [*_by_size(settings, steps), *_by_critic(settings, steps), *_by_base(settings, steps)]
    arms += [*_controls(settings, steps), *_judges(settings, steps)]
    examined = {arm.name: arm.runs for arm in arms}
    arms += _gains(settings, steps)
    return Arms(arms, panels=[_panels(settings, steps, examined)])


def check(settings: RewardCritiques) -> None:
    """Refuse settings that cannot make a study. Raises ``ConfigError``."""
    s = settings
    check_distinct({"seeds": s.seeds, "sizes": s.sizes, "rungs": s.rungs})
    check_distinct({"crossed": s.crossed, "controls": s.controls}, may_be_empty=True)
    for name, critics in (("critic", (s.critic,)), ("rungs", s.rungs), ("crossed", s.crossed)):
        unknown = [critic for critic in critics if critic not in s.critics]
        if unknown:
            raise ConfigError(f"{name} names {unknown[0]!r}, and critics are {', '.join(s.critics)}; add it there.")
    if s.size not in s.sizes:
        raise ConfigError(f"size={s.size} is not among sizes={s.sizes}; add it there.")
    if s.critic not in s.crossed:
        raise ConfigError(f"critic={s.critic!r} must be among crossed={s.crossed}: its gain is compared between bases.")
    seen = {"sizes": (s.reader, max(s.sizes)), "judge_pairs": (s.judge, 2 * s.judge_pairs)}
    for name, (recipe, wanted) in seen.items():
        if recipe.steps * recipe.rows < wanted:
            raise ConfigError(
                f"{name} asks for {wanted} rows, and {recipe.steps} steps of {recipe.rows} never see that many; lower "
                "it, or train for more steps."
            )
    if s.data.pairs == WORLD and max(*s.sizes, s.judge_pairs) > s.data.graded.pairs:
        raise ConfigError(
            f"sizes={s.sizes} and judge_pairs={s.judge_pairs} ask for more than data.graded.pairs="
            f"{s.data.graded.pairs} pairs; raise that, or lower these."
        )
    if s.data.pairs != WORLD:
        _check_given(s)


def _check_given(s: RewardCritiques) -> None:
    rules = [name for name, critic in s.critics.items() if critic.kind != "endpoint"]
    if rules:
        raise ConfigError(
            f"critics.{rules[0]} is of kind {s.critics[rules[0]].kind!r}, which needs the world's truth; with "
            f"data.pairs={s.data.pairs!r} use critics of kind 'endpoint'."
        )
    missing = [name for name in ("weak", "strong", "tuned") if name not in s.bases.models]
    if missing or set(s.bases.models) != set(s.bases.parameters):
        raise ConfigError(
            f"With data.pairs={s.data.pairs!r} bases.models and bases.parameters must name weak, strong and tuned."
        )
    if s.data.tests == WORLD:
        raise ConfigError(f"data.pairs={s.data.pairs!r} cannot be tested on the world; set data.tests too.")


def _by_size(s: RewardCritiques, steps: Steps) -> list[Arm]:
    arms = []
    for size in s.sizes:
        factors = {"pairs": size, "base": "strong"}
        arms.append(
            Arm(plain(size), f"no critiques, {size} pairs", steps.examined(size), factors={**factors, "critic": "none"})
        )
        text = f"critiques by {s.critic!r}, {size} pairs"
        examined = steps.examined(size, critic=s.critic)
        arms.append(Arm(reading(s, size=size), text, examined, factors={**factors, "critic": s.critic}))
    return arms


def _by_critic(s: RewardCritiques, steps: Steps) -> list[Arm]:
    return [
        Arm(
            reading(s, critic=name),
            f"critiques by {name!r}, {s.size} pairs",
            steps.examined(s.size, critic=name),
            factors={"pairs": s.size, "base": "strong", "critic": name},
        )
        for name in s.critics
        if name != s.critic
    ]


def _by_base(s: RewardCritiques, steps: Steps) -> list[Arm]:
    arms = []
    for base in OTHER_BASES:
        factors = {"pairs": s.size, "base": base}
        bare = steps.examined(s.size, base=base)
        arms.append(Arm(plain(s.size, base), f"no critiques, {base} base", bare, factors={**factors, "critic": "none"}))
        for name in s.crossed:
            examined = steps.examined(s.size, critic=name, base=base)
            text = f"critiques by {name!r}, {base} base"
            arms.append(Arm(reading(s, critic=name, base=base), text, examined, factors={**factors, "critic": name}))
    return arms


def _controls(s: RewardCritiques, steps: Steps) -> list[Arm]:
    arms = []
    for name in s.controls:
        trained = "both" if name == "swapped" else name
        critic = "" if name == "answer_only" else s.critic
        examined = steps.examined(s.size, critic=critic, reads=trained, tested=name)
        factors = {"pairs": s.size, "base": "strong", "critic": s.critic, "reads": name}
        arms.append(Arm(name, CONTROLS[name], examined, factors=factors))
    return arms


def _judges(s: RewardCritiques, steps: Steps) -> list[Arm]:
    if not s.judge_pairs:
        return []
    words = {"judge_plain": ("", "without critiques"), "judge_critiques": (s.critic, "with critiques")}
    return [
        Arm(
            name,
            f"generative judge {text}",
            steps.judged(critic=critic),
            factors={"pairs": s.judge_pairs, "base": "strong", "critic": critic or "none", "kind": "judge"},
        )
        for name, (critic, text) in words.items()
    ]


def _gains(s: RewardCritiques, steps: Steps) -> list[Arm]:
    few, many = min(s.sizes), max(s.sizes)
    arms = [
        Arm(
            f"gain_{size}",
            f"what critiques add, pair by pair, with {size} pairs",
            steps.gain(size),
            factors={"pairs": size, "base": "strong", "critic": s.critic, "kind": "difference"},
        )
        for size in dict.fromkeys((few, many))
    ]
    for base in OTHER_BASES:
        factors = {"pairs": s.size, "base": base, "critic": s.critic, "kind": "difference"}
        text = f"what critiques add, pair by pair, from the {base} base"
        arms.append(Arm(f"gain_{base}", text, steps.gain(s.size, base), factors=factors))
    return arms


def _panels(s: RewardCritiques, steps: Steps, examined: Mapping[str, Mapping[int, Mapping[str, Handle]]]) -> Handle:
    """The stage that turns stored records into the report's charts."""
    config = CritiquePanelsConfig(
        arms=tuple(examined),
        seeds=s.seeds,
        sizes=s.sizes,
        size=s.size,
        critics=tuple(s.critics),
        critic=s.critic,
        plain={str(size): plain(size) for size in s.sizes},
        reading={str(size): reading(s, size=size) for size in s.sizes},
        by_critic={name: reading(s, size=s.size, critic=name) for name in s.critics},
        bases={base: plain(s.size, base) for base in OTHER_BASES},
        crossed={f"{base}/{name}": reading(s, critic=name, base=base) for base in OTHER_BASES for name in s.crossed},
        controls=s.controls,
        judges=("judge_plain", "judge_critiques") if s.judge_pairs else (),
        tests_form=s.data.tests_form if s.data.tests != WORLD else "pairs",
    )
    return critique_panels(
        config,
        examinations={
            f"{name}@{seed}": outputs["evaluation"]
            for name, by_seed in examined.items()
            for seed, outputs in by_seed.items()
        },
        critiques={name: steps.critiques(name) for name in s.critics},
        data=steps.data,
    )


STUDY = Study(
    name="reward-critiques",
    title="Reward models that read critiques",
    question="How many preference pairs is a written critique worth to a reward model?",
    paper="Improving Reward Models with Synthetic Critiques (arXiv 2405.20850)",
    settings=RewardCritiques,
    build=build,
    contrasts=contrasts,
    claims=claims,
    covers=("test pairs", "seeds"),
    covers_note=(
        "Intervals cover the draw of test requests and of training (which pairs, their order, the reward head). They "
        "don't cover the bases and the critiques, made once."
    ),
)
