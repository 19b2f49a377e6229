"""The design of forms: balance, all pairs once, repeats, distractors, order; as properties of any size."""

from collections import Counter
from itertools import combinations

import pytest
from annotation_toy import MODELS, inputs, outputs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paribus.errors import ConfigError, DataError
from paribus.feedback.annotation.design import Design, Form, assign, deal_cells, make_forms
from paribus.feedback.annotation.schema import DISTRACTOR, PREAMBLES, SEVEN, validate
from paribus.records import Message, read_records, write_records


@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 5), st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_cells_are_used_evenly_and_once_an_input(
    count: int, models: int, preambles: int, per_input: int, seed: int
) -> None:
    names, manners = MODELS[:models], PREAMBLES[:preambles]
    sources = [f"p{n}" for n in range(count)]
    if per_input > models * preambles:
        with pytest.raises(ConfigError, match="cells"):
            deal_cells(sources, names, manners, per_input=per_input, seed=seed)
        return
    dealt = deal_cells(sources, names, manners, per_input=per_input, seed=seed)
    assert list(dealt) == sources
    assert all(len(set(hand)) == len(hand) == per_input for hand in dealt.values())
    used = Counter(cell for hand in dealt.values() for cell in hand)
    uses = [used[model, preamble] for model in names for preamble in manners]
    assert max(uses) - min(uses) <= 1
    assert dealt == deal_cells(sources, names, manners, per_input=per_input, seed=seed)


def test_the_published_design_uses_every_cell_equally() -> None:
    dealt = deal_cells([f"p{n}" for n in range(300)], MODELS)
    assert set(Counter(cell for hand in dealt.values() for cell in hand).values()) == {60}
    prompts = inputs(300)
    forms = Counter(form.pass_ for form in make_forms(prompts, outputs(prompts)))
    # 300 inputs x 10 pairs, 75 of them four times more; and a distractor each: 6,600 + 600 scored responses.
    assert forms == {"errors": 3600, "quality": 3600, "style": 3300}


@given(st.integers(4, 12), st.integers(2, 5), st.integers(0, 3), st.floats(0, 1), st.integers(0, 2), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_every_pair_once_and_repeats_besides(
    count: int, per_input: int, repeats: int, repeated: float, distractors: int, seed: int
) -> None:
    prompts = inputs(count)
    rows = outputs(prompts, per_input, seed)
    alone = {row.model for row in rows} - {
        row.model for row in rows for other in rows if other.model == row.model and other.prompt_id != row.prompt_id
    }
    assume(not alone)  # a model with answers to one prompt alone has nothing to distract with
    design = Design(repeats=repeats, repeated=repeated, distractors=distractors, seed=seed)
    forms = make_forms(prompts, rows, design)
    assert len({form.id for form in forms}) == len(forms)
    for pass_ in design.passes:
        own = [form for form in forms if form.pass_ == pass_]
        shown = Counter(
            frozenset(item.meta["completion"] for item in form.items) for form in own if not form.distractor
        )
        ids = {prompt.id: [row.id for row in rows if row.prompt_id == prompt.id] for prompt in prompts}
        assert set(shown) == {frozenset(pair) for names in ids.values() for pair in combinations(names, 2)}
        extra = [pair for pair, times in shown.items() if times > 1]
        assert all(shown[pair] == 1 + repeats for pair in extra)
        if repeats:
            assert abs(len(extra) - repeated * count) < 1
        away = [form for form in own if form.distractor]
        assert len(away) == (0 if pass_ == "style" else distractors * count)


def test_distractors_are_the_same_models_answers_to_other_prompts() -> None:
    prompts = [*inputs(10), *(p.model_copy(update={"id": f"x{p.id}"}) for p in inputs(10, "other"))]
    rows = outputs(prompts)
    by_id = {row.id: row for row in rows}
    for form in make_forms(prompts, rows, Design(distractors=2)):
        if not form.distractor:
            assert not any(item.meta["distractor"] for item in form.items)
            continue
        assert all(item.meta["distractor"] for item in form.items)
        stray, genuine = sorted(form.items, key=lambda item: item.meta["model"] != DISTRACTOR)
        source = by_id[stray.meta["completion"]]
        assert source.model == genuine.meta["model"] and stray.text == source.text
        assert source.prompt_id != genuine.meta["input"] == stray.meta["input"]
        assert source.prompt_id.startswith("x") == genuine.meta["input"].startswith("x")  # of the same dataset
        assert genuine.meta["other_model"] == DISTRACTOR and stray.meta["other_model"] == genuine.meta["model"]


def test_places_are_random_and_kept_and_the_passes_differ_in_order_alone() -> None:
    prompts = inputs(40)
    forms = make_forms(prompts, outputs(prompts))
    swapped = [form.order == "ba" for form in forms]
    assert 0.45 < sum(swapped) / len(swapped) < 0.55
    pairs = {pass_: [form.pair for form in forms if form.pass_ == pass_] for pass_ in ("errors", "quality", "style")}
    assert sorted(pairs["errors"]) == sorted(pairs["quality"]) and pairs["errors"] != pairs["quality"]
    assert set(pairs["style"]) < set(pairs["errors"])
    for form in forms:
        first = form.items[0 if form.order == "ab" else 1]
        assert form.pair.startswith(first.id + "|")


def test_the_same_seed_gives_the_same_forms() -> None:
    prompts = inputs(12)
    made = [make_forms(prompts, outputs(prompts), Design(seed=seed)) for seed in (3, 3, 4)]
    assert made[0] == made[1] != made[2]


def test_a_form_tells_what_a_rating_needs_and_survives_a_file(tmp_path) -> None:
    prompts = inputs(8)
    forms = make_forms(prompts, outputs(prompts), Design(errors=SEVEN))
    write_records(tmp_path / "forms.jsonl", forms)
    assert list(read_records(tmp_path / "forms.jsonl", Form)) == forms
    form = next(form for form in forms if form.pass_ == "errors")
    assert (
        form.asked == SEVEN
        and form.attention == ("yes", "no")
        and form.prompt == prompts[int(form.items[0].meta["input"][1:])].text
    )
    rated = validate(form.rating(1, "r1", scores={"overall": 2}, errors=["refusal"], attention="passed"))
    assert rated.item == form.items[1].id and rated.pass_ == "errors"
    assert rated.meta["form"] == form.id and rated.meta["attention"] == "passed" and rated.meta["asked"] == list(SEVEN)
    assert rated.meta["words"] == 11 and rated.meta["other_model"] == form.items[0].meta["model"]


def test_a_preamble_is_not_shown_and_one_input_in_two_languages_is_one_cluster() -> None:
    prompts = inputs(4)
    system = Message(role="system", content="Be firm.")
    prompts = [
        prompt.model_copy(
            update={"messages": (system, *prompt.messages), "meta": {"dataset": "toy", "question_id": "q"}}
        )
        for prompt in prompts
    ]
    forms = make_forms(prompts, outputs(prompts))
    assert not any("firm" in form.prompt for form in forms)
    assert {item.meta["input"] for form in forms for item in form.items} == {"q"}
    assert len({item.id for form in forms for item in form.items if not form.distractor}) == 20


def test_raters_get_one_pass_even_loads_and_no_pair_twice() -> None:
    prompts = inputs(20)
    forms = make_forms(prompts, outputs(prompts))
    pools = {pass_: [f"{pass_}{n}" for n in range(12)] for pass_ in ("errors", "quality", "style")}
    given_forms = assign(forms, pools, overlap=2, seed=5)
    assert Counter(given.form.id for given in given_forms) == {form.id: 2 for form in forms}
    assert all(given.rater.startswith(given.form.pass_) for given in given_forms)
    assert max(Counter((given.rater, given.form.pair) for given in given_forms).values()) == 1
    for pass_, names in pools.items():
        loads = Counter(given.rater for given in given_forms if given.form.pass_ == pass_)
        assert set(loads) == set(names) and max(loads.values()) - min(loads.values()) <= 3


def test_what_cannot_be_designed_is_refused() -> None:
    prompts = inputs(4)
    rows = outputs(prompts)
    with pytest.raises(DataError, match="'nowhere'"):
        make_forms(prompts, [*rows, rows[0].model_copy(update={"id": "x", "prompt_id": "nowhere"})])
    with pytest.raises(DataError, match="two outputs of 'm"):
        make_forms(prompts, [*rows, rows[0].model_copy(update={"id": "x"})])
    with pytest.raises(DataError, match="'p0' has 1 outputs"):
        make_forms(prompts, [row for row in rows if row.prompt_id != "p0" or row is rows[0]])
    with pytest.raises(DataError, match=r"'m1.* failed"):
        make_forms(prompts, [*rows[:-1], rows[-1].model_copy(update={"id": "m1/x", "finish": "error"})])
    with pytest.raises(DataError, match="0 of 1 distractors"):
        make_forms(prompts[:1], rows[:5])
    assert make_forms(prompts[:1], rows[:5], Design(distractors=0))
    for bad in ({"repeated": 1.5}, {"repeats": -1}, {"errors": ("spelling",)}):
        with pytest.raises(ConfigError):
            Design(**bad)
    forms = make_forms(prompts, rows)
    with pytest.raises(ConfigError, match="needs 1 more"):
        assign(forms, {"errors": ["a"], "quality": ["b"]})
    with pytest.raises(ConfigError, match="two passes"):
        assign(forms, {"errors": ["a"], "quality": ["a"]})
    with pytest.raises(ConfigError, match="twice"):
        deal_cells(["p0", "p0"], ["m"])
