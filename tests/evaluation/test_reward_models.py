"""Pairs scored and judged: ties, halves, names that do not show the label, and a real classifier against its logits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reward_cases import By, number_in, pair

from paribus.errors import DataError
from paribus.evaluation.items import summarise
from paribus.evaluation.position import position_report
from paribus.evaluation.reward_models import (
    Outcomes,
    ScoredPairs,
    completion_id,
    fitting,
    judged_pairs,
    players,
    score_pairs,
    sides,
)
from paribus.feedback.engine_judge import EngineJudge
from paribus.feedback.games import games
from paribus.inference.engine import GenerationRequest
from paribus.inference.scripted import ScriptedEngine

PAIRS = [pair(0, "a 3", "b 1"), pair(1, "a 2", "b 2"), pair(2, "a 0", "b 5"), pair(3, "a 9", "b 8", language="sw")]


def test_strictly_higher_wins_and_ties_lose() -> None:
    found = score_pairs(By(number_in), PAIRS)
    assert found.margins.tolist() == [2.0, 0.0, -5.0, 1.0]
    outcomes = found.outcomes()
    assert outcomes.value.tolist() == [1.0, 0.0, 0.0, 1.0] and outcomes.tied == 1 and outcomes.by == "rule"
    means = {row.language: row.interval.estimate for row in summarise(outcomes.rows(), by_group=False)}
    assert means == {"all": 0.5, "de": pytest.approx(1 / 3), "sw": 1.0}


def test_a_constant_scorer_gets_nothing() -> None:
    outcomes = score_pairs(By(lambda text: 1.0), PAIRS).outcomes()
    assert outcomes.value.sum() == 0.0 and outcomes.tied == len(PAIRS)


def test_nothing_that_is_scored_shows_the_label() -> None:
    scorer, turned = By(number_in), By(number_in)
    swapped = [row.model_copy(update={"chosen": row.rejected, "rejected": row.chosen}) for row in PAIRS]
    first, second = score_pairs(scorer, PAIRS), score_pairs(turned, swapped)
    # The same answers under exchanged labels reach the scorer in the same order under the same names.
    assert scorer.seen == turned.seen
    np.testing.assert_array_equal(first.margins, -second.margins)
    assert scorer.seen[0].model == "answer"
    telling = pair(0, "a", "b", chosen_model="good", label=1, fact="f")
    assert sides([telling])[0][0].meta == {"question_id": "q0", "fact": "f"}
    assert completion_id("p", "x") != completion_id("p", "y") != completion_id("q", "y")


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=20), st.randoms())
def test_outcomes_belong_to_pairs_not_places(scores: list[tuple[int, int]], random) -> None:
    pairs = [pair(n, f"a {a}", f"b {b}") for n, (a, b) in enumerate(scores)]
    order = list(range(len(pairs)))
    random.shuffle(order)
    value = score_pairs(By(number_in), pairs).outcomes().value
    moved = score_pairs(By(number_in), [pairs[i] for i in order]).outcomes().value
    assert value.tolist() == [float(a > b) for a, b in scores]
    assert moved.tolist() == value[order].tolist()


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match=r"'pair1'.*nan"):
        score_pairs(By(lambda text: float("nan") if text == "a 2" else 0.0), PAIRS)
    with pytest.raises(DataError, match="no pairs"):
        score_pairs(By(number_in), [])
    with pytest.raises(DataError, match="shape"):
        ScoredPairs("x", tuple(PAIRS), np.zeros(3), np.zeros(4))


def test_groups_are_read_from_meta() -> None:
    rows = Outcomes("x", (pair(0, "a", "b", subset="hard", task="t"), pair(1, "a", "b", task="t")), np.ones(2)).rows(
        group="subset"
    )
    assert [row.group for row in rows] == ["hard", "t"] and [row.cluster for row in rows] == ["q0", "q1"]


def verdicts(rule, pairs=PAIRS, protocol="double"):
    engine = ScriptedEngine(rule, name="scripted judge")
    return EngineJudge(engine).judge(games(*players(pairs), protocol=protocol, seed=3))


def shown_first(request: GenerationRequest) -> str:
    material = request.messages[-1].content
    return material.split("--- ANSWER A ")[1].splitlines()[1]


def test_a_fair_judge_in_both_orders() -> None:
    def fair(request: GenerationRequest) -> str:
        if "a 2" in request.messages[-1].content:
            return "[[A=B]]"
        if "a 9" in request.messages[-1].content:
            return "I cannot say."
        wins = shown_first(request) in ("a 3", "b 5")
        return "[[A>>B]]" if wins else "[[B>A]]"

    found = judged_pairs(PAIRS, verdicts(fair))
    assert found.value.tolist() == [1.0, 0.5, 0.0, 0.5]
    assert (found.tied, found.unparsed) == (2, 2)


def test_sides_of_a_verdict_may_be_exchanged() -> None:
    exchange = {"A>>B": "B>>A", "A>B": "B>A", "A=B": "A=B", "B>A": "A>B", "B>>A": "A>>B"}
    good = ("a 3", "b 2", "a 0", "b 8")
    played = verdicts(lambda request: "[[A>>B]]" if shown_first(request) in good else "[[B>A]]")
    turned = [
        row.model_copy(update={"a": row.b, "b": row.a, "order": row.order[::-1], "label": exchange[row.label]})
        for row in played
    ]
    assert judged_pairs(PAIRS, turned).value.tolist() == judged_pairs(PAIRS, played).value.tolist()
    assert judged_pairs(PAIRS, played).value.tolist() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("protocol", ["double", "single"])
def test_a_judge_of_places_scores_a_half(protocol: str) -> None:
    pairs = [pair(n, f"a {n}", f"b {n}") for n in range(200)]
    played = verdicts(lambda request: "[[A>B]]", pairs, protocol)
    found = judged_pairs(pairs, played)
    assert found.value.mean() == pytest.approx(0.5, abs=0.0 if protocol == "double" else 0.1)
    if protocol == "double":
        assert set(found.value) == {0.5}
        assert position_report(played, "chosen").flip_rate.estimate == 1.0


def test_judges_do_not_see_which_is_chosen() -> None:
    engine = ScriptedEngine(lambda request: "[[A=B]]")
    for game in games(*players(PAIRS)):
        shown = "\n".join(turn.content for turn in EngineJudge(engine).request(game).messages)
        assert "chosen" not in shown and "rejected" not in shown


def test_verdicts_that_do_not_fit_are_refused() -> None:
    played = verdicts(lambda request: "[[A>B]]")
    with pytest.raises(DataError, match="1 of 4 pairs have no game, the first is 'pair3'"):
        judged_pairs(PAIRS, [row for row in played if row.prompt_id != "pair3"])
    with pytest.raises(DataError, match="twice"):
        judged_pairs(PAIRS, [*played, played[0]])
    with pytest.raises(DataError, match="2 judges"):
        judged_pairs(PAIRS, [*played[1:], played[0].model_copy(update={"judge": "other"})])
    with pytest.raises(DataError, match="'pair0' stands more than once"):
        players([PAIRS[0], PAIRS[0]])


def test_a_reward_model_is_scored_by_its_own_logits(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, LlamaConfig

    from paribus.feedback.arbiters import RewardModelArbiter
    from paribus.models.load import load_reward

    tokenizer = _letters()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        num_labels=1,
        pad_token_id=0,
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    model = load_reward(tmp_path)
    found = score_pairs(RewardModelArbiter(model, tokenizer, identity="tiny"), PAIRS)
    for row, chosen, rejected in zip(PAIRS, found.chosen, found.rejected, strict=True):
        for text, score in ((row.chosen, chosen), (row.rejected, rejected)):
            turns = [{"role": "user", "content": row.prompt[0].content}, {"role": "assistant", "content": text}]
            ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
            with torch.inference_mode():
                assert float(model(ids).logits[0, 0]) == pytest.approx(score, abs=1e-5)


def test_long_pairs_are_set_apart() -> None:
    pairs = [pair(0, "a", "b"), pair(1, "a" * 90, "b"), pair(2, "a", "b" * 90)]
    kept, long = fitting(pairs, _letters(), 64)
    assert [row.id for row in kept] == ["pair0"] and [row.id for row in long] == ["pair1", "pair2"]
    assert fitting(pairs, None, None) == (pairs, [])


def _letters():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<user>", "<assistant>", "<end>", *letters])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = {"pad_token": "<pad>", "eos_token": "<end>", "extra_special_tokens": ["<user>", "<assistant>"]}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **special)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + '<end>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    )
    return tokenizer


def test_sides_keep_the_order_and_the_prompt() -> None:
    prompts, chosen, rejected = sides(PAIRS)
    assert [p.id for p in prompts] == [row.prompt_id for row in PAIRS]
    assert [c.text for c in chosen] == [row.chosen for row in PAIRS]
    assert [c.text for c in rejected] == [row.rejected for row in PAIRS]
    assert prompts[3].language == "sw" and prompts[0].meta["question_id"] == "q0"
