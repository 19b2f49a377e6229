"""Contrasts and claims of the separations study, as data.

What the study must show, fixed before it ran: index lookup separates one attention layer from every recurrent net, the
more so the longer the input; bounded Dyck separates the other way round, and a second layer heals it; recall needs two
layers where fixed states lose; hand-written weights decide equality and disjointness, and without their first layer do
not. Sentences and directions are the paper's; the controls are ours and say so.
"""

from collections.abc import Iterable

from paribus.lab import Claim, Contrast, Matched, Unmatched
from paribus.models.sequence_shape import GROWING
from paribus.studies.separations_settings import MIXERS, Separations

PAPER = "Separations (arXiv 2406.09347)"
OWN = "control of this study"

_NO_TRAINING = Unmatched(reason="hand-written weights are not trained; what they cost is their size")
_SAME = ("*.network.*",)


def fixed_state(settings: Separations) -> tuple[str, ...]:
    """The study's architectures whose state does not grow with the input."""
    return tuple(name for name in settings.architectures if MIXERS.get(name, name) not in GROWING)


def contrasts(settings: Separations) -> list[Contrast]:
    """The comparisons that the settings' architectures and tasks allow."""
    present = {*settings.architectures, "construction", "without_first_layer"}
    rows = [
        *_lookup(settings),
        *_dyck(settings),
        *_recall(settings),
        *_constructions(),
    ]
    return [row for row in rows if {row.arm, row.baseline} <= present and _measured(row, settings)]


def _measured(row: Contrast, settings: Separations) -> bool:
    """Whether both arms have the measure."""
    return row.arm == "construction" or row.measure.removesuffix("_accuracy") in settings.trained


def _trained(rows: Iterable[tuple[str, str, str, str]], family: str) -> list[Contrast]:
    """Trained arms on one problem: the same sequences, steps and number of rates tried."""
    return [
        Contrast(
            name=name,
            arm=arm,
            baseline=baseline,
            measure=f"{problem}_accuracy",
            direction="greater",
            differs_in=_SAME,
            matched=Matched(currency="examples", labels=(f"{problem}-*",)),
            family=family,
        )
        for name, arm, baseline, problem in rows
    ]


def _lookup(s: Separations) -> list[Contrast]:
    rows = [
        (f"one attention layer over {name}, {words}", "tf1", name, problem)
        for problem, words in LOOKUPS.items()
        for name in fixed_state(s)
    ]
    return _trained(rows, "index lookup")


LOOKUPS = {"lookup": "lookup", "lookup_long": "longer lookup"}


def _dyck(s: Separations) -> list[Contrast]:
    rows = [(f"{name} over one attention layer, Dyck", name, "tf1", "dyck") for name in fixed_state(s)]
    rows.append(("two attention layers over one, Dyck", "tf2", "tf1", "dyck"))
    return _trained(rows, "bounded Dyck")


def _recall(s: Separations) -> list[Contrast]:
    rows = [(f"two attention layers over {name}, recall", "tf2", name, "recall") for name in fixed_state(s)]
    rows.append(("two attention layers over one, recall", "tf2", "tf1", "recall"))
    return _trained(rows, "associative recall")


def _constructions() -> list[Contrast]:
    return [
        Contrast(
            name=f"construction over the same without its first layer, {problem}",
            arm="construction",
            baseline="without_first_layer",
            measure=f"{problem}_accuracy",
            direction="greater",
            differs_in=("*.first_layer", "*-construct"),
            matched=_NO_TRAINING,
            family="constructions",
        )
        for problem in TWO_LAYERED
    ]


TWO_LAYERED = ("equality", "disjointness", "recall")
"""Problems whose construction has two layers, the first of which fetches."""


def claims(settings: Separations) -> list[Claim]:
    """Claims of which at least one contrast is there."""
    found, nets = {row.name for row in contrasts(settings)}, fixed_state(settings)
    matched = settings.match == "parameters"
    size = "with as many parameters" if matched else "of the same width"

    def claim(contrasts: Iterable[str], **words: str) -> list[Claim]:
        kept = tuple(name for name in contrasts if name in found)
        return [Claim(contrasts=kept, **words)] if kept else []

    return [
        *claim(
            id="lookup",
            sentence=(
                "Trained within the same budget, a one-layer Transformer looks an index up more accurately than "
                f"recurrent nets {size}, whose state has room for the whole input."
            ),
            source=f"{PAPER}, abstract and figure 2",
            contrasts=tuple(f"one attention layer over {name}, lookup" for name in nets),
            scope_note="the bound needs fewer bits than any of these states has: the gap is one of learning",
        ),
        *claim(
            id="lookup-long",
            sentence="It stays so when the input is longer.",
            source=f"{PAPER}, figure 2",
            contrasts=tuple(f"one attention layer over {name}, longer lookup" for name in nets),
        ),
        *claim(
            id="dyck",
            sentence="On bounded Dyck, recurrent nets of constant size beat a one-layer Transformer.",
            source=f"{PAPER}, abstract and figure 2",
            contrasts=tuple(f"{name} over one attention layer, Dyck" for name in nets),
            scope_note="no bound on one layer is known for next characters, which are what is learned here",
        ),
        *claim(
            id="depth",
            sentence="On bounded Dyck two attention layers beat one"
            + (", at the same number of parameters." if matched else "."),
            source=f"{PAPER}, abstract (two layers of logarithmic size suffice); equal parameters are ours",
            contrasts=("two attention layers over one, Dyck",),
        ),
        *claim(
            id="recall",
            sentence=f"Two attention layers recall associations more accurately than recurrent nets {size}.",
            source=f"{PAPER}, abstract (nearest neighbour and recall)",
            contrasts=tuple(f"two attention layers over {name}, recall" for name in nets),
        ),
        *claim(
            id="recall-depth",
            sentence="Recall wants the second layer too.",
            source=OWN,
            contrasts=("two attention layers over one, recall",),
        ),
        *claim(
            id="constructions",
            sentence="Hand-written weights of logarithmic width decide equality and disjointness and recall with two "
            "layers, and without their first layer do not.",
            source=f"{PAPER}, abstract; the removed layer is a control of this study",
            contrasts=tuple(
                f"construction over the same without its first layer, {problem}" for problem in TWO_LAYERED
            ),
            scope_note="checked on every input where these can be counted: see the table of constructions",
        ),
    ]
