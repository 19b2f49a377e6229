"""The PandaLM human test set (github.com/WeOpenML/PandaLM, Apache-2.0): 999 pairs of answers, three annotators each.

Labels are 1 or 2 for the better answer and 0 for a tie. The majority of three decides; three different votes would
make a tie (there are none in the released file). How the synthetic-critiques paper treats the 105 ties is not known, so
a tie policy is always named with a result: ``"drop"`` keeps the 894 decided pairs (``decided_pairs``), ``"three-way"``
makes a tie a class of its own (``three_way_rows``).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from paribus.errors import ConfigError, DataError
from paribus.evaluation.items import ItemRow
from paribus.records import Message, PreferencePair

Label = Literal[0, 1, 2]
Ties = Literal["drop", "three-way"]
_TEXTS = ("instruction", "input", "response1", "response2", "cmp_key")
_ANNOTATORS = ("annotator1", "annotator2", "annotator3")


@dataclass(frozen=True)
class PandaItem:
    """Two answers to one instruction, by the models ``models``, and the labels of three annotators."""

    id: str
    instruction: str
    input: str
    responses: tuple[str, str]
    models: tuple[str, str]
    labels: tuple[Label, Label, Label]

    @property
    def label(self) -> Label:
        """What two of three annotators say, else 0."""
        label, votes = Counter(self.labels).most_common(1)[0]
        return label if votes >= 2 else 0

    @property
    def pair_id(self) -> str:
        """The id of the item's pair."""
        return f"pandalm/{self.id}"

    @property
    def question(self) -> str:
        """The cluster: all pairs on one instruction and input (170 of them in the released file)."""
        return hashlib.sha256(f"{self.instruction}\x1f{self.input}".encode()).hexdigest()[:16]


def load_pandalm(path: str | Path) -> list[PandaItem]:
    """Read ``testset-v1.json``, a JSON list. Raises ``DataError`` naming the item and field that does not fit."""
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); give PandaLM's data/testset-v1.json.") from error
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path} holds {type(rows).__name__} without items; give PandaLM's data/testset-v1.json.")
    items = [_item(row, f"{path}, item {number}") for number, row in enumerate(rows, start=1)]
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise DataError(f"{path} has {len(twice)} idx values more than once, the first is {twice[0]}.")
    return items


def _item(row: Any, where: str) -> PandaItem:
    if not isinstance(row, Mapping):
        raise DataError(f"{where} is {row!r:.80}; expected an object with {', '.join((*_TEXTS, *_ANNOTATORS))}.")
    texts = {name: _text(row.get(name), where, name) for name in _TEXTS}
    for name in _ANNOTATORS:
        if row.get(name) not in get_args(Label) or isinstance(row.get(name), bool):
            raise DataError(f"{where}, field {name!r}: got {row.get(name)!r}, expected 0 (tie), 1 or 2.")
    first, _, second = texts["cmp_key"].partition("_")
    labels = (row[_ANNOTATORS[0]], row[_ANNOTATORS[1]], row[_ANNOTATORS[2]])
    answers = (texts["response1"], texts["response2"])
    return PandaItem(str(row.get("idx", where)), texts["instruction"], texts["input"], answers, (first, second), labels)


def _text(value: Any, where: str, name: str) -> str:
    """The text of a field. Six answers ("True") stand in the released file as JSON true."""
    if not isinstance(value, str | bool):
        raise DataError(f"{where}, field {name!r}: got {value!r}, expected a text.")
    return str(value)


def decided_pairs(items: Sequence[PandaItem]) -> list[PreferencePair]:
    """The pairs with a majority for one answer (tie policy ``"drop"``), English, clustered by ``question``."""
    return [_pair(item, item.label) for item in items if item.label != 0]


def all_pairs(items: Sequence[PandaItem]) -> list[PreferencePair]:
    """Every item as a pair, response 1 as ``chosen``, whatever the label: for the tie policy ``"three-way"``."""
    return [_pair(item, 1) for item in items]


def _pair(item: PandaItem, better: Label) -> PreferencePair:
    text = f"{item.instruction}\n\n{item.input}" if item.input.strip() else item.instruction
    chosen, rejected = (0, 1) if better == 1 else (1, 0)
    return PreferencePair(
        id=item.pair_id,
        prompt_id=f"pandalm/{item.question}",
        language="en",
        prompt=(Message(role="user", content=text),),
        chosen=item.responses[chosen],
        rejected=item.responses[rejected],
        source="pandalm",
        meta={
            "question_id": item.question,
            "chosen_model": item.models[chosen],
            "rejected_model": item.models[rejected],
            "label": item.label,
        },
    )


def three_way_rows(
    items: Sequence[PandaItem], preference: NDArray[np.float64], *, tie_band: float = 0.0
) -> list[ItemRow]:
    """1 where the predicted class (1, 2 or tie) is the majority's, else 0; the group is the majority's label.

    Args:
        preference: (n,), above 0 for response 1: score differences, or 2 * outcome - 1 of a judge on ``all_pairs``.
        tie_band: differences of at most this size are called a tie, in the unit of ``preference``.
    """
    if preference.shape != (len(items),) or not np.isfinite(preference).all():
        raise DataError(f"preference has shape {preference.shape} for {len(items)} items; give one finite number each.")
    if not (np.isfinite(tie_band) and tie_band >= 0):
        raise ConfigError(f"tie_band is {tie_band}; give a difference of scores, 0 or more.")
    predicted = np.where(np.abs(preference) <= tie_band, 0, np.where(preference > 0, 1, 2))
    return [
        ItemRow(
            "three_way_accuracy",
            f"pandalm/{item.id}",
            item.question,
            "en",
            float(item.label == guess),
            _NAME[item.label],
        )
        for item, guess in zip(items, predicted, strict=True)
    ]


_NAME: Mapping[Label, str] = {0: "tie", 1: "first better", 2: "second better"}


def annotator_kappas(items: Sequence[PandaItem]) -> dict[tuple[int, int], float]:
    """Cohen's kappa of each two annotators, (1, 2), (1, 3) and (2, 3); published as 0.85, 0.88 and 0.86."""
    from paribus.statistics.agreement import cohen_kappa

    votes = np.array([item.labels for item in items])
    return {(i + 1, j + 1): float(cohen_kappa(votes[:, i], votes[:, j])) for i, j in combinations(range(3), 2)}
