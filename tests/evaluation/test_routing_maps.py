"""Routing maps count what routers do: planted routers are read off, pads are not counted, dead experts found."""

import math

import pytest
import torch

from paribus.data.documents import encode_documents
from paribus.data.tokenizer import train_tokenizer
from paribus.errors import DataError, ModelError
from paribus.evaluation.routing_maps import RoutingRow, dead_experts, overall, routing_entropy, routing_maps
from paribus.models.decoder import DecoderConfig, DecoderForCausalLM
from paribus.models.mixture import MixtureConfig, MixtureForCausalLM
from paribus.records import Document

TEXTS = {
    ("law", "en"): ["the party", "a long clause about nothing in particular"],
    ("law", "es"): ["el contrato"],
    ("math", "en"): ["3 + 4 = 7"],
}
DOCUMENTS = [
    Document(id=f"{domain}/{language}/{place}", domain=domain, language=language, text=text)
    for (domain, language), texts in TEXTS.items()
    for place, text in enumerate(texts)
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([text for texts in TEXTS.values() for text in texts], vocab_size=300)


def mixture(**changes) -> MixtureForCausalLM:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 300,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    experts = {"attention_experts": 2, "ffn_experts": 4, "ffn_top_k": 2}
    return MixtureForCausalLM(MixtureConfig(**{**sizes, **experts, "initializer_range": 0.3, **changes}))


@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_shares_are_those_of_one_document_at_a_time(tokenizer, batch_tokens):
    model = mixture()
    found = {
        (row.domain, row.language, row.layer, row.branch, row.expert): row
        for row in routing_maps(model, tokenizer, DOCUMENTS, batch_tokens=batch_tokens)
    }
    assert len(found) == 3 * 2 * (4 + 2)
    model.eval()
    for (domain, language), texts in TEXTS.items():
        loads, gates, tokens = torch.zeros(2, 4), torch.zeros(2, 2), 0
        for encoded in encode_documents(tokenizer, texts):
            ids = torch.from_numpy(encoded.input_ids).long()[None]
            with torch.inference_mode():
                out = model(input_ids=ids, output_routing=True)
            for layer in range(2):
                for chosen in out.router_logits[layer][0].topk(2).indices:
                    loads[layer, chosen] += 0.5
                gates[layer] += out.attention_gates[layer][0].sum(0)
            tokens += ids.shape[1]
        for layer in range(2):
            for branch, sums in (("ffn", loads), ("attention", gates)):
                for expert, total in enumerate(sums[layer].tolist()):
                    row = found[domain, language, layer, branch, expert]
                    assert row.tokens == tokens and row.share == pytest.approx(total / tokens, abs=1e-5)


def test_shares_of_a_layer_add_to_one(tokenizer):
    sums: dict[tuple, float] = {}
    for row in routing_maps(mixture(), tokenizer, DOCUMENTS):
        place = (row.domain, row.language, row.layer, row.branch)
        sums[place] = sums.get(place, 0.0) + row.share
    assert list(sums.values()) == pytest.approx([1.0] * len(sums), abs=1e-6)


def test_a_router_without_a_preference_takes_the_first_experts_and_the_others_are_dead(tokenizer):
    model = mixture()
    for name, weight in model.named_parameters():
        if "router" in name:
            torch.nn.init.zeros_(weight)
    rows = routing_maps(model, tokenizer, DOCUMENTS)
    loads = {(row.expert, row.share) for row in rows if row.branch == "ffn"}
    assert loads == {(0, 0.5), (1, 0.5), (2, 0.0), (3, 0.0)}
    assert {row.share for row in rows if row.branch == "attention"} == {0.5}
    assert [(row.layer, row.expert) for row in dead_experts(rows)] == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert dead_experts(rows, branch="attention") == []
    entropy = routing_entropy(rows)
    assert entropy == pytest.approx({("ffn", 0): math.log(2), ("ffn", 1): math.log(2), ("attention", 0): math.log(2),
                                     ("attention", 1): math.log(2)})  # fmt: skip


def row(domain: str, expert: int, share: float, tokens: int) -> RoutingRow:
    return RoutingRow(domain, "en", 0, "ffn", expert, share, tokens)


ROWS = [row("law", 0, 0.99, 900), row("law", 1, 0.01, 900), row("code", 0, 1.0, 100), row("code", 1, 0.0, 100)]


def test_an_expert_is_dead_by_its_share_of_all_tokens():
    assert [found.share for found in overall(ROWS)] == pytest.approx([0.991, 0.009])
    dead = dead_experts(ROWS)
    assert [(found.expert, found.domain, found.tokens) for found in dead] == [(1, "all", 1000)]
    assert dead_experts(ROWS, threshold=0.005) == []


def test_entropy_is_zero_for_one_expert_and_largest_for_even_shares():
    assert routing_entropy([row("law", 0, 1.0, 5), row("law", 1, 0.0, 5)]) == {("ffn", 0): 0.0}
    assert routing_entropy([row("law", place, 0.2, 5) for place in range(5)]) == {
        ("ffn", 0): pytest.approx(math.log(5))
    }
    # Raw gates of the largest two experts need not add to 1.
    assert routing_entropy([row("law", 0, 0.3, 5), row("law", 1, 0.3, 5)]) == {("ffn", 0): pytest.approx(math.log(2))}


def test_a_branch_with_one_expert_has_no_rows(tokenizer):
    assert {found.branch for found in routing_maps(mixture(attention_experts=1), tokenizer, DOCUMENTS)} == {"ffn"}
    assert routing_maps(mixture(attention_experts=1, ffn_experts=1, ffn_top_k=1), tokenizer, DOCUMENTS) == []


def test_long_documents_are_cut_to_the_context(tokenizer):
    long = Document(id="x", domain="law", language="en", text="zq" * 30)
    rows = routing_maps(mixture(max_position_embeddings=16), tokenizer, [long])
    ids = encode_documents(tokenizer, [long.text])[0]
    assert rows[0].tokens == len(ids) + -(-(len(ids) - 1) // 15) - 1


def test_models_without_routing_and_no_documents_are_refused(tokenizer):
    config = DecoderConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(ModelError, match="DecoderForCausalLM does not tell its routing"):
        routing_maps(DecoderForCausalLM(config), tokenizer, DOCUMENTS)
    with pytest.raises(DataError, match="no documents to route"):
        routing_maps(mixture(), tokenizer, [])
