"""Bits per byte are those of a plain loop, of transformers' own loss, and of a model whose likelihoods are known."""

import math
from itertools import pairwise
from statistics import fmean

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from paribus.data.documents import encode_documents, mix_documents
from paribus.data.lengths import context_of
from paribus.data.packing import pack
from paribus.data.stream import BatchStream
from paribus.data.tokenizer import train_tokenizer
from paribus.errors import DataError
from paribus.evaluation.bits import DocumentScore, bits_per_byte, bits_rows, perplexity, score_documents
from paribus.evaluation.items import summarise
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.models.mixture import MixtureConfig, MixtureForCausalLM
from paribus.records import Document
from paribus.training.objectives.causal import Causal
from paribus.world.domains import Domains, DomainsConfig

TEXTS = ["The sun rises in the east.", "3 + 4 = 7", "Сегодня понедельник.", "今天是星期一。", "7" * 60]
DOCUMENTS = [
    Document(id=f"d{place}", domain="math" if "7" in text else "general", language="en", text=text)
    for place, text in enumerate(TEXTS)
]
SIZES = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=300)


def decoder(**changes) -> DecoderForCausalLM:
    torch.manual_seed(0)
    return DecoderForCausalLM(DecoderConfig(**{**SIZES, "initializer_range": 0.3, **changes}))


def mixture() -> MixtureForCausalLM:
    torch.manual_seed(0)
    config = MixtureConfig(**SIZES, initializer_range=0.3, attention_experts=2, ffn_experts=3, ffn_top_k=2)
    return MixtureForCausalLM(config)


def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=300, n_embd=16, n_layer=1, n_head=2, n_positions=256, initializer_range=0.3)
    )


def whole(tokenizer, text: str) -> torch.Tensor:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return torch.tensor([[tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]])


@pytest.mark.parametrize("make", [decoder, mixture, gpt2])
@pytest.mark.parametrize("batch_tokens", [64, 4096])
def test_scores_are_those_of_transformers_own_loss_one_document_at_a_time(tokenizer, make, batch_tokens):
    model = make()
    scores = score_documents(model, tokenizer, DOCUMENTS, batch_tokens=batch_tokens)
    model.eval()
    for score, document in zip(scores, DOCUMENTS, strict=True):
        ids = whole(tokenizer, document.text)
        with torch.inference_mode():
            loss = float(model(input_ids=ids, labels=ids).loss)
        assert (score.id, score.tokens, score.bytes) == (document.id, ids.shape[1] - 1, len(document.text.encode()))
        assert score.nats == pytest.approx(loss * score.tokens, rel=1e-5)
        assert score.bits_per_byte == pytest.approx(score.nats / math.log(2) / score.bytes)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary(tokenizer):
    model = decoder()
    torch.nn.init.zeros_(model.get_output_embeddings().weight)
    scores = score_documents(model, tokenizer, DOCUMENTS)
    assert all(score.nats == pytest.approx(score.tokens * math.log(300), rel=1e-6) for score in scores)
    assert perplexity(scores) == pytest.approx({"general": 300, "math": 300, "all": 300}, rel=1e-5)


def test_documents_longer_than_the_context_are_read_in_parts(tokenizer):
    """By hand: every part sees the last token of the one before it, and no more of it."""
    model, document = decoder(max_position_embeddings=24), DOCUMENTS[-1]
    ids = whole(tokenizer, document.text)[0]
    assert len(ids) > 24
    steps, parts = len(ids) - 1, -(-(len(ids) - 1) // 23)
    edges = [steps * part // parts for part in range(parts + 1)]
    model.eval()
    total = 0.0
    with torch.inference_mode():
        for start, stop in pairwise(edges):
            part = ids[start : stop + 1]
            total += float(model(input_ids=part[None], labels=part[None]).loss) * (stop - start)
    score = score_documents(model, tokenizer, [document])[0]
    assert score.tokens == steps and score.nats == pytest.approx(total, rel=1e-5)
    assert context_of(model.config) == 24


def test_rows_are_one_for_all_domains_and_one_for_the_documents_own(tokenizer):
    rows = bits_per_byte(decoder(), tokenizer, DOCUMENTS)
    assert [row.measure for row in rows[2:4]] == ["bits_per_byte", "bits_per_byte_math"]
    assert all(row.item == row.cluster and row.language == "en" for row in rows)
    assert {row.group for row in rows if row.measure == "bits_per_byte_general"} == {"general"}
    cells = {(summary.measure, summary.group): summary.interval for summary in summarise(rows, by_language=False)}
    own, split = cells["bits_per_byte_math", "all"], cells["bits_per_byte", "math"]
    assert own.estimate == split.estimate and own.n == 2


def test_perplexity_pools_tokens_and_bits_weigh_documents_alike():
    scores = [
        DocumentScore("a", "law", "en", nats=math.log(2) * 8, tokens=4, bytes=8),
        DocumentScore("b", "law", "en", nats=math.log(2) * 2, tokens=6, bytes=1),
        DocumentScore("c", "code", "en", nats=0.0, tokens=10, bytes=5),
    ]
    assert perplexity(scores) == pytest.approx({"law": 2.0, "code": 1.0, "all": math.sqrt(2)})
    assert [row.value for row in bits_rows(scores) if row.measure == "bits_per_byte"] == pytest.approx([1.0, 2.0, 0.0])


def test_a_model_in_training_is_examined_without_dropout_and_goes_on_training(tokenizer):
    model = gpt2().train()
    assert model.config.resid_pdrop > 0
    first, again = (score_documents(model, tokenizer, DOCUMENTS) for _ in range(2))
    assert first == again and model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_saw_a_text_predicts_it_better(tokenizer):
    model = decoder()
    before = score_documents(model, tokenizer, DOCUMENTS[:1])[0].bits_per_byte
    ids, optimizer = whole(tokenizer, TEXTS[0]), torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    assert score_documents(model, tokenizer, DOCUMENTS[:1])[0].bits_per_byte < before / 3


def test_a_model_of_one_domain_predicts_it_better_and_the_others_worse():
    """The whole way: the world's documents, their shares of the tokens, packed rows, training, bits by domain."""
    world = Domains(DomainsConfig(languages=("en",)))
    text = {domain: world.documents(domain, "en", "train", 150) for domain in ("code", "law")}
    test = [row for domain in text for row in world.documents(domain, "en", "test", 6)]
    tokenizer = train_tokenizer([row.text for rows in text.values() for row in rows], vocab_size=400)
    encoded = {
        domain: encode_documents(tokenizer, [row.text for row in rows], length=64) for domain, rows in text.items()
    }
    found = {}
    for shares in ({"code": 0.9, "law": 0.1}, {"code": 0.1, "law": 0.9}):
        stream = BatchStream(pack(mix_documents(encoded, shares)[0], 64), 8, 0)
        model = decoder(vocab_size=400, initializer_range=0.02)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for step in range(40):
            optimizer.zero_grad()
            Causal().loss(model, stream.batch(step)).value.backward()
            optimizer.step()
        rows = bits_per_byte(model, tokenizer, test)
        found[max(shares, key=lambda name: shares[name])] = {
            domain: fmean(row.value for row in rows if row.measure == f"bits_per_byte_{domain}") for domain in text
        }
    assert found["code"]["code"] < found["law"]["code"] - 0.3
    assert found["law"]["law"] < found["code"]["law"] - 0.3


def test_autocast_changes_numbers_a_little(tokenizer):
    full, half = (score_documents(decoder(), tokenizer, DOCUMENTS, autocast=dtype) for dtype in (None, torch.bfloat16))
    assert full != half
    assert [score.nats for score in half] == pytest.approx([score.nats for score in full], rel=0.03)


def test_an_id_that_stands_twice_is_refused(tokenizer):
    with pytest.raises(DataError, match="'d0' stands twice"):
        score_documents(decoder(), tokenizer, [DOCUMENTS[0], DOCUMENTS[0]])
    assert score_documents(decoder(), tokenizer, []) == [] and perplexity([]) == {}
