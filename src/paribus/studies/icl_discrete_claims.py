"""Contrasts and claims of the in-context study, as data.

What the study must show, fixed before it ran: on simple classes trained models come near the best learner there is and
leave nearest neighbours behind, with or without attention; parity is not learned although learners solve it; attention
alone finds nearest neighbours; teaching sequences make few examples enough, and one model holds both ways of learning.
Sentences and directions are the paper's; the controls are ours and say so. Margins are ours.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from paribus.lab import Claim, Contrast, Matched, Unmatched
from paribus.studies.icl_discrete_settings import IclDiscrete

PAPER = "ICL-Discrete (arXiv 2310.03016)"
OWN = "control of this study"

LATE, AFTER_LESSON, IN_TEXT = "{}_late_accuracy", "{}_taught_after_accuracy", "direct_{}_accuracy"
"""Measures by class."""

SIMPLE = ("conjunction", "disjunction", "sparse_disjunction")
HARD = ("parity", "sparse_parity")

_RULE = Unmatched(reason="a rule is not trained")
_SAME = ("*.network.*",)

Direction = Literal["greater", "less", "equivalent"]
_Row = tuple[str, str, str, str, Direction]


def contrasts(settings: IclDiscrete) -> list[Contrast]:
    """The comparisons that the settings' arms and classes allow."""
    present = {*arms(settings)}
    rows = [
        *_learners(settings),
        *_architectures(settings),
        *_teaching(settings),
        *_bodies(settings),
        *_direct(settings),
    ]
    return [row for row in rows if {row.arm, row.baseline} <= present]


def arms(settings: IclDiscrete) -> list[str]:
    """All arms, by name."""
    found: list[str] = [*settings.architectures, *settings.learners]
    if taught(settings):
        found += ["teach", "mix"]
    if settings.body.classes:
        found += ["frozen_pretrained", "frozen_random"]
    if settings.direct.classes:
        found += ["language_model"]
    return found


def taught(settings: IclDiscrete) -> bool:
    """Whether there is a class to teach, and a Transformer to be taught."""
    return settings.teaching.name in settings.classes and "transformer" in settings.architectures


def attention_free(settings: IclDiscrete) -> list[str]:
    """Architectures without attention."""
    return [name for name in settings.architectures if name != "transformer"]


def _made(
    settings: IclDiscrete,
    rows: Iterable[_Row],
    family: str,
    *,
    differs: Sequence[str],
    matched: Matched | Unmatched,
) -> list[Contrast]:
    return [
        Contrast(
            name=name,
            arm=arm,
            baseline=baseline,
            measure=measure,
            direction=direction,
            differs_in=tuple(differs),
            matched=matched,
            margin=settings.equivalence if direction == "equivalent" else 0.0,
            family=family,
        )
        for name, arm, baseline, measure, direction in rows
    ]


def _learners(s: IclDiscrete) -> list[Contrast]:
    """The Transformer against rules on the same prompts."""
    rows: list[_Row] = []
    for name in s.classes:
        late = LATE.format(name)
        if name in SIMPLE:
            rows += [
                (f"as good as the best learner, {name}", "transformer", "optimal", late, "equivalent"),
                (f"over nearest neighbours, {name}", "transformer", "nearest_neighbour", late, "greater"),
                (f"over averaging, {name}", "transformer", "averaging", late, "greater"),
            ]
        if name in HARD:
            rows += [
                (f"no better than one label, {name}", "transformer", "null", late, "equivalent"),
                (
                    f"the best learner over the Transformer, {name}",
                    "optimal",
                    "transformer",
                    LATE.format(name),
                    "greater",
                ),
            ]
        if name == "nearest_neighbour":
            rows.append((f"as good as the rule, {name}", "transformer", "optimal", late, "equivalent"))
    return _made(s, rows, "learners", differs=("*",), matched=_RULE)


def _architectures(s: IclDiscrete) -> list[Contrast]:
    """Architectures on the same prompts, with the same number of parameters and of rates tried."""
    found: list[Contrast] = []
    for name in s.classes:
        rows: list[_Row] = []
        for other in attention_free(s):
            if name in SIMPLE:
                rows.append(
                    (f"{other} as good as attention, {name}", other, "transformer", LATE.format(name), "equivalent")
                )
            if name == "nearest_neighbour":
                rows.append((f"attention over {other}, {name}", "transformer", other, LATE.format(name), "greater"))
        same = Matched(currency="examples", labels=(f"{name}-*",))
        found += _made(s, rows, "architectures", differs=_SAME, matched=same)
    return found


def _teaching(s: IclDiscrete) -> list[Contrast]:
    """Models trained with and without teaching sequences, on the same test prompts."""
    name = s.teaching.name
    late, after = LATE.format(name), AFTER_LESSON.format(name)
    rows: list[_Row] = [
        (
            "trained with lessons over without, taught prompts",
            "mix",
            "transformer",
            AFTER_LESSON.format(name),
            "greater",
        ),
        ("mixed as good as always taught, taught prompts", "mix", "teach", after, "equivalent"),
        ("mixed as good as never taught, plain prompts", "mix", "transformer", late, "equivalent"),
        ("always taught below never taught, plain prompts", "teach", "transformer", late, "less"),
    ]
    same = Matched(currency="examples", labels=(f"{name}-train",))
    lessons = ("*.problem.draws.teaching",)
    # Only the Transformer learns other classes beside the taught one.
    others = (*lessons, *(f"{other}-*" for other in s.classes if other != name))
    return [
        row
        for one in rows
        for row in _made(s, [one], "teaching", differs=others if one[2] == "transformer" else lessons, matched=same)
    ]


def _bodies(s: IclDiscrete) -> list[Contrast]:
    found: list[Contrast] = []
    for name in s.body.classes:
        rows: list[_Row] = [
            (
                f"a pre-trained body over a random one, {name}",
                "frozen_pretrained",
                "frozen_random",
                LATE.format(name),
                "greater",
            )
        ]
        same = Matched(currency="examples", labels=(f"{name}-*",))
        found += _made(s, rows, "frozen bodies", differs=("*.network.pretrained",), matched=same)
    return found


def _direct(s: IclDiscrete) -> list[Contrast]:
    rows: list[_Row] = [
        (
            f"language model over nearest neighbours, {name}",
            "language_model",
            "nearest_neighbour",
            IN_TEXT.format(name),
            "greater",
        )
        for name in s.direct.classes
    ]
    return _made(s, rows, "asked in text", differs=("*",), matched=_RULE)


def claims(settings: IclDiscrete) -> list[Claim]:
    """Claims of which at least one contrast is there."""
    found = {row.name for row in contrasts(settings)}
    kept = [
        row.model_copy(update={"contrasts": tuple(name for name in row.contrasts if name in found)})
        for row in _claims(settings)
    ]
    return [row for row in kept if row.contrasts]


def _claims(s: IclDiscrete) -> list[Claim]:
    others, taught_class = attention_free(s), s.teaching.name
    found: list[tuple[str, str, str, list[str]]] = [
        (
            "optimal",
            "On simple classes a trained Transformer learns in context nearly as well as the best learner.",
            f"{PAPER}, abstract",
            [f"as good as the best learner, {name}" for name in SIMPLE],
        ),
        (
            "baselines",
            "It leaves nearest neighbours and averaging behind there.",
            f"{PAPER}, figure on conjunctions",
            [f"over {rule}, {name}" for name in SIMPLE for rule in ("nearest neighbours", "averaging")],
        ),
        (
            "attention-free",
            "Models without attention do as well on simple classes.",
            f"{PAPER}, abstract (some match Transformers on nearly all tasks)",
            [f"{other} as good as attention, {name}" for name in SIMPLE for other in others],
        ),
        (
            "parity",
            "Parity is not learned in context"
            + (", although learners solve it from the same examples." if "optimal" in s.learners else "."),
            f"{PAPER}, figure on sparse parity",
            [f"{text}, {name}" for name in HARD for text in _PARITY],
        ),
        (
            "neighbours",
            "The Transformer finds nearest neighbours, as well as the rule itself.",
            f"{PAPER}, figure on nearest neighbours",
            ["as good as the rule, nearest_neighbour"],
        ),
        (
            "neighbours-attention",
            "On nearest neighbours attention does better than all other architectures.",
            f"{PAPER}, figure on nearest neighbours",
            [f"attention over {other}, nearest_neighbour" for other in others],
        ),
        (
            "teaching",
            f"After a teaching sequence a model that has met such sequences labels points of a {taught_class} better "
            "than one that has not, on the same prompts.",
            f"{PAPER}, section on teaching sequences; same prompts for both are this study's",
            ["trained with lessons over without, taught prompts"],
        ),
        (
            "two-algorithms",
            "One model trained on both kinds of prompts does on each as well as a model trained on it alone.",
            f"{PAPER}, section on teaching sequences",
            ["mixed as good as always taught, taught prompts", "mixed as good as never taught, plain prompts"],
        ),
        (
            "taught-only",
            "A model that was always taught does worse without lessons.",
            f"{PAPER}, section on teaching sequences",
            ["always taught below never taught, plain prompts"],
        ),
        (
            "bodies",
            "Heads around a frozen body learn better in context when the body was pre-trained on text than when it is "
            "random.",
            f"{PAPER}, section on pre-trained models",
            [f"a pre-trained body over a random one, {name}" for name in s.body.classes],
        ),
        (
            "language-models",
            "Asked in text, language models do better than nearest neighbours on functions they never met.",
            f"{PAPER}, abstract (match or beat, small dimensions)",
            [f"language model over nearest neighbours, {name}" for name in s.direct.classes],
        ),
    ]
    notes = _notes(s)
    return [
        Claim(id=id_, sentence=sentence, source=source, contrasts=tuple(names), scope_note=notes.get(id_, ""))
        for id_, sentence, source, names in found
        if names
    ]


_PARITY = ("no better than one label", "the best learner over the Transformer")


def _notes(s: IclDiscrete) -> dict[str, str]:
    """What a reader must know beside a verdict."""
    small = "the language model here was trained in a minute on the embedded world; the paper's are large ones"
    return {
        "two-algorithms": (
            "equal accuracy does not show that two algorithms are at work: one rule that takes a consistent hypothesis "
            "would do; see how spoilt lessons are taken"
        ),
        **({"language-models": small} if not (s.direct.model or s.body.model) else {}),
        **({"bodies": small} if not s.body.model else {}),
    }
