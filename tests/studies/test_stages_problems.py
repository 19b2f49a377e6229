"""Tasks and networks as configs of stages: sizes told without torch are those of the models that are built."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stage_folders import small
from transformers import LlamaConfig, LlamaForCausalLM

from paribus.models.sequence_shape import MIXERS
from paribus.studies.stages.problems import Draws, FormalProblem, Heads, PromptProblem, with_parameters
from paribus.testbeds.formal.tasks import BoundedDyck, IndexLookup, NearestNeighbour
from paribus.testbeds.incontext.classes import parse_class
from paribus.testbeds.incontext.prompts import encode

LOOKUP = FormalProblem(task=IndexLookup(length=6, symbols=4), longest=6)
DYCK = FormalProblem(task=BoundedDyck(length=8, pairs=2, depth=3), longest=20)
VECTORS = FormalProblem(task=NearestNeighbour(dimension=4, points=5), longest=5)
PROMPTS = PromptProblem(name="conjunction", dimensions=5, points=6, longest=9)
PROBLEMS = [LOOKUP, DYCK, VECTORS, PROMPTS]

Problem = FormalProblem | PromptProblem


def drawn(problem: Problem, seed: int = 0) -> dict[str, torch.Tensor]:
    return dict(problem.sampler()(3, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.kind)
@pytest.mark.parametrize("mixer", MIXERS)
def test_a_network_has_the_planned_parameters_and_answers_its_problem(mixer: str, problem: Problem) -> None:
    network = small(mixer)
    model = network.build(problem, seed=0)
    assert sum(weight.numel() for weight in model.parameters()) == network.parameters(problem)
    batch = drawn(problem)
    inputs = {name: batch[name] for name in ("input_ids", "inputs_embeds") if name in batch}
    logits = model(**inputs).logits
    assert logits.shape == (3, problem.tokens, problem.ends["outputs"])
    assert model.config.max_positions == problem.reach


def test_tables_of_positions_reach_the_longest_test() -> None:
    assert (LOOKUP.reach, DYCK.reach, PROMPTS.reach) == (LOOKUP.tokens, 20, 18)
    assert PromptProblem(name="parity", dimensions=4, points=6).reach == 12
    network = small().build(DYCK, seed=0)
    longest = DYCK.task.at(20).sample(2, torch.Generator().manual_seed(0))
    assert network(input_ids=longest["input_ids"]).logits.shape == (2, 20, 5)


def test_equal_seeds_give_equal_weights_and_other_seeds_others() -> None:
    first, again, other = (small().build(LOOKUP, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_prompts_for_training_are_drawn_as_asked() -> None:
    lessons = PROMPTS.model_copy(update={"draws": Draws(teaching=1.0, label_noise=0.1)})
    function_class = parse_class("conjunction", dimensions=5, points=6)
    expected = encode(function_class.sample(3, torch.Generator().manual_seed(1), teaching=1.0, label_noise=0.1))
    batch = drawn(lessons, seed=1)
    assert all(torch.equal(batch[name], expected[name]) for name in ("inputs_embeds", "labels"))


def test_settings_of_a_class_reach_it_whole_numbers_as_such() -> None:
    problem = PromptProblem(name="nearest_neighbour", dimensions=4, points=8, settings={"start": 3.0})
    assert problem.function_class() == parse_class("nearest_neighbour", dimensions=4, points=8, start=3)
    dense = PromptProblem(name="conjunction", dimensions=4, points=8, settings={"density": 0.5})
    assert dense.function_class().density == 0.5  # type: ignore[attr-defined]


# ---- Equal parameters ------------------------------------------------------------------------------------------------


@given(st.sampled_from(MIXERS), st.integers(1, 3000))
def test_no_other_feed_forward_width_comes_nearer(mixer: str, parameters: int) -> None:
    def off(size: int) -> int:
        return abs(small(mixer, ffn_size=size).parameters(LOOKUP) - parameters)

    found = with_parameters(small(mixer), LOOKUP, parameters)
    assert off(found.ffn_size) == min(off(size) for size in range(200))
    assert found.model_copy(update={"ffn_size": 0}) == small(mixer, ffn_size=0)


def test_a_mixer_that_is_too_large_alone_has_no_feed_forward_layer() -> None:
    assert with_parameters(small("lstm"), LOOKUP, 10).ffn_size == 0


# ---- Frozen bodies ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny language model on disk."""
    torch.manual_seed(7)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    folder = tmp_path_factory.mktemp("body")
    LlamaForCausalLM(LlamaConfig(vocab_size=32, max_position_embeddings=64, **sizes)).save_pretrained(folder)
    return folder


def heads(*, pretrained: bool, **changes: str) -> Heads:
    return Heads(pretrained=pretrained, head_width=8, body_parameters=1000, **changes)  # type: ignore[arg-type]


def test_both_bodies_have_the_same_heads_and_only_one_was_pretrained(body: Path) -> None:
    trained, fresh = (heads(pretrained=kept).build(PROMPTS, 0, body).state_dict() for kept in (True, False))
    there = LlamaForCausalLM.from_pretrained(body).model.state_dict()
    inside = [name for name in trained if name.startswith("body.")]
    assert all(torch.equal(trained[name], there[name.removeprefix("body.")]) for name in inside)
    assert all(torch.equal(trained[name], fresh[name]) for name in trained if name not in inside)
    matrices = [name for name in inside if trained[name].ndim == 2]
    assert matrices and not any(torch.equal(trained[name], fresh[name]) for name in matrices)


def test_the_seed_draws_heads_and_random_bodies(body: Path) -> None:
    for pretrained in (True, False):
        first, again, other = (heads(pretrained=pretrained).build(PROMPTS, seed, body) for seed in (0, 0, 1))
        same = again.state_dict()
        assert all(torch.equal(weight, same[name]) for name, weight in first.state_dict().items())
        assert not torch.equal(first.read_in[0].weight, other.read_in[0].weight)
    assert not torch.equal(first.body.layers[0].mlp.up_proj.weight, other.body.layers[0].mlp.up_proj.weight)


@pytest.mark.parametrize("freeze", ["all", "all_but_norms", "nothing"])
def test_what_is_frozen_does_not_learn(body: Path, freeze: str) -> None:
    model = heads(pretrained=True, freeze=freeze).build(PROMPTS, 0, body)
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    inside = {name for name, _ in model.named_parameters() if name.startswith("body.")}
    assert {name for name, _ in model.named_parameters()} - inside <= learning
    expected = {"all": set(), "all_but_norms": {name for name in inside if "norm" in name}, "nothing": inside}
    assert learning & inside == expected[freeze]


def test_a_frozen_body_saves_the_gradients_of_its_weights() -> None:
    """Forward and backward through activations: two operations each a parameter and token, of six."""
    assert heads(pretrained=True).training_flops(PROMPTS, 10) == 4 * 1000 * 10
    assert heads(pretrained=True, freeze="all_but_norms").training_flops(PROMPTS, 10) == 6 * 1000 * 10
