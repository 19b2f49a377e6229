"""upcycle and export: what comes out is the mixture asked for, told in numbers that are those of the model itself."""

import json
from pathlib import Path

import pytest
import torch
from cli_calls import call, sentence
from parts_small import model_folder
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from paribus.models.load import load_causal
from paribus.weights.upcycling_settings import UpcycleSettings

WEIGHTS = "model.safetensors"
NAMES = ("seed", "code", "law", "math")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    for seed, name in enumerate(NAMES):
        model_folder(folder / name, seed=seed)
    model_folder(folder / "parallel", "cohere")
    return folder


def upcycle(shelf: Path, out: Path, *more: object, models: tuple[str, ...] = NAMES):
    return call("upcycle", *(shelf / name for name in models), "--out", out, *more)


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def logits(folder: Path) -> torch.Tensor:
    ids = torch.arange(4, 20)[None]
    with torch.no_grad():
        return load_causal(folder)(input_ids=ids).logits


@pytest.mark.parametrize("variant", ["expert_kv", "shared_kv", "btx", "sparse_upcycling", "dense_average"])
def test_the_numbers_told_are_those_of_the_model(shelf: Path, tmp_path: Path, variant: str) -> None:
    done = upcycle(shelf, tmp_path / "m", "--variant", variant)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'm'}\n"
    model, sizes = load_causal(tmp_path / "m"), record(tmp_path / "m")["results"]["sizes"]
    total = sum(weight.numel() for weight in model.parameters())
    active = total - model.inactive_parameters
    assert (sizes["parameters"], sizes["active_parameters"]) == (total, active)
    assert f"{total:,} parameters, {active:,} of them active" in done.stderr
    cache = model(input_ids=torch.arange(4, 9)[None], use_cache=True).past_key_values
    numbers = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert sizes["kv_bytes_per_token"] == 2 * numbers // 5
    origins = record(tmp_path / "m")["results"]["origins"]
    routers = sum(weight.numel() for name, weight in model.named_parameters() if "router" in name)
    assert sum(origins.values()) == total and origins.get("drawn (routers)", 0) == routers
    assert AutoTokenizer.from_pretrained(tmp_path / "m").chat_template


def test_what_is_said_to_be_copied_is_and_the_rest_is_the_mean(shelf: Path, tmp_path: Path) -> None:
    assert upcycle(shelf, tmp_path / "m").exit_code == 0
    mixture, dense = load_file(tmp_path / "m" / WEIGHTS), [load_file(shelf / name / WEIGHTS) for name in NAMES]
    prefix, copied = "model.layers.1.", 0
    for number, source in enumerate(dense):
        stack = mixture[f"{prefix}mlp.experts.down_proj"][number]
        assert torch.equal(stack, source[f"{prefix}mlp.down_proj.weight"])
        copied += sum(tensor.numel() for name, tensor in source.items() if name.endswith("_proj.weight"))
    mean = torch.stack([source["model.norm.weight"].double() for source in dense]).mean(0).float()
    assert torch.equal(mixture["model.norm.weight"], mean)
    assert record(tmp_path / "m")["results"]["origins"]["copied"] == copied


def test_options_reach_the_mixture(shelf: Path, tmp_path: Path) -> None:
    more = ("--variant", "btx", "--ffn-sources", "0, 1,2,3,0,0", "--top-k", 3, "--gate-norm", "renormalised")
    coefficients = ("--load-balance", 0.5, "--router-z", 0.25, "--dtype", "bfloat16", "--router-std", 0, "--seed", 3)
    done = upcycle(shelf, tmp_path / "m", *more, *coefficients)
    assert done.exit_code == 0, done.stderr
    config, weights = json.loads((tmp_path / "m" / "config.json").read_text()), load_file(tmp_path / "m" / WEIGHTS)
    assert (config["ffn_experts"], config["ffn_top_k"], config["ffn_gate_norm"]) == (6, 3, "renormalised")
    assert (config["load_balance_coefficient"], config["router_z_coefficient"]) == (0.5, 0.25)
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert not weights["model.layers.0.mlp.router.weight"].any()
    stack = weights["model.layers.0.mlp.experts.down_proj"]
    assert torch.equal(stack[0], stack[4]) and torch.equal(stack[0], stack[5]) and not torch.equal(stack[0], stack[1])
    assert record(tmp_path / "m")["options"]["ffn_sources"] == [0, 1, 2, 3, 0, 0]


def test_split_and_blended_experts_and_masked_attention(shelf: Path, tmp_path: Path) -> None:
    halves = upcycle(shelf, tmp_path / "s", "--variant", "btx", "--split", 2, "--top-k", 2)
    blended = upcycle(shelf, tmp_path / "b", "--variant", "btx", "--split", 4, "--blend")
    attended = upcycle(shelf, tmp_path / "a", "--attention-top-k", 2, "--attention-gate-norm", "renormalised")
    assert [done.exit_code for done in (halves, blended, attended)] == [0, 0, 0]
    configs = {name: json.loads((tmp_path / name / "config.json").read_text()) for name in "sba"}
    assert (configs["s"]["ffn_experts"], configs["s"]["intermediate_size"]) == (8, 24)
    assert (configs["b"]["ffn_experts"], configs["b"]["intermediate_size"]) == (4, 48)
    assert (configs["a"]["attention_top_k"], configs["a"]["attention_gate_norm"]) == (2, "renormalised")


def test_the_seed_of_routers_decides_them_alone(shelf: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert upcycle(shelf, tmp_path / name, "--seed", seed).exit_code == 0
    a, b, c = (load_file(tmp_path / name / WEIGHTS) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert {name for name in a if not torch.equal(a[name], c[name])} == {name for name in a if "router" in name}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--gate-norm", "raw"), "Note: raw gates sum to about 1/4"),
        (("--gate-norm", "raw", "--top-k", 2), "--gate-norm renormalised starts at full strength"),
        (("--gate-norm", "renormalised"), "the text teaches its router nothing"),
        (("--gate-norm", "scaled"), None),
        (("--gate-norm", "renormalised", "--top-k", 2), None),
        (("--gate-norm", "raw", "--top-k", 4), None),
        (("--variant", "dense_average"), None),
    ],
)
def test_gates_that_surprise_are_told(shelf: Path, tmp_path: Path, more: tuple[object, ...], said: str | None) -> None:
    told = upcycle(shelf, tmp_path / "m", *more).stderr
    assert "active for a token" in told
    assert said in told if said else "Note:" not in told


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--variant", "bam"), "--variant"),
        (("--ffn-sources", "0,one"), "--ffn-sources"),
        (("--ffn-sources", "0,9"), "[0, 9]"),
        (("--top-k", 5), "choose from 1 to 4"),
        (("--seed-model", 4), "numbers 0 to 3"),
        (("--variant", "btx", "--attention-top-k", 2), "attention_top_k"),
        (("--variant", "dense_average", "--split", 2), "split"),
        (("--split", 7), "does not divide"),
        (("--blend",), "at least 2"),
        (("--router-std", -1), "router_std"),
        (("--dtype", "int8"), "int8"),
        (("--shard-size", "many"), "many"),
    ],
)
def test_options_that_cannot_be_used(shelf: Path, tmp_path: Path, more: tuple[object, ...], said: str) -> None:
    done = upcycle(shelf, tmp_path / "m", *more)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "m").exists()


def test_models_that_do_not_fit_are_refused_with_every_difference(shelf: Path, tmp_path: Path) -> None:
    done = upcycle(shelf, tmp_path / "m", models=("seed", "parallel"))
    assert done.exit_code == 2 and "model_type" in done.stderr and "post_attention_layernorm" in done.stderr
    assert not (tmp_path / "m").exists()


def test_a_folder_that_is_there_is_not_overwritten(shelf: Path, tmp_path: Path) -> None:
    assert upcycle(shelf, tmp_path / "m").exit_code == 0
    before = (tmp_path / "m" / WEIGHTS).read_bytes()
    assert "not an empty directory" in sentence(upcycle(shelf, tmp_path / "m", "--variant", "btx"))
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == before


def test_an_exported_mixture_is_the_same_function_in_transformers(shelf: Path, tmp_path: Path) -> None:
    more = ("--variant", "btx", "--top-k", 2, "--gate-norm", "renormalised", "--router-std", 1)
    assert upcycle(shelf, tmp_path / "m", *more).exit_code == 0
    done = call("export", tmp_path / "m", "--out", tmp_path / "e")
    assert done.exit_code == 0, done.stderr
    assert "MixtralForCausalLM (mixtral)" in done.stderr and "Note: The balancing losses" in done.stderr
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "e")
    assert type(model).__name__ == "MixtralForCausalLM"
    with torch.no_grad():
        theirs = model(input_ids=torch.arange(4, 20)[None]).logits
    torch.testing.assert_close(theirs, logits(tmp_path / "m"), atol=1e-5, rtol=1e-4)
    assert record(tmp_path / "e")["results"]["target"] == "mixtral"
    assert AutoTokenizer.from_pretrained(tmp_path / "e").chat_template


@pytest.mark.parametrize("to", ["auto", "mixtral", "qwen2_moe"])
def test_attention_experts_cannot_be_exported(shelf: Path, tmp_path: Path, to: str) -> None:
    assert upcycle(shelf, tmp_path / "m").exit_code == 0
    done = call("export", tmp_path / "m", "--out", tmp_path / "e", "--to", to)
    assert done.exit_code == 2 and "no attention experts, the mixture has 4" in done.stderr
    assert not (tmp_path / "e").exists()


def test_what_is_no_mixture_and_classes_that_are_unknown_are_refused(shelf: Path, tmp_path: Path) -> None:
    assert "'llama'" in sentence(call("export", shelf / "seed", "--out", tmp_path / "e"))
    assert upcycle(shelf, tmp_path / "m", "--variant", "btx").exit_code == 0
    assert "gpt5" in sentence(call("export", tmp_path / "m", "--out", tmp_path / "e", "--to", "gpt5"))


def test_defaults_of_the_command_are_those_of_the_function() -> None:
    """The command says 4 models are mixed as ``upcycle`` would by default."""
    from inspect import signature

    from paribus.cli.parts_upcycling import upcycle as command

    given = {name: parameter.default for name, parameter in signature(command).parameters.items()}
    settings = UpcycleSettings("expert_kv", 4)
    names = {"top_k": "ffn_top_k", "gate_norm": "ffn_gate_norm", "seed": "router_seed"}
    names |= {"load_balance": "load_balance_coefficient", "router_z": "router_z_coefficient"}
    same = ["seed_model", "attention_top_k", "attention_gate_norm", "split", "blend", "router_std", *names]
    assert {name: given[name] for name in same} == {name: getattr(settings, names.get(name, name)) for name in same}
