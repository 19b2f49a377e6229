"""Contrasts and claims of the reward-critiques study, as data.

What the study must show, fixed before it ran: a reward model that reads a good critique of each answer orders answers
better than one that does not, at the same pairs, steps and base; the more so with few pairs and a weak base; better
critics make better reward models and bad ones worse; and the gain comes from what critiques say. Sentences and
directions are the paper's (its abstract, and what independent notes of it state); sizes, controls and the planted cue
are ours and say so.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

from paribus.lab import Claim, Contrast, Matched, Unmatched
from paribus.studies.reward_critiques_settings import RewardCritiques
from paribus.studies.stages.graded import WORLD

PAPER = "Synthetic Critiques (arXiv 2405.20850)"
NOTES = f"{PAPER}, as independent notes state it"
OWN = "control of this study"

ACCURACY = "pair_accuracy"
AGAINST_CUE = "cue_against_accuracy"
CUE_GAP = "cue_gap"
BEST = "best_of_n"
EDITS = "edits_followed"
GAIN = "critique_gain"

FORTY = 40
"""Plain pairs that one pair with critiques is worth at best, by independent summaries of the paper."""

_SAME_PAIRS = Matched(currency="examples", labels=("reader",))
_SAME_STEPS = _SAME_PAIRS
_GIVEN = ("critiques", "reader.inputs", "examine.inputs")
_CRITIC = ("critiques.critic",)
_READS = ("reader.reads", "examine.reads")
_DIFFERS = {
    "shuffled": _READS,
    "filler": _READS,
    "critique_only": _READS,
    "oracle": _READS,
    "swapped": ("examine.reads",),
    "answer_only": (*_READS, *_GIVEN),
}


def plain(size: int, base: str = "strong") -> str:
    """Name of the arm without critiques."""
    return f"plain_{size}" if base == "strong" else f"plain_{base}"


def reading(settings: RewardCritiques, *, size: int = 0, critic: str = "", base: str = "strong") -> str:
    """Name of an arm that reads critiques: by size for the study's critic, by critic otherwise, by base and critic."""
    critic = critic or settings.critic
    if base != "strong":
        return f"{critic}_{base}"
    return f"critiques_{size}" if size and critic == settings.critic else f"critic_{critic}"


def main_arm(settings: RewardCritiques) -> str:
    """The arm that reads the study's critic at the study's size."""
    return reading(settings, size=settings.size)


def contrasts(settings: RewardCritiques) -> list[Contrast]:
    """The comparisons that the settings' sizes, critics and controls allow."""
    return [
        *_sizes(settings),
        *_critics(settings),
        *_bases(settings),
        *_controls(settings),
        *_judges(settings),
        *(_planted(settings) if settings.data.tests == WORLD else []),
    ]


def _row(
    name: str,
    arm: str,
    baseline: str,
    differs: tuple[str, ...],
    family: str,
    *,
    measure: str = ACCURACY,
    direction: Literal["greater", "less", "different"] = "greater",
    matched: Matched | Unmatched = _SAME_PAIRS,
) -> Contrast:
    return Contrast(
        name=name,
        arm=arm,
        baseline=baseline,
        measure=measure,
        direction=direction,
        differs_in=differs,
        matched=matched,
        family=family,
    )


def _sizes(s: RewardCritiques) -> list[Contrast]:
    rows = [
        _row(f"critiques over none, {size} pairs", reading(s, size=size), plain(size), _GIVEN, "critiques")
        for size in s.sizes
    ]
    few, many = min(s.sizes), max(s.sizes)
    rows.append(
        _row(
            f"critiques with {few} pairs over none with {many}",
            reading(s, size=few),
            plain(many),
            (*_GIVEN, "reader.pairs"),
            "worth in pairs",
            matched=_SAME_STEPS,
        )
    )
    pairs = ("with-reader.pairs", "without-reader.pairs")
    name = f"gain with {few} pairs over gain with {many}"
    rows.append(_gains(name, f"gain_{few}", f"gain_{many}", "few pairs", pairs))
    return rows


_TWO_MODELS = Unmatched(reason="both gains are differences of two reward models of equal cost")


def _gains(name: str, arm: str, baseline: str, family: str, differs: tuple[str, ...]) -> Contrast:
    return _row(name, arm, baseline, differs, family, measure=GAIN, matched=_TWO_MODELS)


def _critics(s: RewardCritiques) -> list[Contrast]:
    rows = [
        _row(
            f"critic {better} over critic {worse}",
            _at_size(s, better),
            _at_size(s, worse),
            _CRITIC,
            "quality of critics",
        )
        for worse, better in pairwise(s.rungs)
    ]
    worst = s.rungs[0]
    rows.append(
        _row(
            f"critic {worst} over none",
            _at_size(s, worst),
            plain(s.size),
            _GIVEN,
            "bad critics",
            direction="less",
        )
    )
    if "trained" in s.critics:
        rows.append(
            _row(
                "trained critic over none",
                _at_size(s, "trained"),
                plain(s.size),
                (*_GIVEN, "critic-*"),
                "a critic that writes",
            )
        )
    return rows


def _at_size(s: RewardCritiques, critic: str) -> str:
    return reading(s, size=s.size, critic=critic)


def _bases(s: RewardCritiques) -> list[Contrast]:
    rows = [
        _row(
            f"critiques over none, {base} base",
            reading(s, critic=s.critic, base=base),
            plain(s.size, base),
            _GIVEN,
            "bases",
        )
        for base in ("weak", "tuned")
    ]
    name = "gain on the weak base over gain on the tuned one"
    differs = ("base*", "with-reader.inputs", "without-reader.inputs")
    rows.append(_gains(name, "gain_weak", "gain_tuned", "weak bases", differs))
    return rows


def _controls(s: RewardCritiques) -> list[Contrast]:
    main, rows = main_arm(s), []
    for control, words in (
        ("shuffled", "critiques of other answers"),
        ("filler", "filler of the same length"),
        ("critique_only", "critiques alone"),
        ("answer_only", "answers alone"),
    ):
        if control in s.controls:
            rows.append(_row(f"critiques over {words}", main, control, _DIFFERS[control], "what is read"))
    if "swapped" in s.controls:
        rows.append(
            _row("critiques over critiques exchanged when tested", main, "swapped", _DIFFERS["swapped"], "what is read")
        )
    if "oracle" in s.controls:
        rows.append(_row("critiques that state the label over critiques", "oracle", main, _READS, "upper bound"))
    return rows


_JUDGED = ("critiques", "judge.inputs", "examine.inputs")


def _judges(s: RewardCritiques) -> list[Contrast]:
    if not s.judge_pairs:
        return []
    matched = Matched(currency="examples", labels=("judge",))
    return [
        _row(
            "generative judge with critiques over without",
            "judge_critiques",
            "judge_plain",
            _JUDGED,
            "generative judges",
            matched=matched,
        )
    ]


def _planted(s: RewardCritiques) -> list[Contrast]:
    """Measures for which the truth must be known."""
    main, bare = main_arm(s), plain(s.size)
    rows = [
        _row("critiques over none where the cue misleads", main, bare, _GIVEN, "planted cue", measure=AGAINST_CUE),
        _row(
            "gap by cue with critiques over without",
            main,
            bare,
            _GIVEN,
            "planted cue",
            measure=CUE_GAP,
            direction="less",
        ),
        _row("best of n with critiques over without", main, bare, _GIVEN, "best of n", measure=BEST),
    ]
    if "shuffled" in s.controls:
        rows.append(
            _row(
                "edits followed after critiques over after critiques of other answers",
                main,
                "shuffled",
                _READS,
                "edited critiques",
                measure=EDITS,
            )
        )
    return rows


def claims(settings: RewardCritiques) -> list[Claim]:
    """Claims of which at least one contrast is there."""
    s, found = settings, {row.name for row in contrasts(settings)}
    few, many = min(s.sizes), max(s.sizes)

    def claim(contrasts: Iterable[str], **words: str) -> list[Claim]:
        kept = tuple(name for name in contrasts if name in found)
        return [Claim(contrasts=kept, **words)] if kept else []

    return [
        *claim(
            id="critiques",
            sentence="Reward models that read a good critique of each answer order answers better than those without, "
            "from the same pairs.",
            source=f"{PAPER}, abstract",
            contrasts=(f"critiques over none, {size} pairs" for size in s.sizes),
        ),
        *claim(
            id="few-pairs",
            sentence="The gain is largest where preference pairs are few.",
            source=NOTES,
            contrasts=(f"gain with {few} pairs over gain with {many}",),
        ),
        *claim(
            id="worth",
            sentence=f"Where pairs are few, one with critiques is worth {many // few} plain ones or more.",
            source=f"{NOTES} (about {FORTY}, in a specific setting)",
            contrasts=(f"critiques with {few} pairs over none with {many}",),
        ),
        *claim(
            id="weak-bases",
            sentence="The gain is larger from a weak base than from one already tuned on preferences.",
            source=NOTES,
            contrasts=("gain on the weak base over gain on the tuned one",),
        ),
        *claim(
            id="better-critics",
            sentence="The better the critic, the better the reward model.",
            source=NOTES,
            contrasts=(f"critic {better} over critic {worse}" for worse, better in pairwise(s.rungs)),
            scope_note="the paper does not find it strictly on every test set",
        ),
        *claim(
            id="bad-critics",
            sentence="Critiques of low quality lower the accuracy below that of no critiques.",
            source=f"{PAPER}, abstract of its first version",
            contrasts=(f"critic {s.rungs[0]} over none",),
            scope_note=f"the critic is {s.rungs[0]!r}, the worst of the study",
        ),
        *claim(
            id="written",
            sentence="Critiques that a trained model writes help as well.",
            source=OWN,
            contrasts=("trained critic over none",),
            scope_note="the critic learned from a verifier's critiques of answers that the other arm never gets",
        ),
        *claim(
            id="content",
            sentence="The gain comes from what the critique says of this answer, not from more tokens.",
            source=f"{NOTES}; the controls are ours",
            contrasts=(
                "critiques over critiques of other answers",
                "critiques over filler of the same length",
                "critiques over critiques exchanged when tested",
            ),
        ),
        *claim(
            id="both",
            sentence="Answer and critique together beat the answer without and the critique without.",
            source=OWN,
            contrasts=(
                f"critiques over none, {s.size} pairs",
                "critiques over critiques alone",
                "critiques over answers alone",
            ),
        ),
        *claim(
            id="judges",
            sentence="A generative judge gains from critiques too.",
            source=NOTES,
            contrasts=("generative judge with critiques over without",),
        ),
        *claim(
            id="cue",
            sentence="Critiques make reward models more robust to a surface cue: more accurate where it misleads, and "
            "less dependent on it.",
            source=f"{PAPER}, abstract (robustness); the planted cue is ours",
            contrasts=("critiques over none where the cue misleads", "gap by cue with critiques over without"),
        ),
        *claim(
            id="edits",
            sentence="Editing one claim of a critique moves the reward the way the claim says.",
            source=f"{PAPER}, abstract (interpretability); the edits are ours",
            contrasts=("edits followed after critiques over after critiques of other answers",),
        ),
        *claim(
            id="best-of-n",
            sentence="The best of several answers, chosen by a reward model that reads critiques, is better.",
            source=f"{OWN}: the paper does not show it",
            contrasts=("best of n with critiques over without",),
        ),
    ]
