"""Which outputs are rated, side by side with which others: cells, pairs, repeats, distractors and attention checks.

The design of arXiv 2309.16349 (section 2 and its data release): every input is answered in five of the cells
model x preamble, dealt so that all cells are used equally often; all ten pairs of the five are shown once, in random
order and places; one pair of every fourth input is shown four times more, for agreement; and one pair of every input
sets an output beside a distractor, the same model's answer to another prompt, which should not win.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

from pydantic import Field, field_validator

from paribus.errors import ConfigError, DataError
from paribus.evaluation.prompts import cluster_of
from paribus.evaluation.readability import words
from paribus.feedback.annotation.schema import DISTRACTOR, ERRORS, PASSES, PREAMBLES, Pass, error_type, item_name
from paribus.feedback.games import Order
from paribus.records import Completion, Prompt, Rating
from paribus.records.schema import Record, Text

Cell = tuple[str, str]
"""A model and the preamble it answered under."""


class FormItem(Record):
    """One output on a form. ``meta`` is that of its ratings: dataset, input, model, preamble, other_model,
    other_preamble, language, distractor (of the form, so both its items say it), words; and ``completion``, the id of
    the completion whose text it is. An input in several languages is one input. Nothing of ``id`` and ``meta`` may be
    shown to a rater.
    """

    id: Text
    text: str
    meta: dict[str, Any] = Field(default_factory=dict)


class Form(Record):
    """What one rater sees at once: a request and two outputs, each to be rated on its own scale.

    id: names the form; a pair that is shown again has another one.
    pass: ``errors``, ``quality`` or ``style`` (``pass_`` in Python); a rater does forms of one pass only.
    language: of the request.
    prompt: the text of the request.
    items: the two outputs in the order in which they are shown.
    order: ``ab`` when that is the order of the design, ``ba`` when the places are exchanged.
    pair: names the pair; its repeats share it and go to other raters.
    repeat: 0 for the first showing.
    asked: names of the errors that are asked for, each about both items; empty but on the pass ``errors``.
    attention: answers that the rater is told to give to extra questions about each form, such as ("yes", "no"); on a
        scored pass the number of a scale. ``checks.attention_result`` says what becomes of the replies.
    """

    id: Text
    pass_: Pass = Field(alias="pass")
    language: Text
    prompt: Text
    items: tuple[FormItem, FormItem]
    order: Order = "ab"
    pair: Text
    repeat: int = Field(default=0, ge=0)
    asked: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()

    @field_validator("items")
    @classmethod
    def _two(cls, value: tuple[FormItem, FormItem]) -> tuple[FormItem, FormItem]:
        if value[0].id == value[1].id:
            raise ValueError("the two items of a form must be different outputs")
        return value

    @property
    def distractor(self) -> bool:
        """Whether one of the items answers another prompt."""
        return any(item.meta.get("model") == DISTRACTOR for item in self.items)

    def rating(
        self,
        place: int,
        rater: str,
        *,
        scores: Mapping[str, float],
        errors: Collection[str] = (),
        attention: str | None = None,
    ) -> Rating:
        """A rater's rating of the item at ``place`` (0 or 1), with the meta that the audit reads; not yet validated.

        ``attention``: ``passed`` or ``failed``, or None where the form had no attention checks.
        """
        item = self.items[place]
        meta = {**item.meta, "form": self.id} | ({"attention": attention} if attention else {})
        meta |= {"asked": list(self.asked)} if self.asked else {}
        judged = {"errors": tuple(errors), "scores": dict(scores), "meta": meta}
        return Rating.model_validate({"item": item.id, "rater": rater, "pass": self.pass_, **judged})


@dataclass(frozen=True)
class Design:
    """How forms are made of outputs.

    passes: which passes; each gets the same pairs, in an order of its own.
    repeats: further showings of a repeated pair (4: five raters with the first).
    repeated: share of the inputs of which one pair is repeated; they are spread evenly over a random order of inputs.
    distractors: pairs with a distractor for each input. The pass ``style`` has none: an answer to another prompt need
        be neither less assertive nor less complex.
    errors: the errors that are asked for.
    attention: instructed answers, by pass.
    seed: fixes every draw.
    """

    passes: tuple[Pass, ...] = PASSES
    repeats: int = 4
    repeated: float = 0.25
    distractors: int = 1
    errors: tuple[str, ...] = ERRORS
    attention: Mapping[Pass, tuple[str, ...]] = field(default_factory=lambda: {"errors": ("yes", "no")})
    seed: int = 0

    def __post_init__(self) -> None:
        if self.repeats < 0 or self.distractors < 0:
            raise ConfigError(
                f"repeats is {self.repeats} and distractors {self.distractors}; both count showings, from 0."
            )
        if not 0 <= self.repeated <= 1:
            raise ConfigError(f"repeated is {self.repeated}; it is a share of the inputs, from 0 to 1.")
        for name in self.errors:
            error_type(name)


class Assignment(NamedTuple):
    """A form and who rates it."""

    form: Form
    rater: str


def deal_cells(
    inputs: Sequence[str],
    models: Sequence[str],
    preambles: Sequence[str] = PREAMBLES,
    *,
    per_input: int = 5,
    seed: int = 0,
) -> dict[str, tuple[Cell, ...]]:
    """The cells (model, preamble) in which each input is to be answered, ``per_input`` different ones for each.

    Cells are dealt from a shuffled deck of all of them that is shuffled anew whenever it is empty, so no two cells
    differ by more than one use, and none differ where the number of answers is a multiple of the number of cells.

    Raises ``ConfigError`` for names that occur twice, and for more cells an input than there are.
    """
    for what, names in (("inputs", inputs), ("models", models), ("preambles", preambles)):
        if len(set(names)) < len(names):
            raise ConfigError(f"The {what} {', '.join(names[:5])} ... name one twice; name each once.")
    cells = [(model, preamble) for model in models for preamble in preambles]
    if not 1 <= per_input <= len(cells):
        raise ConfigError(f"per_input is {per_input} and there are {len(cells)} cells; give 1 to {len(cells)}.")
    rng, deck, dealt = random.Random(f"cells/{seed}"), list[Cell](), {}
    for name in inputs:
        hand, deck = deck[:per_input], deck[per_input:]
        if len(hand) < per_input:
            fresh = rng.sample(cells, len(cells))
            new = [cell for cell in fresh if cell not in hand][: per_input - len(hand)]
            hand, deck = hand + new, [cell for cell in fresh if cell not in new]
        dealt[name] = tuple(hand)
    return dealt


def make_forms(
    prompts: Sequence[Prompt], completions: Sequence[Completion], design: Design | None = None
) -> list[Form]:
    """All forms of a design, pass by pass, in random order within a pass.

    Args:
        prompts: the inputs; ``meta["dataset"]``, else the task, names their dataset.
        completions: their outputs, two or more for each; ``meta["preamble"]`` (default ``normal``) and ``model`` are
            the cell. Failed ones (finish ``error``) must be left out before.

    Raises ``DataError`` for an input with fewer than two outputs, two of one cell, an output to an unknown prompt, and
    an input for which no distractor can be found.
    """
    design = design or Design()
    pairs = _pairs(prompts, _by_input(prompts, completions), design)
    forms = list[Form]()
    for pass_ in design.passes:
        rng = random.Random(f"forms/{pass_}/{design.seed}")
        forms += _shuffled([form for pair in pairs for form in _showings(pass_, pair, design)], rng)
    return forms


def assign(
    forms: Sequence[Form], raters: Mapping[Pass, Sequence[str]], *, overlap: int = 1, seed: int = 0
) -> list[Assignment]:
    """Give every form to ``overlap`` raters of its pass, evenly and at random; nobody sees a pair twice.

    Raises ``ConfigError`` for a rater of two passes, a pass without raters, or too few raters for a pair's showings.
    """
    names = [name for pool in raters.values() for name in set(pool)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{', '.join(twice)} would rate two passes; one judgement would prime the other.")
    rng = random.Random(f"raters/{seed}")
    load = {name: (0, rng.random()) for name in sorted(names)}
    seen = set[tuple[str, str]]()
    given = list[Assignment]()
    for form in _shuffled(forms, rng):
        pool = [name for name in raters.get(form.pass_, ()) if (name, f"{form.pass_}/{form.pair}") not in seen]
        if len(pool) < overlap:
            raise ConfigError(
                f"The pair {form.pair!r} of the pass {form.pass_} needs {overlap - len(pool)} more raters; "
                f"the pass has {len(raters.get(form.pass_, ()))}."
            )
        for name in sorted(pool, key=load.__getitem__)[:overlap]:
            given.append(Assignment(form, name))
            seen.add((name, f"{form.pass_}/{form.pair}"))
            load[name] = (load[name][0] + 1, rng.random())
    return given


class _Output(NamedTuple):
    prompt: Prompt
    completion: Completion

    @property
    def cell(self) -> Cell:
        return self.completion.model, str(self.completion.meta.get("preamble", "normal"))

    @property
    def dataset(self) -> str:
        return str(self.prompt.meta.get("dataset") or self.prompt.task or "inputs")


class _Pair(NamedTuple):
    prompt: Prompt
    items: tuple[FormItem, FormItem]
    showings: int


def _by_input(prompts: Sequence[Prompt], completions: Sequence[Completion]) -> dict[str, list[_Output]]:
    known = {prompt.id: prompt for prompt in prompts}
    found: dict[str, list[_Output]] = {prompt.id: [] for prompt in prompts}
    for row in completions:
        if row.prompt_id not in known:
            raise DataError(f"The output {row.id!r} answers {row.prompt_id!r}, which is none of the prompts; add it.")
        if row.finish == "error":
            raise DataError(f"The output {row.id!r} failed ({row.meta.get('error', 'no reason given')}); leave it out.")
        found[row.prompt_id].append(_Output(known[row.prompt_id], row))
    for name, outputs in found.items():
        _check_outputs(name, [output.cell for output in outputs])
    return found


def _check_outputs(name: str, cells: Sequence[Cell]) -> None:
    if len(cells) < 2:
        raise DataError(f"The input {name!r} has {len(cells)} outputs; forms show two, so give more or leave it out.")
    for cell in cells:
        if cells.count(cell) > 1:
            raise DataError(f"The input {name!r} has two outputs of {cell[0]!r} under {cell[1]!r}; keep one.")


def _pairs(prompts: Sequence[Prompt], outputs: Mapping[str, Sequence[_Output]], design: Design) -> list[_Pair]:
    rng = random.Random(f"pairs/{design.seed}")
    repeated = _spread([prompt.id for prompt in _shuffled(prompts, rng)], design.repeated)
    shelf = defaultdict[tuple[str, str], list[_Output]](list)
    for output in (output for rows in outputs.values() for output in rows):
        shelf[output.cell[0], output.prompt.language].append(output)
    pairs = list[_Pair]()
    for prompt in prompts:
        own = list(combinations(outputs[prompt.id], 2))
        again = rng.choice(own) if prompt.id in repeated else None
        pairs += [_Pair(prompt, _compared(*two), 1 + design.repeats * (two == again)) for two in own]
        strangers = _distractors(outputs[prompt.id], shelf, design.distractors, rng)
        pairs += [_Pair(prompt, _distracted(*two), 1) for two in strangers]
    return pairs


def _spread(names: Sequence[str], share: float) -> set[str]:
    """Every 1/share-th name."""
    return {name for place, name in enumerate(names) if int((place + 1) * share + 1e-9) > int(place * share + 1e-9)}


def _distractors(
    own: Sequence[_Output], shelf: Mapping[tuple[str, str], Sequence[_Output]], count: int, rng: random.Random
) -> list[tuple[_Output, _Output]]:
    """Outputs, each with an answer of the same model to another prompt of its language, of its dataset if there is."""
    found = list[tuple[_Output, _Output]]()
    for genuine in _shuffled(own, rng) if count else ():
        others = [
            other
            for other in shelf[genuine.cell[0], genuine.prompt.language]
            if other.prompt.id != genuine.prompt.id and other.completion.text != genuine.completion.text
        ]
        near = [other for other in others if other.dataset == genuine.dataset] or others
        found += [(genuine, rng.choice(near))] if near else []
    if len(found) < count:
        raise DataError(
            f"The input {own[0].prompt.id!r} can have {len(found)} of {count} distractors: too few of its models "
            "answer other prompts in its language. Add inputs, or ask for fewer distractors."
        )
    return found[:count]


def _compared(a: _Output, b: _Output) -> tuple[FormItem, FormItem]:
    return (
        _item(a, a.completion, a.cell, b.cell, distractor=False),
        _item(b, b.completion, b.cell, a.cell, distractor=False),
    )


def _distracted(genuine: _Output, other: _Output) -> tuple[FormItem, FormItem]:
    stranger = (DISTRACTOR, other.cell[1])
    return (
        _item(genuine, genuine.completion, genuine.cell, stranger, distractor=True),
        _item(genuine, other.completion, stranger, genuine.cell, distractor=True),
    )


def _item(output: _Output, completion: Completion, cell: Cell, other: Cell, *, distractor: bool) -> FormItem:
    meta = {
        "dataset": output.dataset,
        "input": cluster_of(output.prompt),
        "model": cell[0],
        "preamble": cell[1],
        "other_model": other[0],
        "other_preamble": other[1],
        "language": output.prompt.language,
        "distractor": distractor,
        "words": len(words(completion.text, output.prompt.language)),
        "completion": completion.id,
    }
    return FormItem(id=item_name(output.dataset, output.prompt.id, *cell), text=completion.text, meta=meta)


def _showings(pass_: Pass, pair: _Pair, design: Design) -> list[Form]:
    if pass_ == "style" and any(item.meta["distractor"] for item in pair.items):
        return []
    return [_form(pass_, pair, number, design) for number in range(pair.showings)]


def _form(pass_: Pass, pair: _Pair, repeat: int, design: Design) -> Form:
    first, second = pair.items
    cells = [f"{item.meta['model']}/{item.meta['preamble']}" for item in pair.items]
    label = f"{first.meta['dataset']}/{pair.prompt.id}/{cells[0]}|{cells[1]}"
    name = f"{pass_}/{label}#{repeat}"
    swapped = random.Random(f"order/{design.seed}/{name}").random() < 0.5
    row = {
        "id": name,
        "pass": pass_,
        "language": pair.prompt.language,
        "prompt": _request(pair.prompt),
        "items": (second, first) if swapped else (first, second),
        "order": "ba" if swapped else "ab",
        "pair": label,
        "repeat": repeat,
        "asked": design.errors if pass_ == "errors" else (),
        "attention": design.attention.get(pass_, ()),
    }
    return Form.model_validate(row)


def _request(prompt: Prompt) -> str:
    """What was asked, without the system turn: a preamble would tell the rater what to find."""
    turns = [turn for turn in prompt.messages if turn.role != "system"]
    return turns[0].content if len(turns) == 1 else "\n\n".join(f"[{turn.role}]\n{turn.content}" for turn in turns)


def _shuffled(rows: Sequence[Any], rng: random.Random) -> list[Any]:
    return rng.sample(rows, len(rows))
