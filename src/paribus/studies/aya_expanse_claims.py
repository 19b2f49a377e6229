"""Contrasts and claims of the Aya Expanse study, as data.

Sources: [B] the authors' technical blog post, [S] second-hand notes of the paper that agree, and the method papers the
recipe stands on. Directions and sentences are the papers'; margins are ours.
"""

from pathlib import Path

from paribus.lab import Claim, Contrast, Matched, Unmatched
from paribus.studies.aya_expanse_settings import AyaExpanse

TUNED = ("sft", "sft-*", "merge", "evaluate.inputs")
"""Joint fine-tuning on one side, cluster models and their merge on the other."""
ROUNDS = ("sample-?", "score-?", "pairs-?", "dpo-?")
"""What a round of online preference training adds."""

EXPANSE = "Aya Expanse (arXiv 2412.04261), technical blog post"
ARBITRAGE = "Multilingual Arbitrage (arXiv 2408.14960), abstract"

_SAME_COMPUTE = Matched(currency="flops", labels=("sft",))
_SAME_PAIRS = Matched(currency="examples", labels=("dpo-*",))
_SAME_SAMPLES = Matched(currency="calls", labels=("sample-*",))
_STEP = Unmatched(reason="a step of the recipe costs what it costs; see the cost ratio")


def contrasts(settings: AyaExpanse) -> list[Contrast]:
    """The comparisons that the settings' arms allow."""
    return [*_routing(settings), *_merging(settings), *_preference(settings), *_ladder(settings)]


def _routing(s: AyaExpanse) -> list[Contrast]:
    order = [
        ("reward", "single"),
        ("reward", "random"),
        ("reward", "fixed"),
        ("fixed", "learned"),
        ("learned", "random"),
    ]
    rows = [
        Contrast(
            name=f"{arm} over {baseline} routing",
            arm=arm,
            baseline=baseline,
            measure=s.measure,
            differs_in=("route.router",),
            matched=_SAME_COMPUTE,
        )
        for arm, baseline in order
        if arm in s.routers and baseline in s.routers
    ]
    return [*rows, *(_true_arbiter(s) if s.true_arbiter else [])]


def _true_arbiter(s: AyaExpanse) -> list[Contrast]:
    """Reward routing by an arbiter without mistakes: over the arbiter at hand, and over the known experts."""
    rows: list[tuple[str, str, tuple[str, ...]]] = [("a true arbiter over the one at hand", "reward", ("pool.*",))]
    if "fixed" in s.routers:
        rows.append(("a true arbiter over fixed routing", "fixed", ("pool.*", "route.router")))
    return [
        Contrast(
            name=name,
            arm="reward_true",
            baseline=baseline,
            measure=s.measure,
            differs_in=differs,
            matched=_SAME_COMPUTE,
        )
        for name, baseline, differs in rows
    ]


def _merging(s: AyaExpanse) -> list[Contrast]:
    joint = Contrast(
        name="merged over joint at the summed budget",
        arm="merge_linear",
        baseline="joint_long",
        measure=s.measure,
        differs_in=TUNED,
        matched=Matched(currency="flops", labels=("sft", "sft-*")),
    )
    methods = [
        Contrast(
            name=f"linear over {method} merging",
            arm="merge_linear",
            baseline=f"merge_{method}",
            measure=s.measure,
            differs_in=("merge.method",),
            matched=Matched(currency="flops", labels=("sft-*",)),
        )
        for method in s.methods
        if method != "linear"
    ]
    control = Contrast(
        name="merging strangers destroys the model",
        arm="merge_strangers",
        baseline="base",
        measure=s.measure,
        direction="less",
        differs_in=("merge", "stranger", "evaluate.inputs", "evaluate-base"),
        matched=Unmatched(reason="a control: the second model is one more pre-training run"),
    )
    searched = Contrast(
        name="searched over equal merge weights",
        arm="merge_searched",
        baseline="merge_linear",
        measure=s.measure,
        differs_in=("merge.*",),
        matched=Matched(currency="flops", labels=("sft-*",)),
    )
    run = Contrast(
        name="averaging one run over its last model",
        arm="merge_run",
        baseline="joint_long",
        measure=s.measure,
        differs_in=("merge", "evaluate.inputs"),
        matched=_SAME_COMPUTE,
    )
    extra = [(s.search_rounds, searched), (s.training.snapshots, run), (s.control, control)]
    return [joint, *methods, *(contrast for wanted, contrast in extra if wanted)]


def _preference(s: AyaExpanse) -> list[Contrast]:
    online = ("prompts-?", *ROUNDS)
    table: list[tuple[str, str, tuple[str, ...], Matched]] = [
        ("offline_online", "offline", ("dpo-offline.recipe", "evaluate.inputs", *online), _SAME_PAIRS),
        (
            "offline_online",
            "online",
            ("pairs-offline", "dpo-offline", "dpo-?.recipe", "dpo-1.inputs", "sample-1.inputs"),
            _SAME_PAIRS,
        ),
        ("online", "best_of_n", ("best-?", "tune-?", "pairs-?", "dpo-?", *_OTHER_POLICY), _SAME_SAMPLES),
        ("rloo", "online", ("rloo-?", "pairs-?", "dpo-?", *_OTHER_POLICY), _SAME_SAMPLES),
        ("offline_translationese", "offline", ("pairs-offline.translationese",), _SAME_PAIRS),
    ]
    return [
        Contrast(
            name=f"{_words(arm)} over {_words(baseline)}",
            arm=arm,
            baseline=baseline,
            measure=s.measure,
            differs_in=differs_in,
            matched=matched,
        )
        for arm, baseline, differs_in, matched in table
        if arm in s.preference_arms and baseline in s.preference_arms
    ]


_OTHER_POLICY = ("sample-?.inputs", "evaluate.inputs")
"""Later rounds sample from a policy that was trained otherwise."""


def _words(arm: str) -> str:
    names = {
        "offline_online": "offline then online",
        "best_of_n": "best-of-n tuning",
        "rloo": "RLOO",
        "offline_translationese": "offline with translationese",
    }
    return names.get(arm, arm)


LADDER = ("base", "reward", "merge_linear", "offline", "recipe")
"""The recipe's steps as arms: base, arbitrage, merging, offline and then online preference training."""


def steps(settings: AyaExpanse) -> tuple[str, ...]:
    """Names of the contrasts of the recipe's steps, in order."""
    return tuple(contrast.name for contrast in _ladder(settings) if contrast.name != _PREFERENCE_STEP)


_PREFERENCE_STEP = "steps: offline and online preference"


def _ladder(s: AyaExpanse) -> list[Contrast]:
    """Each step over the one before."""
    offline = ("pairs-offline", "dpo-offline", "evaluate.inputs")
    online = ("prompts-?", *ROUNDS)
    rows = [
        ("step: arbitrage", "reward", "base", ("sft", "evaluate.inputs", "evaluate-base", *_pool(s))),
        ("step: merging", "merge_linear", "reward", TUNED),
        ("step: offline preference", "offline", "merge_linear", offline),
        ("step: online preference", "recipe", "offline", ("evaluate.inputs", *online)),
        (_PREFERENCE_STEP, "recipe", "merge_linear", (*offline, *online)),
    ]
    known = {"base", "merge_linear", *s.routers, *s.preference_arms}
    return [
        Contrast(name=name, arm=arm, baseline=baseline, measure=s.measure, differs_in=differs, matched=_STEP)
        for name, arm, baseline, differs in rows
        if {arm, baseline} <= known
    ]


def _pool(s: AyaExpanse) -> tuple[str, ...]:
    """Everything that arbitrage adds to the base."""
    labels: tuple[str, ...] = ("train-prompts", "dev-prompts", "teacher-*", "pool*", "dev-pool*", "route")
    if s.arbiter.kind == "reward":
        labels = (*labels, "arbiter", *(() if s.models.reward else ("rater-*",)))
    if Path(s.data.prompts).is_file():
        labels = (*labels, "prompts-file")
    return (*labels, "compute") if s.models.base else labels


def claims(settings: AyaExpanse) -> list[Claim]:
    """The papers' sentences whose contrasts this run has."""
    present = {contrast.name for contrast in contrasts(settings)}
    return [claim for claim in _CLAIMS if set(claim.contrasts) <= present]


_CLAIMS = (
    Claim(
        id="arbitrage-single",
        sentence="Routing prompts to the best of several teachers beats the best single teacher.",
        source=ARBITRAGE,
        contrasts=("reward over single routing",),
    ),
    Claim(
        id="arbitrage-random",
        sentence="Reward-based routing beats random routing.",
        source=ARBITRAGE,
        contrasts=("reward over random routing",),
    ),
    Claim(
        id="arbitrage-order",
        sentence="Routers rank reward-based, fixed, learned, random.",
        source=ARBITRAGE,
        contrasts=("reward over fixed routing", "fixed over learned routing", "learned over random routing"),
        scope_note="The paper's order is of open-ended win rates; supported only if all three steps hold.",
    ),
    Claim(
        id="arbitrage-true",
        sentence="With an arbiter that makes no mistake, reward-based routing beats the known experts.",
        source="control of this study: separates the router from its arbiter",
        contrasts=("a true arbiter over fixed routing",),
    ),
    Claim(
        id="merge-joint",
        sentence="Merging cluster models beats training one model on the pooled data.",
        source=f"{EXPANSE}; Mix Data or Merge Models (arXiv 2410.10801)",
        contrasts=("merged over joint at the summed budget",),
        scope_note="Joint training gets the summed budget of the merged models here.",
    ),
    Claim(
        id="merge-linear",
        sentence="The weighted average is the most consistent merging method.",
        source=EXPANSE,
        contrasts=("linear over slerp merging", "linear over ties merging", "linear over dare_ties merging"),
        scope_note="Read here as: over all languages together it beats each of the others.",
    ),
    Claim(
        id="merge-ancestor",
        sentence="Models without a common ancestor do not merge.",
        source="negative control of this study",
        contrasts=("merging strangers destroys the model",),
    ),
    Claim(
        id="offline-online",
        sentence="Offline and then online preference training beats either alone.",
        source=EXPANSE,
        contrasts=("offline then online over offline", "offline then online over online"),
        scope_note="At equal preference-training steps.",
    ),
    Claim(
        id="rloo-dpo",
        sentence="RLOO beats DPO.",
        source="RLHF Can Speak Many Languages (arXiv 2407.02552), second-hand notes: 54.4 against 43.8 at most",
        contrasts=("RLOO over online",),
        scope_note="Both iterate over the same rounds, prompts and samples here.",
    ),
    Claim(
        id="online-control",
        sentence="Online DPO beats fine-tuning on the best of the same number of samples.",
        source="control of this study; the papers do not report it",
        contrasts=("online over best-of-n tuning",),
    ),
    Claim(
        id="step-arbitrage",
        sentence="Arbitrage improves the base.",
        source=f"{EXPANSE} (+9.1 points of win rate at 8B)",
        contrasts=("step: arbitrage",),
    ),
    Claim(
        id="step-merging",
        sentence="Merging improves on arbitrage fine-tuning.",
        source=f"{EXPANSE} (+5.1 points of win rate at 8B)",
        contrasts=("step: merging",),
        scope_note="The merged models had more training steps together; merge-joint is the matched comparison.",
    ),
    Claim(
        id="step-preference",
        sentence="Preference training improves the merged model.",
        source=f"{EXPANSE} (+7.1 points of win rate at 8B)",
        contrasts=(_PREFERENCE_STEP,),
    ),
)
