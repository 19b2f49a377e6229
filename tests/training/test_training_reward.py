import numpy as np
import pytest
import torch
from training_toys import SHAPE, build, every, pairs
from transformers import LlamaConfig, LlamaForSequenceClassification

from paribus.models.decoder import DecoderConfig, DecoderForSequenceClassification
from paribus.training.objectives.reward import Reward


def reward_model(**changes):
    torch.manual_seed(0)
    return DecoderForSequenceClassification(DecoderConfig(**{**SHAPE, "num_labels": 1, **changes})).eval()


def scores(model, rows):
    with torch.no_grad():
        alone = [model(input_ids=torch.tensor(row.input_ids, dtype=torch.long)[None]).logits[0, 0] for row in rows]
    return torch.stack(alone)


def test_loss_and_metrics_by_hand():
    model, data = reward_model(), pairs()
    gaps = scores(model, data.chosen) - scores(model, data.rejected)
    loss = Reward().loss(model, every(data))
    torch.testing.assert_close(loss.value, -gaps.sigmoid().log().mean())
    assert loss.metrics["accuracy"].item() == pytest.approx((gaps > 0).float().mean().item())
    assert 0 < loss.metrics["accuracy"].item() < 1
    assert loss.metrics["gap"].item() == pytest.approx(gaps.mean().item(), abs=1e-6)
    assert loss.targets == Reward().weight(every(data)) == len(data)


def test_margins_and_centring_by_hand():
    model, data = reward_model(), pairs()
    margins = data.margins.copy()
    margins[0] = np.nan
    batch = every(data) | {"margins": torch.from_numpy(margins)}
    first, second = scores(model, data.chosen), scores(model, data.rejected)
    known = torch.from_numpy(np.nan_to_num(margins))
    expected = -(first - second - known).sigmoid().log().mean() + 0.1 * ((first + second) ** 2).mean()
    torch.testing.assert_close(Reward(use_margin=True, centre=0.1).loss(model, batch).value, expected)


def test_one_step_widens_the_gap():
    model, batch = reward_model(), every(pairs())
    before = Reward().loss(model, batch)
    before.value.backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight -= 0.01 * weight.grad
    assert Reward().loss(model, batch).metrics["gap"] > before.metrics["gap"]


def test_a_transformers_classifier_scores_the_last_real_token():
    model = build(LlamaForSequenceClassification, LlamaConfig, num_labels=1)
    data = pairs()
    gaps = scores(model, data.chosen) - scores(model, data.rejected)
    torch.testing.assert_close(Reward().loss(model, every(data)).value, -gaps.sigmoid().log().mean())
