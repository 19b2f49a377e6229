"""Tiny models over vectors and tokens, and samplers that they can learn, for the tests of labelled training."""

from types import SimpleNamespace

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from paribus.data.sampled import SampledStream
from paribus.training.objectives.labelled import Labelled
from paribus.training.settings import TrainSettings

WIDTH = 4


class ToyConfig(PreTrainedConfig):
    model_type = "paribus_toy"


class Toy(PreTrainedModel):
    """Causal attention of one head, an embedding or a read-in, a norm, and a head."""

    config_class = ToyConfig
    base_model_prefix = "body"
    body_kind = "attention"

    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, 8) if config.vocab_size else None
        self.body = self.make_body()
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, config.outputs)
        self.register_buffer("scale", torch.tensor(8**-0.5))
        self.post_init()

    def make_body(self):
        return nn.Linear(8, 24, bias=False)  # a bias of the keys would have no gradient but noise

    def mix(self, x):
        query, key, value = self.body(x).chunk(3, -1)
        scores = query @ key.mT * self.scale
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        return x + scores.masked_fill(ahead, -torch.inf).softmax(-1) @ value

    def forward(self, input_ids=None, inputs_embeds=None, **ignored):
        x = self.embed(input_ids) if inputs_embeds is None else nn.functional.pad(inputs_embeds, (0, 8 - WIDTH))
        return SimpleNamespace(logits=self.head(self.norm(self.mix(x))))


class ToyLSTM(Toy):
    """The same with torch's LSTM in the place of attention."""

    def make_body(self):
        return nn.LSTM(8, 8, batch_first=True)

    def mix(self, x):
        return self.body(x)[0]


def toy(seed=0, *, kind=Toy, vocab_size=0, outputs=1, dtype=torch.float32):
    torch.manual_seed(seed)
    model = kind(ToyConfig(vocab_size=vocab_size, outputs=outputs)).to(dtype)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def vectors(count, generator, dtype=torch.float32):
    """One logit: is the first coordinate positive? Scored at every other position; rows differ in how many."""
    x = torch.randn(count, 6, WIDTH, generator=generator, dtype=dtype)
    labels = (x[..., 0] > 0).long()
    labels[:, 1::2] = -100
    labels[torch.rand(count, generator=generator) < 0.3, 2:] = -100
    return {"inputs_embeds": x, "labels": labels}


def vectors_fp64(count, generator):
    return vectors(count, generator, torch.float64)


def tokens(count, generator):
    """Three classes at the last position: its token modulo 3."""
    ids = torch.randint(9, (count, 5), generator=generator)
    labels = torch.full_like(ids, -100)
    labels[:, -1] = ids[:, -1] % 3
    return {"input_ids": ids, "labels": labels}


def bits(count, generator):
    """Two bits a position: parity and size of the token."""
    ids = torch.randint(8, (count, 5), generator=generator)
    labels = torch.stack([ids % 2, ids // 4], -1).float()
    return {"input_ids": ids, "labels": labels, "label_mask": torch.rand(count, 5, generator=generator) < 0.6}


TASKS = {
    "vectors": (vectors, Labelled("classes"), {}),
    "tokens": (tokens, Labelled("classes"), {"vocab_size": 9, "outputs": 3}),
    "bits": (bits, Labelled("bits"), {"vocab_size": 8, "outputs": 2}),
}


def settings(**changes):
    return TrainSettings(**{"steps": 12, "batch_size": 8, "learning_rate": 1e-2, **changes})


def fresh(sampler, *, seed=0, batch_size=8):
    return SampledStream(sampler, batch_size, seed, sampler.__name__)
