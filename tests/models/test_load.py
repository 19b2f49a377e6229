import json
import shutil

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM as Causal
from transformers import (
    CohereConfig,
    Gemma2Config,
    GemmaConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    T5Config,
    T5ForConditionalGeneration,
)

from paribus.errors import ModelError
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM, DecoderForSequenceClassification
from paribus.models.load import check_vocabulary, load_causal, load_reward, load_tokenizer

SHAPE = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = [LlamaConfig, GemmaConfig, Gemma2Config, Qwen2Config, CohereConfig, DecoderConfig]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def save_tokenizer(directory, size=40, **special):
    core = Tokenizer(models.WordLevel({f"w{index}": index for index in range(size)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="w0", **special).save_pretrained(directory)


@pytest.fixture
def saved(tmp_path):
    directory = tmp_path / "model"
    DecoderForCausalLM(DecoderConfig(**SHAPE)).save_pretrained(directory)
    save_tokenizer(directory, eos_token="w2")
    return directory


@pytest.mark.parametrize("config_class", CONFIGS, ids=lambda config: config.model_type)
def test_any_causal_architecture_loads_as_saved(tmp_path, config_class):
    original = Causal.from_config(config_class(**SHAPE)).eval()
    original.save_pretrained(tmp_path)
    loaded = load_causal(tmp_path)
    assert type(loaded) is type(original) and not loaded.training
    tokens = torch.randint(3, 40, (2, 6))
    assert torch.equal(loaded(tokens).logits, original(tokens).logits)
    assert load_causal(str(tmp_path), attn_implementation="eager").config._attn_implementation == "eager"


def test_dtype_is_the_saved_one_unless_asked_for(tmp_path):
    DecoderForCausalLM(DecoderConfig(**SHAPE)).to(torch.bfloat16).save_pretrained(tmp_path)
    assert load_causal(tmp_path).dtype == torch.bfloat16
    assert load_causal(tmp_path, dtype="float32").dtype == torch.float32
    assert load_causal(tmp_path, dtype=torch.float64, device="cpu").dtype == torch.float64


@pytest.mark.parametrize("load", [load_causal, load_reward, load_tokenizer])
def test_a_missing_directory_is_named(tmp_path, load):
    with pytest.raises(ModelError, match=r"nowhere.*does not exist"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match=r"file.*is a file"):
        load(str(tmp_path / "file"))
    for path in ("./nowhere", "a/b/c", "~/nowhere"):
        with pytest.raises(ModelError, match="does not exist"):
            load(path)


def test_a_directory_without_configuration_lists_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ModelError, match=r"no config\.json.*notes\.txt"):
        load_causal(tmp_path)


def test_pickled_weights_are_refused_before_they_are_read(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="its weights were not saved"):
        load_causal(saved)
    (saved / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin.*can run code"):
        load_causal(saved)


def test_damaged_weights_are_reported(saved):
    whole = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        load_causal(saved)


def test_a_damaged_or_unknown_configuration_is_reported(saved):
    (saved / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        load_causal(saved)
    (saved / "config.json").write_text(json.dumps({"model_type": "no_such_architecture"}))
    with pytest.raises(ModelError, match="no_such_architecture"):
        load_causal(saved)


def test_remote_code_never_runs(saved):
    config = json.loads((saved / "config.json").read_text())
    config |= {"model_type": "mystery", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}
    (saved / "config.json").write_text(json.dumps(config))
    (saved / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelError, match="cannot be read"):
        load_causal(saved)


@pytest.mark.parametrize("load", [load_causal, load_reward, load_tokenizer])
def test_a_hub_id_offline_says_so(load):
    with pytest.raises(ModelError, match=r"nobody/no-such-model.*could not be had from the hub"):
        load("nobody/no-such-model")


def test_a_model_that_is_not_causal_is_refused(tmp_path):
    config = T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=20)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="T5Config"):
        load_causal(tmp_path)


def test_weights_the_checkpoint_lacks_are_not_made_up(tmp_path):
    untied = {**SHAPE, "tie_word_embeddings": False}
    DecoderForSequenceClassification(DecoderConfig(**untied, num_labels=1)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lacks the weights lm_head\.weight"):
        load_causal(tmp_path)


def test_a_reward_model_needs_its_head_unless_a_fresh_one_is_wanted(saved, tmp_path):
    with pytest.raises(ModelError, match=r"score\.weight.*fresh_head=True"):
        load_reward(saved)
    started = load_reward(saved, fresh_head=True)
    assert started.config.num_labels == 1 and torch.isfinite(started(torch.tensor([[3, 4]])).logits).all()
    assert torch.equal(started.model.embed_tokens.weight, load_causal(saved).model.embed_tokens.weight)
    started.save_pretrained(tmp_path / "reward")
    loaded = load_reward(tmp_path / "reward")
    assert torch.equal(loaded(torch.tensor([[3, 4]])).logits, started(torch.tensor([[3, 4]])).logits)


def test_a_classifier_of_several_labels_is_no_reward_model(tmp_path):
    DecoderForSequenceClassification(DecoderConfig(**SHAPE, num_labels=3)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="num_labels=3"):
        load_reward(tmp_path)


def test_tokenizer_beside_the_model(saved):
    tokenizer = load_tokenizer(saved, model=load_causal(saved))
    assert len(tokenizer) == 40 and tokenizer.pad_token == tokenizer.eos_token == "w2"


def test_a_missing_or_damaged_tokenizer_is_reported(saved, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(saved, bare)
    for path in bare.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="no tokenizer file"):
        load_tokenizer(bare)
    (saved / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer in .* cannot be read"):
        load_tokenizer(saved)


def test_a_tokenizer_larger_than_the_embedding_is_refused(saved, tmp_path):
    save_tokenizer(tmp_path / "large", size=41)
    model = load_causal(saved)
    with pytest.raises(ModelError, match=r"ids up to 40.*40 embeddings"):
        load_tokenizer(tmp_path / "large", model=model)
    save_tokenizer(tmp_path / "small", size=12)
    check_vocabulary(model, load_tokenizer(tmp_path / "small"))
