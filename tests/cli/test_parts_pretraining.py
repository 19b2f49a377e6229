"""pretrain for a new user: text by shares, runs that resume to the byte, trials on held-out text, refusals."""

import json
import math
from pathlib import Path

import pytest
import torch
from cli_calls import call, sentence
from hypothesis import given
from hypothesis import strategies as st
from parts_small import model_folder, rows, write
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from paribus.cli.parts_domains import parse_domains, parse_sources
from paribus.errors import ConfigError

SHORT = ("--length", 48, "--batch-size", 4, "--learning-rate", 3e-3, "--threads", 1)
WEIGHTS = "model.safetensors"


def texts(word: str, count: int, start: int = 0) -> list[dict]:
    return [{"text": f"{word} {n} {word * 3}.", "language": "en"} for n in range(start, start + count)]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    for seed, name in enumerate(("seed", "expert")):
        model_folder(folder / name, seed=seed)
    assert call("upcycle", folder / "seed", folder / "expert", "--out", folder / "mixture").exit_code == 0
    write(folder / "general.jsonl", texts("sun", 60))
    write(folder / "code.jsonl", texts("print", 60))
    write(folder / "test.jsonl", texts("print", 6, start=100))
    return folder


def pretrain(shelf: Path, out: Path, *more: object, model: str = "seed", only: tuple[str, ...] = ("general", "code")):
    named = [word for name in only for word in ("--text", f"{name}={shelf / name}.jsonl")]
    return call("pretrain", shelf / model, *named, "--out", out, *SHORT, *more)


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


# ---- What comes out --------------------------------------------------------------------------------------------------


def test_a_dense_model_learns_both_domains_by_equal_shares(shelf: Path, tmp_path: Path) -> None:
    done = pretrain(shelf, tmp_path / "m", "--steps", 12)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'm'}\n"
    AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert AutoTokenizer.from_pretrained(tmp_path / "m").chat_template
    losses = [row["loss"] for row in rows(tmp_path / "m" / "history.jsonl")]
    assert len(losses) == 12 and losses[-1] < losses[0] - 0.3
    found = record(tmp_path / "m")
    shares = {name: found["inputs"][f"text {name}"] for name in ("general", "code")}
    assert all(abs(share["share"] - 0.5) < 0.02 and share["wanted"] == 0.5 for share in shares.values())
    assert [share["documents"] for share in shares.values()] == [60, 60]
    assert found["cost"]["targets"] < found["cost"]["tokens"], "the first token of a document is no target"
    assert not (tmp_path / "m" / "checkpoints").exists()


def test_every_token_but_the_first_of_a_document_is_learned(shelf: Path, tmp_path: Path) -> None:
    """One step of 120 rows, a document each: targets are tokens less one a row."""
    assert pretrain(shelf, tmp_path / "m", "--steps", 1, "--batch-size", 120, "--no-packing").exit_code == 0
    cost = record(tmp_path / "m")["cost"]
    assert cost["tokens"] > 120 * 10 and cost["tokens"] - cost["targets"] == 120


def test_shares_are_told_and_met(shelf: Path, tmp_path: Path) -> None:
    words = ("--text", f"code={shelf / 'code.jsonl'}:0.9", "--text", f"general={shelf / 'general.jsonl'}")
    done = call("pretrain", shelf / "seed", *words, "--out", tmp_path / "m", "--steps", 1, *SHORT)
    assert done.exit_code == 0, done.stderr
    assert "(asked for: 90.0%); passes over its text: 1" in done.stderr
    facts = record(tmp_path / "m")["inputs"]
    assert facts["text code"]["share"] == pytest.approx(0.9, abs=0.01)
    assert facts["text general"]["wanted"] == pytest.approx(0.1)


def test_text_runs_out_unless_it_may_be_repeated(shelf: Path, tmp_path: Path) -> None:
    assert "'general' has" in sentence(pretrain(shelf, tmp_path / "m", "--steps", 1, "--tokens", 100_000))
    done = pretrain(shelf, tmp_path / "m", "--steps", 1, "--tokens", 20_000, "--repeat")
    assert done.exit_code == 0, done.stderr
    assert record(tmp_path / "m")["inputs"]["text code"]["epochs"] > 2
    assert "--repeat needs --tokens" in sentence(pretrain(shelf, tmp_path / "n", "--repeat"))


def test_long_documents_are_cut_and_none_is_lost(shelf: Path, tmp_path: Path) -> None:
    long = write(tmp_path / "long.jsonl", [{"text": "abcdefgh " * 100, "language": "en"}])
    words = ("--text", f"long={long}", "--steps", 1, "--out", tmp_path / "m")
    assert call("pretrain", shelf / "seed", *words, *SHORT).exit_code == 0
    facts = record(tmp_path / "m")["inputs"]["text long"]
    parts = math.ceil(901 / 47)  # BOS, 900 bytes, EOS: 901 predictions, 47 in a row of 48
    assert (facts["rows"], facts["tokens"]) == (parts, 901 + parts)


# ---- Mixtures --------------------------------------------------------------------------------------------------------


def test_a_mixture_trains_with_its_balancing_loss_and_frozen_experts_stay(shelf: Path, tmp_path: Path) -> None:
    more = ("--freeze", "*.mlp.experts.*", "--freeze", "*.o_proj.*", "--router-learning-rate", 1e-2)
    done = pretrain(shelf, tmp_path / "m", "--steps", 4, *more, model="mixture")
    assert done.exit_code == 0, done.stderr
    assert "aux_loss" in done.stderr and rows(tmp_path / "m" / "history.jsonl")[0]["aux_loss"] > 0
    before, after = load_file(shelf / "mixture" / WEIGHTS), load_file(tmp_path / "m" / WEIGHTS)
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert still == {name for name in before if "mlp.experts" in name or "o_proj" in name}
    assert record(tmp_path / "m")["options"]["freeze"] == ["*.mlp.experts.*", "*.o_proj.*"]


def test_routers_have_a_learning_rate_of_their_own(shelf: Path, tmp_path: Path) -> None:
    moved = {}
    for name, rate in (("slow", 1e-6), ("fast", 1e-2)):
        done = pretrain(shelf, tmp_path / name, "--steps", 2, "--router-learning-rate", rate, model="mixture")
        assert done.exit_code == 0, done.stderr
        before, after = load_file(shelf / "mixture" / WEIGHTS), load_file(tmp_path / name / WEIGHTS)
        router = "model.layers.0.mlp.router.weight"
        moved[name] = float((after[router] - before[router]).abs().max())
    assert moved["fast"] > 100 * moved["slow"] > 0


def test_routers_have_a_weight_decay_of_their_own(shelf: Path, tmp_path: Path) -> None:
    """A decay of 100 at a rate of 3e-3 takes nearly a third in a step, and nothing of another matrix."""
    done = pretrain(shelf, tmp_path / "m", "--steps", 1, "--router-weight-decay", 100, "--warmup", 0, model="mixture")
    assert done.exit_code == 0, done.stderr
    before, after = load_file(shelf / "mixture" / WEIGHTS), load_file(tmp_path / "m" / WEIGHTS)
    kept = {name: float(after[name].norm() / before[name].norm()) for name in before if "layers.0" in name}
    assert kept["model.layers.0.mlp.router.weight"] == pytest.approx(0.7, abs=0.05)
    assert kept["model.layers.0.self_attn.o_proj.weight"] > 0.95


@pytest.mark.parametrize("option", ["--router-learning-rate", "--router-weight-decay"])
def test_router_options_need_a_router(shelf: Path, tmp_path: Path, option: str) -> None:
    told = pretrain(shelf, tmp_path / "m", "--steps", 1, option, 0.1).stderr
    assert f"{option} is given, and {shelf / 'seed'} has no routers" in told
    assert pretrain(shelf, tmp_path / "m", "--steps", 1).exit_code == 0, "a refusal must not claim the folder"


def test_the_router_of_a_mixture_can_be_told_where_text_goes(shelf: Path, tmp_path: Path) -> None:
    more = ("--test", f"code={shelf / 'test.jsonl'}", "--steps", 1)
    assert pretrain(shelf, tmp_path / "m", *more, model="mixture").exit_code == 0
    loads: dict[tuple, float] = {}
    for row in rows(tmp_path / "m" / "routing.jsonl"):
        loads[row["branch"], row["layer"]] = loads.get((row["branch"], row["layer"]), 0.0) + row["share"]
    assert set(loads) == {(branch, layer) for branch in ("ffn", "attention") for layer in (0, 1)}
    assert all(total == pytest.approx(1.0, abs=1e-5) for total in loads.values())


def test_an_expert_that_gets_nothing_raises_an_alarm(shelf: Path, tmp_path: Path) -> None:
    """Planted: a router of zeros in a frozen layer. Ties go to the first expert, so the second gets no token."""
    model = AutoModelForCausalLM.from_pretrained(shelf / "mixture")
    with torch.no_grad():
        model.model.layers[1].mlp.router.weight.zero_()
    model.save_pretrained(tmp_path / "stuck")
    AutoTokenizer.from_pretrained(shelf / "mixture").save_pretrained(tmp_path / "stuck")
    more = ("--test", f"code={shelf / 'test.jsonl'}", "--freeze", "*.layers.1.*", "--steps", 1)
    done = pretrain(shelf, tmp_path / "m", *more, model=str(tmp_path / "stuck"))
    assert done.exit_code == 0, done.stderr
    assert "Warning: ffn expert 1 of layer 1 gets 0.00% of the held-out text." in done.stderr
    assert [row["layer"] for row in record(tmp_path / "m")["results"]["dead_experts"]] == [1]


# ---- Held-out text ---------------------------------------------------------------------------------------------------


def test_held_out_text_is_measured_before_and_after(shelf: Path, tmp_path: Path) -> None:
    from paribus.evaluation.bits import score_documents
    from paribus.evaluation.items import read_item_rows
    from paribus.models.load import load_causal, load_tokenizer
    from paribus.records import Document

    done = pretrain(shelf, tmp_path / "m", "--steps", 8, "--test", f"code={shelf / 'test.jsonl'}")
    assert done.exit_code == 0, done.stderr
    bits = record(tmp_path / "m")["results"]["bits_per_byte"]["code"]
    documents = [
        Document(id=str(n), domain="code", language="en", text=row["text"])
        for n, row in enumerate(rows(shelf / "test.jsonl"))
    ]
    for when, folder in (("before", shelf / "seed"), ("after", tmp_path / "m")):
        scores = score_documents(load_causal(folder), load_tokenizer(folder), documents)
        assert bits[when] == pytest.approx(sum(s.bits_per_byte for s in scores) / len(scores), rel=1e-5)
    assert bits["after"] < bits["before"] - 0.3
    assert f"code {bits['after']:.4f} (before: {bits['before']:.4f})" in done.stderr
    assert len(read_item_rows(tmp_path / "m" / "test_items.jsonl")) == 2 * len(documents)
    assert not (tmp_path / "m" / "routing.jsonl").exists(), "a dense model has no routing"


def test_what_is_measured_are_the_saved_weights_computed_in_float32(shelf: Path, tmp_path: Path) -> None:
    from paribus.evaluation.bits import score_documents
    from paribus.models.load import load_causal, load_tokenizer
    from paribus.records import Document

    more = ("--save-dtype", "bfloat16", "--test", f"code={shelf / 'test.jsonl'}")
    assert pretrain(shelf, tmp_path / "m", "--steps", 2, *more).exit_code == 0
    lines = [row["text"] for row in rows(shelf / "test.jsonl")]
    documents = [Document(id=text, domain="code", language="en", text=text) for text in lines]
    scores = score_documents(load_causal(tmp_path / "m", dtype="float32"), load_tokenizer(tmp_path / "m"), documents)
    wanted = sum(score.bits_per_byte for score in scores) / len(scores)
    assert record(tmp_path / "m")["results"]["bits_per_byte"]["code"]["after"] == pytest.approx(wanted, rel=1e-6)


def test_held_out_text_that_was_trained_on_is_told(shelf: Path, tmp_path: Path) -> None:
    done = pretrain(shelf, tmp_path / "m", "--steps", 1, "--test", f"code={shelf / 'code.jsonl'}")
    assert "Warning: 60 of 60 held-out documents are training text as well" in done.stderr


# ---- Stopping and going on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "more"), [("mixture", ()), ("mixture", ("--optimizer", "muon")), ("seed", ("--lora-rank", 2))]
)
def test_a_stopped_run_resumes_to_the_bytes_of_an_undisturbed_one(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, more: tuple[object, ...]
) -> None:
    options = ("--steps", 6, "--checkpoint-every", 2, "--test", f"code={shelf / 'test.jsonl'}", *more)
    assert pretrain(shelf, tmp_path / "whole", *options, model=model).exit_code == 0
    _stop_at(monkeypatch, 5)
    stopped = pretrain(shelf, tmp_path / "twice", *options, model=model)
    assert stopped.exit_code == 130 and "To go on:" in stopped.stderr
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    resumed = pretrain(shelf, tmp_path / "twice", *options, model=model)
    assert resumed.exit_code == 0 and "checkpoint of step 4" in resumed.stderr
    for name in (WEIGHTS, "history.jsonl", "test_items.jsonl"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    bits = [record(tmp_path / name)["results"]["bits_per_byte"] for name in ("whole", "twice")]
    assert bits[0] == bits[1]


def test_a_run_stopped_while_it_was_measured_need_not_train_again(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paribus.cli.parts_domains import HeldOut

    def stopping(*_: object) -> None:
        raise KeyboardInterrupt

    options = ("--steps", 4, "--checkpoint-every", 2, "--test", f"code={shelf / 'test.jsonl'}")
    monkeypatch.setattr(HeldOut, "after", stopping)
    assert pretrain(shelf, tmp_path / "m", *options).exit_code == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    done = pretrain(shelf, tmp_path / "m", *options)
    assert done.exit_code == 0 and "checkpoint of step 4" in done.stderr and "Held-out" in done.stderr
    assert not (tmp_path / "m" / "checkpoints").exists()


def _stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    from paribus.cli.parts_progress import Steps

    def stopping(self: Steps, done: int, **numbers: float) -> None:
        if done == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Steps, "__call__", stopping)


def test_other_text_or_options_on_the_same_folder_are_refused(shelf: Path, tmp_path: Path) -> None:
    assert pretrain(shelf, tmp_path / "m", "--steps", 1).exit_code == 0
    assert "finished already" in pretrain(shelf, tmp_path / "m", "--steps", 1).stderr
    other = pretrain(shelf, tmp_path / "m", "--steps", 1, "--freeze", "lm_head.*", only=("general",))
    assert other.exit_code == 2
    assert "- freeze: [] there, ['lm_head.*'] asked for" in other.stderr
    assert "- text code: {" in other.stderr and "None asked for" in other.stderr


# ---- Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--freeze", "nothing.*"), "'nothing.*', which no parameter"),
        (("--freeze", "*"), "no trainable parameter"),
        (("--steps", 1, "--epochs", 1), "--steps and --epochs"),
        (("--learning-rate", -1), "learning"),
        (("--batch-size", 3, "--gradient-accumulation", 2), "micro-batches"),
        (("--length", 1024), "256 positions"),
        (("--test", "code"), "NAME=SOURCE"),
        (("--test", "code=gone.jsonl"), "gone.jsonl"),
        (("--text", "law=gone.jsonl"), "gone.jsonl"),
        (("--text", "general=x.jsonl"), "'general' twice"),
        (("--text", "law/eu=x.jsonl"), "NAME=SOURCE"),
        (("--languages", "sw"), "none is in sw"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    shelf: Path, tmp_path: Path, more: tuple[object, ...], said: str
) -> None:
    done = pretrain(shelf, tmp_path / "m", *more)
    assert done.exit_code == 2, done.output
    assert said in done.stderr and "Traceback" not in done.stderr
    assert pretrain(shelf, tmp_path / "m", "--steps", 1).exit_code == 0, "a refusal must not claim the folder"


def test_bad_rows_are_set_aside_by_domain_although_files_are_called_alike(shelf: Path, tmp_path: Path) -> None:
    words = []
    for name in ("a", "b"):
        bad = [*texts(name, 10), {"text": "", "language": "en"}, {"text": name, "language": "xx"}]
        words += ["--text", f"{name}={write(tmp_path / name / 'train.jsonl', bad)}"]
    call_words = ("pretrain", shelf / "seed", *words, "--out", tmp_path / "m", "--steps", 1, *SHORT)
    assert "train.jsonl" in sentence(call(*call_words))
    done = call(*call_words, "--on-bad-row", "skip")
    assert done.exit_code == 0 and done.stderr.count("2 bad rows set aside") == 2
    assert [len(rows(tmp_path / f"m.{name}.bad.jsonl")) for name in ("a", "b")] == [2, 2]


def test_a_row_without_a_language_needs_one(shelf: Path, tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.jsonl", [{"text": "some words"}] * 5)
    words = ("pretrain", shelf / "seed", "--text", f"p={plain}", "--out", tmp_path / "m", "--steps", 1, *SHORT)
    assert "language" in sentence(call(*words))
    assert call(*words, "--language", "en").exit_code == 0


def test_a_model_that_mixes_up_packed_documents_is_trained_one_a_row(shelf: Path, tmp_path: Path) -> None:
    from parts_small import byte_tokenizer
    from transformers import BloomConfig

    config = BloomConfig(vocab_size=272, hidden_size=32, n_layer=2, n_head=4, pad_token_id=0, eos_token_id=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "bloom")
    byte_tokenizer().save_pretrained(tmp_path / "bloom")
    words = ("pretrain", tmp_path / "bloom", "--text", f"code={shelf / 'code.jsonl'}", "--out", tmp_path / "m", *SHORT)
    told = call(*words, "--steps", 1)
    assert told.exit_code == 2 and "give --no-packing" in told.stderr
    assert call(*words, "--steps", 1, "--no-packing").exit_code == 0


# ---- Words for domains -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(0, 4))
def test_shares_of_all_domains_add_to_one_and_the_rest_is_equal(weights: list[int], without: int) -> None:
    total = sum(weights) + without  # every domain without a share leaves one part of the whole for itself
    words = [f"d{n}=file{n}.jsonl:{weight / total!r}" for n, weight in enumerate(weights)]
    words += [f"e{n}=rest.jsonl" for n in range(without)]
    found = parse_domains(words)
    assert sum(share for _, share in found.values()) == pytest.approx(1.0)
    for n, weight in enumerate(weights):
        assert found[f"d{n}"] == (f"file{n}.jsonl", weight / total)
    assert [found[f"e{n}"][1] for n in range(without)] == pytest.approx([1 / total] * without)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a=x:0.5", "b=y:0.6"), "add to 1.1"),
        (("a=x:0.5", "b=y:0.4"), "add to 0.9"),
        (("a=x:1", "b=y"), "nothing is left for 1 more"),
        (("a=x:0", "b=y"), "above 0"),
        (("a=x:1.5",), "up to 1"),
        (("a=x:1.2.3",), "'1.2.3'"),
        (("a=",), "NAME=SOURCE"),
        (("=x",), "NAME=SOURCE"),
        (("x.jsonl",), "NAME=SOURCE"),
    ],
)
def test_words_that_make_no_domains(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_domains(words)


def test_sources_keep_what_is_no_share() -> None:
    assert parse_domains(["a=owner/name:80%", "b=c:/x.jsonl"]) == {
        "a": ("owner/name", 0.8),
        "b": ("c:/x.jsonl", pytest.approx(0.2)),
    }
    assert parse_sources(["a=x=y:0.5"], "--test") == {"a": "x=y:0.5"}
