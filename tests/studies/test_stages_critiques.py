"""Stages of the reward-critiques study, called directly: what they leave behind, what planted readers make of it."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from stage_folders import Bench, item_values, measures, read

from paribus.data.stream import BatchStream
from paribus.errors import DataError
from paribus.evaluation.critic_quality import claim_reader
from paribus.evaluation.items import ItemRow, read_item_rows
from paribus.feedback.arbiters import RewardModelArbiter
from paribus.inference.engine import GenerationRequest
from paribus.inference.scripted import ScriptedEngine
from paribus.lab import Cost, write_items
from paribus.lab.store import hash_tree
from paribus.records import Completion, Critique, Example, PreferencePair, Prompt, read_records
from paribus.studies.stages import arbitrage, readers
from paribus.studies.stages.critiques import CriticConfig, CritiqueConfig, critic_examples, critique
from paribus.studies.stages.data import TokenizerConfig, tokenizer
from paribus.studies.stages.graded import (
    READER,
    TESTS,
    TUNING,
    GivenConfig,
    Graded,
    PartConfig,
    candidate_rows,
    given_pairs,
    graded_data,
    part_of,
    read_answers,
    read_pairs,
    truth_of,
)
from paribus.studies.stages.models import FinetuneConfig, PretrainConfig, Recipe, Shape, finetune, pretrain
from paribus.studies.stages.readers import (
    CONTROLS,
    ExamineConfig,
    GainConfig,
    ReaderConfig,
    Reads,
    examine_reader,
    gain,
    train_reader,
)
from paribus.studies.stages.rows import read_rows
from paribus.studies.stages.trained_judges import JudgeConfig, examine_judge, train_judge
from paribus.world.graded import read as read_claims

SMALL = Graded(languages=("de", "en"), corpus=60, pairs=24, tuning=8, practice=16, tests=24, judged=4, candidates=4)
SHAPE = Shape(hidden_size=16, layers=1, heads=2, key_value_heads=2, intermediate_size=32, context=512)
RECIPE = Recipe(steps=3, rows=4, length=128, learning_rate=1e-2)
LONG = RECIPE.model_copy(update={"length": 512})
MOST = 512  # tokens; the small vocabulary makes long inputs, and here nothing is to be cut
PERFECT = CriticConfig(accuracy=1.0, omission=0.0)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Data, a base that knows nothing, the critiques of a perfect critic and of one that is always wrong."""
    made = Bench(tmp_path_factory.mktemp("stages"))
    data = made("data", graded_data, SMALL, seed=0)
    vocabulary = made("tokenizer", tokenizer, TokenizerConfig(vocab_size=500), corpus=data)
    made("base", pretrain, PretrainConfig(shape=SHAPE, recipe=RECIPE), corpus=data, tokenizer=vocabulary, seed=0)
    for name, critic in {"perfect": PERFECT, "wrong": CriticConfig(accuracy=0.0)}.items():
        made(name, critique, CritiqueConfig(critic=critic), data=data, seed=0)
    return made


@pytest.fixture(scope="module")
def data(bench: Bench) -> Path:
    return bench.root / "data"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More pairs, with a strong cue and much noise in training."""
    config = SMALL.model_copy(update={"pairs": 400, "tests": 400, "cue_share": 0.8, "label_noise": 0.25})
    return Bench(tmp_path_factory.mktemp("many"))("data", graded_data, config, seed=0)


def rows_of(folder: Path, measure: str, file: str = "items.jsonl") -> list[ItemRow]:
    return [row for row in read_item_rows(folder / file) if row.measure == measure]


# ---- Data -----------------------------------------------------------------------------------------------------------


def test_data_have_as_many_rows_as_asked_for(data: Path) -> None:
    counts = {name: len(read_pairs(data, name)) for name in (READER, TESTS, TUNING)}
    assert counts == {READER: 24, TESTS: 24, TUNING: 8}
    assert len(read_answers(data, "practice.jsonl")) == 16
    answers = [answer.id for _, answer in read_answers(data)]
    assert Counter(name.split("/")[0] for name in answers) == {READER: 48, TESTS: 48, "judged": 16}
    assert len(set(answers)) == len(answers) and truth_of(data).keys() == set(answers)
    # The corpus: an answer to each request, and a true critique beside it.
    assert len(list(read_records(data / "train.jsonl", Example))) == 2 * 60


def test_pairs_name_the_answers_that_critics_are_asked_about(data: Path) -> None:
    answers = {answer.id: (prompt, answer) for prompt, answer in read_answers(data)}
    for pair in (*read_pairs(data, READER), *read_pairs(data, TESTS)):
        for side in ("chosen", "rejected"):
            prompt, answer = answers[pair.meta[f"{side}_id"]]
            assert (answer.text, prompt.id, prompt.messages) == (getattr(pair, side), pair.prompt_id, pair.prompt)
            assert prompt.meta["question_id"] == pair.meta["question_id"]


def test_answers_say_nothing_but_their_text(many: Path) -> None:
    """Neither fields, names, nor order tell which answer is preferred."""
    answers = [answer for _, answer in read_answers(many)]
    assert all((row.model, row.meta, row.score) == ("drawn", {}, None) for row in answers)
    places = {row.id: place for place, row in enumerate(answers)}
    pairs = [*read_pairs(many, READER), *read_pairs(many, TESTS)]
    first = [places[pair.meta["chosen_id"]] < places[pair.meta["rejected_id"]] for pair in pairs]
    assert 0.44 < fmean(first) < 0.56  # 800 pairs: beyond three standard errors of a half
    assert all(first) == all(pair.meta["chosen_id"].endswith("/a") for pair in pairs)


def test_no_question_is_in_two_parts(data: Path) -> None:
    practice = [prompt for prompt, _ in read_answers(data, "practice.jsonl")]
    corpus = {row.id.rpartition("/")[0].rpartition("/")[0] for row in read_records(data / "train.jsonl", Example)}
    parts = [
        *({pair.meta["question_id"] for pair in read_pairs(data, name)} for name in (READER, TESTS, TUNING)),
        {prompt.meta["question_id"] for prompt in practice},
        {row["cluster"] for row in candidate_rows(data)},
        corpus - {"critique/c"},
    ]
    assert all(parts) and not any(one & other for one, other in combinations(parts, 2))


def test_tests_are_labelled_by_the_truth_and_training_pairs_with_noise(many: Path) -> None:
    truth = truth_of(many)

    def right(pair: PreferencePair) -> bool:
        better, worse = (truth[pair.meta[f"{side}_id"]]["quality"] for side in ("chosen", "rejected"))
        return bool(better > worse)

    assert all(map(right, read_pairs(many, TESTS)))
    assert 0.68 < fmean(map(right, read_pairs(many, READER))) < 0.82  # 400 labels, 25% of them exchanged


def test_the_cue_follows_the_label_in_training_and_says_nothing_in_the_test(many: Path) -> None:
    truth = truth_of(many)
    for name, low, high in ((READER, 0.74, 0.86), (TESTS, 0.42, 0.58)):
        pairs = read_pairs(many, name)
        assert low < fmean(pair.meta["cue"] == "with" for pair in pairs) < high
        for pair in pairs:
            words = [truth[pair.meta[f"{side}_id"]]["wordiness"] for side in ("chosen", "rejected")]
            assert words == ([2, 0] if pair.meta["cue"] == "with" else [0, 2])


def test_the_group_is_the_first_aspect_that_differs(many: Path) -> None:
    truth = truth_of(many)
    for pair in read_pairs(many, TESTS):
        better, worse = (truth[pair.meta[f"{side}_id"]] for side in ("chosen", "rejected"))
        more = sum(better["parts_right"]) - sum(worse["parts_right"])
        assert (more > 0) == (pair.meta["group"] == "correctness") and more >= 0
        if pair.meta["group"] == "instruction":
            assert not set(better["errors"]) >= set(worse["errors"]) - {"repetition"}


def test_data_follow_from_the_seed(bench: Bench, data: Path) -> None:
    assert hash_tree(bench("again", graded_data, SMALL, seed=0)) == hash_tree(data)
    assert hash_tree(bench("other", graded_data, SMALL, seed=1)) != hash_tree(data)


def test_a_part_is_copied_under_the_name_that_training_reads(bench: Bench, data: Path) -> None:
    part = bench("part", part_of, PartConfig(name=TUNING), data=data)
    assert list(read_records(part / "pairs.jsonl", PreferencePair)) == read_pairs(data, TUNING)


def test_pairs_from_elsewhere_are_named_anew_and_have_no_truth(bench: Bench) -> None:
    """Ids of a file of ours that tell the label are gone from what critics read; a subset stays the pairs' group."""
    source = bench.root / "given-file"
    source.mkdir()
    rows = [
        {
            "id": f"p{n}",
            "prompt": f"question {n}",
            "chosen": f"good {n}",
            "rejected": f"bad {n}",
            "meta": {"chosen_id": f"good-{n}", "subset": "easy" if n % 2 else "hard"},
        }
        for n in range(12)
    ]
    (source / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = GivenConfig(pairs="file", tests="file", most_pairs=5)
    folder = bench("given", given_pairs, config, files={"reader": source, "tests": source}, seed=0)
    pairs, tests = read_pairs(folder, READER), read_pairs(folder, TESTS)
    assert (len(pairs), len(tests)) == (5, 12) and candidate_rows(folder) == [] and truth_of(folder) == {}
    answers = {answer.id: answer for _, answer in read_answers(folder)}
    assert len(answers) == 2 * 17 and not any("good" in name for name in answers)
    assert all(answers[pair.meta["chosen_id"]].text == pair.chosen for pair in (*pairs, *tests))
    assert all(answer.model == "given" and not answer.meta for answer in answers.values())


# ---- Critiques ------------------------------------------------------------------------------------------------------


def test_every_answer_has_one_critique_in_the_order_of_the_answers(bench: Bench, data: Path) -> None:
    written = list(read_records(bench.root / "perfect" / "critiques.jsonl", Critique))
    assert [row.completion_id for row in written] == [answer.id for _, answer in read_answers(data)]
    assert read(bench.root / "perfect" / "critic.json")["identity"] == written[0].critic


@pytest.mark.parametrize(("name", "right"), [("perfect", 1.0), ("wrong", 0.0)])
def test_the_quality_of_a_critic_is_that_of_its_claims(bench: Bench, name: str, right: float) -> None:
    rows = rows_of(bench.root / name, "claim_accuracy", "quality.jsonl")
    assert rows and {row.value for row in rows} == {right}
    assert {row.item.split("/")[1] for row in rows} == {TESTS}
    recall = [row.value for row in rows_of(bench.root / name, "claim_recall", "quality.jsonl")]
    assert (fmean(recall) == 1) if name == "perfect" else (0.7 < fmean(recall) < 0.9)  # a fifth is left out


def test_a_reader_of_true_claims_is_undecided_only_between_filler_and_repetition(bench: Bench, data: Path) -> None:
    pairs = {pair.id: pair for pair in read_pairs(data, TESTS)}
    rows = rows_of(bench.root / "perfect", "reading_accuracy", "quality.jsonl")
    assert [row.item for row in rows] == list(pairs)
    for row in rows:
        assert row.cluster == pairs[row.item].meta["question_id"]
        style = pairs[row.item].meta["group"] == "style" and pairs[row.item].meta["cue"] == "with"
        assert row.value == (0.5 if style else 1.0)


def test_exchanged_labels_change_no_critique(bench: Bench, data: Path) -> None:
    """Everything a critic could learn the label from, turned around: its critiques stay byte for byte."""
    turned = bench.root / "turned"
    turned.mkdir()
    for path in data.iterdir():
        (turned / path.name).write_bytes(path.read_bytes())
    for name in (READER, TESTS):
        rows = [json.loads(line) for line in (data / f"{name}.jsonl").read_text().splitlines()]
        for row in rows:
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
            meta = row["meta"]
            meta["chosen_id"], meta["rejected_id"] = meta["rejected_id"], meta["chosen_id"]
        (turned / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = bench("turned-critiques", critique, CritiqueConfig(critic=PERFECT), data=turned, seed=0)
    assert (again / "critiques.jsonl").read_bytes() == (bench.root / "perfect" / "critiques.jsonl").read_bytes()
    read_again = rows_of(again, "reading_accuracy", "quality.jsonl")
    before = rows_of(bench.root / "perfect", "reading_accuracy", "quality.jsonl")
    assert [row.value for row in read_again] == [1 - row.value for row in before]


def test_a_critic_of_rules_costs_no_tokens(bench: Bench, data: Path) -> None:
    bench("free", critique, CritiqueConfig(critic=PERFECT), data=data, seed=0)
    assert bench.cost == Cost()


def test_a_trained_critic_learns_from_answers_that_no_reward_model_sees(bench: Bench, data: Path) -> None:
    lessons = bench("lessons", critic_examples, CriticConfig(accuracy=1.0), data=data, seed=0)
    rows = list(read_records(lessons / "examples.jsonl", Example))
    assert len(rows) == 16 and all(row.task == "critique" and row.messages[-1].role == "assistant" for row in rows)
    asked = {prompt.id for prompt, _ in read_answers(data)}
    assert not asked & {row.meta["prompt_id"] for row in rows}
    model = bench("critic-model", finetune, FinetuneConfig(recipe=LONG), bench.root / "base", lessons, seed=0)
    config = CritiqueConfig(critic=CriticConfig(kind="trained"), max_tokens=4)
    folder = bench("trained", critique, config, data=data, model=model, seed=0)
    written = list(read_records(folder / "critiques.jsonl", Critique))
    assert len(written) == bench.cost.calls == len(read_answers(data))
    assert 0 < bench.cost.generated_tokens <= 4 * bench.cost.calls
    assert not any(row.aspects for row in written)  # nothing to edit claim by claim
    recalled = [len(rows_of(made, "claim_recall", "quality.jsonl")) for made in (folder, bench.root / "perfect")]
    assert recalled[0] == recalled[1] > 0  # who says nothing readable is counted, too


# ---- Training -------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """Raised in the place of training, with what was to be trained on."""

    def __init__(self, network: Any, dataset: Any) -> None:
        super().__init__("stopped before training")
        self.network, self.dataset = network, dataset


CUES = ("cue_against_accuracy", "cue_gap")

Caught = Callable[..., tuple[Any, list[list[int]], list[list[int]]]]


@pytest.fixture
def caught(bench: Bench, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caught:
    """The network, and the tokens of both sides of all pairs, with which a reader's training begins."""

    def stop(network: Any, dataset: Any, *rest: Any, order: str) -> None:
        assert order, "rows must come in the order of their pairs"
        raise Stopped(network, dataset)

    monkeypatch.setattr(readers, "fit", stop)

    def begun(pairs: int, critic: str = "", reads: Reads = "both", seed: int = 0) -> Any:
        config = ReaderConfig(recipe=RECIPE, pairs=pairs, reads=reads, most_tokens=MOST)
        with pytest.raises(Stopped) as stopped:
            train_reader.function(
                config,
                model=bench.root / "base",
                data=data,
                critiques=bench.root / critic if critic else None,
                out=tmp_path,
                seed=seed,
            )
        given = stopped.value.dataset
        sides = [[list(row.input_ids) for row in side] for side in (given.chosen, given.rejected)]
        return stopped.value.network, *sides

    return begun


def test_numbers_of_pairs_nest_and_seeds_draw_their_own(caught: Caught) -> None:
    _, few, _ = caught(6)
    _, more, _ = caught(18)
    _, other, _ = caught(18, seed=1)
    assert len(few) == 6 and more[:6] == few
    assert len(other) == 18 and other != more


def test_with_critiques_the_same_pairs_begin_with_the_same_words(caught: Caught) -> None:
    """Prompt and answer stand first, the critique behind; head and body are those of the baseline to the last bit."""
    network, chosen, rejected = caught(12)
    for reads in ("both", *(name for name in CONTROLS if name != "swapped")):
        other, *sides = caught(12, "perfect", reads)
        for bare, shown in zip((*chosen, *rejected), (*sides[0], *sides[1]), strict=True):
            ends = next(n for n, pair in enumerate(zip(bare, shown, strict=False)) if pair[0] != pair[1])
            assert ends >= len(bare) - 2 and len(shown) > len(bare)  # what closes the turn comes after the critique
        weights = zip(network.state_dict().items(), other.state_dict().items(), strict=True)
        assert all(a == b and bool((x == y).all()) for (a, x), (b, y) in weights)


def test_who_reads_answers_alone_sees_no_critique(caught: Caught) -> None:
    assert caught(8, "perfect", "answer_only")[1:] == caught(8, "", "answer_only")[1:]
    assert max(map(len, caught(8, "", "answer_only")[1])) < max(map(len, caught(8)[1]))


def test_a_reader_is_the_same_bytes_every_time_and_counts_pairs(bench: Bench, data: Path) -> None:
    config = ReaderConfig(recipe=RECIPE, pairs=8, most_tokens=MOST)
    inputs = {"model": bench.root / "base", "data": data, "critiques": bench.root / "perfect"}
    first = bench("reader", train_reader, config, **inputs, seed=0)
    assert bench.cost.examples == RECIPE.steps * RECIPE.rows
    assert hash_tree(bench("reader-again", train_reader, config, **inputs, seed=0)) == hash_tree(first)
    assert hash_tree(bench("reader-seed", train_reader, config, **inputs, seed=1)) != hash_tree(first)
    cut = read(first / "cut.json")
    assert (cut["rows"], cut["prompts"], cut["share"]) == (8, 0, 0.0) and cut["longest"] > 0


# ---- Examination ----------------------------------------------------------------------------------------------------

Score = Callable[[Prompt, str], float]


@pytest.fixture
def planted(bench: Bench, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Examinations of a reward model that scores by a rule what it is shown."""
    from paribus.models.load import load_tokenizer

    vocabulary = load_tokenizer(bench.root / "base")

    def examined(score: Score, critic: str = "", **config: Any) -> Path:
        def scores(prompts: Sequence[Prompt], answers: Sequence[Completion]) -> Any:
            return np.array([score(*row) for row in zip(prompts, (answer.text for answer in answers), strict=True)])

        arbiter = SimpleNamespace(tokenizer=vocabulary, score=scores, identity="planted")
        monkeypatch.setattr(RewardModelArbiter, "load", lambda *path, **options: arbiter)
        given = {"model": bench.root / "base", "data": data, "critiques": bench.root / critic if critic else None}
        return Bench(tmp_path)(
            str(len(list(tmp_path.iterdir()))), examine_reader, ExamineConfig(most_tokens=MOST, **config), **given
        )

    return examined


def by_claims(prompt: Prompt, text: str) -> float:
    """What critiques claim, and nothing else."""
    return claim_reader(read_claims)(text, prompt.language)


def by_length(prompt: Prompt, text: str) -> float:
    return float(len(text))


def undecided(data: Path) -> set[str]:
    """Test pairs whose true claims speak as well of either answer."""
    pairs = read_pairs(data, TESTS)
    return {pair.id for pair in pairs if (pair.meta["group"], pair.meta["cue"]) == ("style", "with")}


def test_who_reads_true_claims_orders_all_pairs_and_exchanged_none(data: Path, planted: Callable[..., Path]) -> None:
    ties = undecided(data)
    for reads, right in (("both", 1.0), ("critique_only", 1.0), ("swapped", 0.0)):
        folder = planted(by_claims, "perfect", reads=reads)
        values = {row.item: row.value for row in rows_of(folder, "pair_accuracy")}
        assert values == {pair.id: 0.0 if pair.id in ties else right for pair in read_pairs(data, TESTS)}
    lies = planted(by_claims, "wrong")
    assert fmean(item_values(lies, "pair_accuracy")) < 0.2  # omissions leave some pairs to the style


def test_scores_stand_beside_the_pairs_and_say_what_the_items_say(data: Path, planted: Callable[..., Path]) -> None:
    folder = planted(by_length)
    pairs = read_pairs(data, TESTS)
    rows = read_rows(folder / "scores.jsonl")
    assert [(row["pair"], row["chosen"], row["rejected"]) for row in rows] == [
        (pair.id, len(pair.chosen), len(pair.rejected)) for pair in pairs
    ]
    assert item_values(folder, "pair_accuracy") == [float(row["chosen"] > row["rejected"]) for row in rows]


def test_who_takes_the_longer_answer_fails_where_the_cue_misleads(data: Path, planted: Callable[..., Path]) -> None:
    folder = planted(by_length)
    against = {pair.id for pair in read_pairs(data, TESTS) if pair.meta["cue"] == "against"}
    rows = rows_of(folder, "cue_against_accuracy")
    assert {row.item for row in rows} == against and 0 < len(against) < 24
    accuracy = {row.item: row.value for row in rows_of(folder, "pair_accuracy")}
    assert {row.item: row.value for row in rows} == {name: accuracy[name] for name in against}
    assert fmean(row.value for row in rows) < 0.4 < fmean(v for name, v in accuracy.items() if name not in against)


def test_the_gap_by_cue_is_a_difference_of_accuracies(data: Path, planted: Callable[..., Path]) -> None:
    folder = planted(by_length)
    cues = {pair.id: pair.meta["cue"] for pair in read_pairs(data, TESTS)}
    sides: dict[str, list[float]] = {"with": [], "against": []}
    for row in rows_of(folder, "pair_accuracy"):
        sides[cues[row.item]].append(row.value)
    gap = fmean(row.value for row in rows_of(folder, "cue_gap"))
    assert gap == pytest.approx(fmean(sides["with"]) - fmean(sides["against"])) and gap > 0.1


def test_with_critiques_and_without_every_step_has_the_same_pairs(caught: Caught) -> None:
    streams = [BatchStream(caught_set, 4, seed=3, order="pairs 12") for caught_set in _datasets(caught)]
    assert streams[0].data_hash != streams[1].data_hash
    for step in range(9):
        assert streams[0].rows(step).tolist() == streams[1].rows(step).tolist()


class Counted:
    """A data set of so many rows."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows, self.data_hash = rows, str(hash(str(rows)))

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: Any) -> Any:
        raise NotImplementedError


def _datasets(caught: Caught) -> list[Counted]:
    return [Counted(caught(12, critic)[1]) for critic in ("", "perfect")]


def test_the_best_of_n_lies_between_the_mean_and_the_best(data: Path, planted: Callable[..., Path]) -> None:
    offered: dict[str, list[float]] = {}
    for row in candidate_rows(data):
        offered.setdefault(row["prompt_id"], []).append(row["quality"])
    flat = planted(lambda prompt, text: 0.0)
    for measure in ("best_of_1", "best_of_2", "best_of_4", "best_of_n"):
        found = {row.item: row.value for row in rows_of(flat, measure)}
        assert found == pytest.approx({name: fmean(own) for name, own in offered.items()})
    assert "best_of_8" not in measures(flat)  # there are four answers
    knowing = planted(by_claims, "perfect")
    best = {row.item: row.value for row in rows_of(knowing, "best_of_n")}
    # Claims do not tell one filler sentence from two: a fifth of the style's weight of .04.
    assert all(max(offered[name]) - 0.0401 <= value <= max(offered[name]) for name, value in best.items())


def test_other_readings_are_not_asked_to_choose(planted: Callable[..., Path]) -> None:
    assert measures(planted(by_claims, "perfect", reads="critique_only")) == {"pair_accuracy", *CUES}
    assert "edits_followed" not in measures(planted(by_length))


def test_edits_are_followed_by_who_reads_claims_and_not_by_who_counts(data: Path, planted: Callable[..., Path]) -> None:
    follows = planted(by_claims, "perfect", edited=5)
    values = item_values(follows, "edits_followed")
    assert len(values) == 5 * 7 and set(values) == {1.0}  # two parts and five more claims of every answer
    rows = read_rows(follows / "edits.jsonl")
    questions = {prompt.meta["question_id"] for prompt, _ in read_answers(data)}
    assert len({row["item"] for row in rows}) == len(rows) and {row["cluster"] for row in rows} <= questions
    assert all((row["after"] - row["before"]) * row["direction"] > 0 for row in rows)
    ignores = planted(lambda prompt, text: 1.0, "perfect", edited=5)
    assert set(item_values(ignores, "edits_followed")) == {0.0}  # a reward that does not move follows nothing


def test_a_trained_reader_is_examined_on_all_of_it(bench: Bench, data: Path) -> None:
    given = {"data": data, "critiques": bench.root / "perfect"}
    model = bench(
        "whole-reader",
        train_reader,
        ReaderConfig(recipe=RECIPE, pairs=8, most_tokens=MOST),
        bench.root / "base",
        **given,
        seed=0,
    )
    folder = bench("whole-examined", examine_reader, ExamineConfig(most_tokens=MOST, edited=2), model=model, **given)
    best = {f"best_of_{n}" for n in (1, 2, 4, "n")}
    assert measures(folder) == {"pair_accuracy", *CUES, "edits_followed", *best}
    assert bench.cost.calls == 2 * 24 + 4 * 4 + 2 + 2 * 7  # pairs, candidates, critiques as they were and edited
    assert read(folder / "cut.json")["rows"] == 24


def test_an_answer_without_a_critique_stops_the_examination(
    bench: Bench, data: Path, planted: Callable[..., Path]
) -> None:
    short = bench.root / "short"
    short.mkdir()
    lines = (bench.root / "perfect" / "critiques.jsonl").read_text().splitlines(keepends=True)
    (short / "critiques.jsonl").write_text("".join(line for line in lines if '"tests/3/a"' not in line))
    with pytest.raises(DataError, match="1 of 24 pairs have no critique of one of their answers"):
        planted(by_claims, "short")


def test_the_gain_is_taken_item_by_item(bench: Bench) -> None:
    folders = []
    for name, values in (("given", (1.0, 0.0, 1.0)), ("bare", (0.0, 1.0, 1.0))):
        folder = bench.root / f"gain-{name}"
        folder.mkdir()
        rows = [
            {
                "measure": measure,
                "item": f"p{n}",
                "cluster": f"q{n // 2}",
                "language": "en",
                "value": value,
                "group": "g",
            }
            for measure in ("pair_accuracy", "cue_against_accuracy")
            for n, value in enumerate(values)
        ]
        write_items(folder, rows if name == "given" else reversed(rows))
        folders.append(folder)
    found = bench("gain", gain, GainConfig(measure="pair_accuracy"), *folders)
    rows = rows_of(found, "critique_gain")
    assert measures(found) == {"critique_gain"}
    assert [(row.item, row.cluster, row.value) for row in rows] == [
        ("p0", "q0", 1.0),
        ("p1", "q0", -1.0),
        ("p2", "q1", 0.0),
    ]


# ---- Judges ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def judged(bench: Bench, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Examinations of a judge that answers by a rule."""

    def examined(rule: Callable[[str], str], critic: str = "") -> Path:
        def reply(request: GenerationRequest) -> str:
            return rule(request.messages[0].content)

        monkeypatch.setattr(arbitrage, "open_engine", lambda model, name: ScriptedEngine(reply, name=name))
        given = {"model": bench.root / "base", "data": data, "critiques": bench.root / critic if critic else None}
        return Bench(tmp_path)(str(len(list(tmp_path.iterdir()))), examine_judge, **given)

    return examined


def by_claims_of_both(shown: str) -> str:
    """The letter of the answer of which the critiques claim more; A if they claim as much."""
    first, second = shown.split("\n[A]\n")[1].split("\n[B]\n")
    marks = [max(by_words(side, code) for code in SMALL.languages) for side in (first, second)]
    return "A" if marks[0] >= marks[1] else "B"


def by_words(text: str, language: str) -> tuple[bool, float]:
    found = claim_reader(read_claims)(text, language)
    return bool(read_claims(text, language)), found


def test_a_judge_of_true_claims_orders_all_pairs(data: Path, judged: Callable[..., Path]) -> None:
    ties = undecided(data)
    rows = rows_of(judged(by_claims_of_both, "perfect"), "pair_accuracy")
    assert {row.item: row.value for row in rows} == {
        pair.id: 0.5 if pair.id in ties else 1.0 for pair in read_pairs(data, TESTS)
    }
    assert {row.group for row in rows} == {pair.meta["group"] for pair in read_pairs(data, TESTS)}


@pytest.mark.parametrize("word", ["A", "B", "neither", ""])
def test_a_judge_that_does_not_read_is_worth_a_half(judged: Callable[..., Path], word: str) -> None:
    folder = judged(lambda shown: word)
    assert item_values(folder, "pair_accuracy") == [0.5] * 24
    rows = read_rows(folder / "verdicts.jsonl")
    assert len(rows) == 48 and {row["label"] for row in rows} == ({"A>B", "B>A"} if word in ("A", "B") else {None})


def test_judges_with_and_without_critiques_are_shown_the_same_comparisons(
    bench: Bench, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paribus.feedback import short_judge

    seen: list[list[tuple[str, str, str]]] = []
    real = short_judge.judge_examples

    def kept(rows: Any) -> Any:
        seen.append(
            [
                (prompt.id, chosen.split("\n\n[critique]")[0], other.split("\n\n[critique]")[0])
                for prompt, chosen, other in rows
            ]
        )
        return real(rows)

    monkeypatch.setattr(short_judge, "judge_examples", kept)
    for critic in (None, bench.root / "perfect"):
        given = {"model": bench.root / "base", "data": data, "critiques": critic, "seed": 3}
        bench(f"judge-{critic is None}", train_judge, JudgeConfig(recipe=LONG, pairs=6), **given)
        assert bench.cost.examples == RECIPE.steps * RECIPE.rows
    assert seen[0] == seen[1] and len(seen[0]) == 6
    short = JudgeConfig(recipe=RECIPE.model_copy(update={"length": 32}), pairs=6)
    with pytest.raises(DataError, match=r"the longest has \d+ tokens of 32 allowed"):
        bench("judge-short", train_judge, short, model=bench.root / "base", data=data, seed=0)
