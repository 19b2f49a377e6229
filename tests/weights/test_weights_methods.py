"""Each method against a dense oracle written here, its limits, and its statistics."""

import math

import numpy as np
import pytest
import torch
from checkpoints import load, save, tensors

from paribus.statistics import mean_error, t_interval
from paribus.weights import merge


@pytest.fixture
def family(tmp_path):
    """A base, three neighbours of it, and their tensors."""
    base = tensors(0)
    near = [tensors(seed, near=base) for seed in (1, 2, 3)]
    folders = [save(tmp_path / f"m{n}", weights) for n, weights in enumerate(near)]
    return save(tmp_path / "base", base), folders, base, near


def flat(weights):
    return np.concatenate([weights[name].double().numpy().ravel() for name in sorted(weights)])


def test_linear_is_bit_identical_to_plain_array_arithmetic(tmp_path, family):
    _, folders, _, near = family
    weights = [0.2, 0.5, 0.3]
    merge("linear", folders, tmp_path / "out", weights=weights)
    for name, value in load(tmp_path / "out").items():
        a, b, c = (model[name].numpy() for model in near)
        wanted = (a * np.float32(0.2) + b * np.float32(0.5)) + c * np.float32(0.3)
        np.testing.assert_array_equal(value.numpy(), wanted)


def test_linear_in_bfloat16_rounds_once_at_the_end(tmp_path):
    near = [tensors(seed, dtype=torch.bfloat16) for seed in (1, 2)]
    folders = [save(tmp_path / f"m{n}", weights) for n, weights in enumerate(near)]
    merge("linear", folders, tmp_path / "out", weights=[0.3, 0.7])
    for name, value in load(tmp_path / "out").items():
        a, b = (model[name].float() for model in near)
        assert value.equal((a * 0.3 + b * 0.7).bfloat16())


def test_linear_does_not_depend_on_the_order_of_models(tmp_path, family):
    _, folders, _, _ = family
    merge("linear", folders, tmp_path / "a", weights=[0.2, 0.5, 0.3])
    merge("linear", folders[::-1], tmp_path / "b", weights=[0.3, 0.5, 0.2])
    np.testing.assert_allclose(flat(load(tmp_path / "a")), flat(load(tmp_path / "b")), rtol=0, atol=5e-7)


def test_normalise_divides_or_leaves_the_weights(tmp_path, family):
    _, folders, _, near = family
    merge("linear", folders[:2], tmp_path / "divided", weights=[1, 3], normalise=True)
    merge("linear", folders[:2], tmp_path / "raw", weights=[1, -0.5], normalise=False)
    a, b = flat(near[0]), flat(near[1])
    np.testing.assert_allclose(flat(load(tmp_path / "divided")), 0.25 * a + 0.75 * b, atol=1e-6)
    np.testing.assert_allclose(flat(load(tmp_path / "raw")), a - 0.5 * b, atol=1e-6)


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "ties-model", "dare_ties"])
def test_identical_models_merge_to_themselves(tmp_path, family, method):
    base, folders, _, near = family
    options = {
        "linear": {"weights": [0.25, 0.75]},
        "slerp": {"t": 0.25},
        "ties": {"base": base},
        "ties-model": {"base": base, "trim": "model"},
        "dare_ties": {"base": base},
    }[method]
    merge(method.removesuffix("-model"), [folders[0], folders[0]], tmp_path / "out", **options)
    np.testing.assert_allclose(flat(load(tmp_path / "out")), flat(near[0]), rtol=2e-7, atol=2e-7)


def slerp_oracle(a, b, t):
    u, v = a / np.linalg.norm(a), b / np.linalg.norm(b)
    angle = math.acos(float(np.clip(np.dot(u.ravel(), v.ravel()), -1, 1)))
    if abs(math.cos(angle)) > 0.9995:
        return (1 - t) * a + t * b
    return math.sin((1 - t) * angle) / math.sin(angle) * a + math.sin(t * angle) / math.sin(angle) * b


@pytest.mark.parametrize("t", [0.3, 0.5, 0.9])
def test_slerp_per_tensor_and_whole_model(tmp_path, t):
    far = [tensors(seed) for seed in (1, 2)]
    folders = [save(tmp_path / f"m{n}", weights) for n, weights in enumerate(far)]
    merge("slerp", folders, tmp_path / "tensor", t=t)
    merge("slerp", folders, tmp_path / "model", t=t, angle="model")
    for name, value in load(tmp_path / "tensor").items():
        wanted = slerp_oracle(*(model[name].double().numpy() for model in far), t)
        np.testing.assert_allclose(value.numpy(), wanted, atol=2e-6)
    np.testing.assert_allclose(flat(load(tmp_path / "model")), slerp_oracle(*map(flat, far), t), atol=2e-6)


def test_slerp_ends_are_the_models_to_the_last_bit(tmp_path, family):
    _, folders, _, near = family
    for t in (0, 1):
        merge("slerp", folders[:2], tmp_path / f"t{t}", t=t)
        assert all(value.equal(near[t][name]) for name, value in load(tmp_path / f"t{t}").items())


def test_slerp_keeps_the_length_of_orthogonal_tensors(tmp_path):
    a, b = torch.zeros(1, 4), torch.zeros(1, 4)
    a[0, 0], b[0, 1] = 2.0, 2.0
    folders = [save(tmp_path / n, {"w": w}) for n, w in (("a", a), ("b", b))]
    merge("slerp", folders, tmp_path / "out", t=0.5)
    torch.testing.assert_close(load(tmp_path / "out")["w"], torch.tensor([[2**0.5, 2**0.5, 0, 0]]))


def test_slerp_of_nearly_parallel_zero_and_opposite_tensors_is_linear(tmp_path):
    cases = {"near": (torch.ones(5), torch.ones(5) * 3), "zero": (torch.zeros(5), torch.ones(5)),
             "opposite": (torch.ones(5), -torch.ones(5))}  # fmt: skip
    folders = [save(tmp_path / f"m{n}", {name: pair[n] for name, pair in cases.items()}) for n in (0, 1)]
    merge("slerp", folders, tmp_path / "out", t=0.25)
    for name, value in load(tmp_path / "out").items():
        torch.testing.assert_close(value, 0.75 * cases[name][0] + 0.25 * cases[name][1])


def top_k(delta, k, ties):
    """Keep the k largest magnitudes; at the threshold the first ones ("first") or all ("all")."""
    flat_delta = delta.ravel()
    order = np.argsort(-np.abs(flat_delta), kind="stable")
    kept = np.zeros(flat_delta.shape, bool)
    kept[order[:k]] = True
    if ties == "all":
        kept |= np.abs(flat_delta) >= np.abs(flat_delta[order[k - 1]])
    return np.where(kept, flat_delta, 0).reshape(delta.shape)


def elected_mean(trimmed, weights, zero_sign, normalise=True):
    votes = trimmed * weights[:, None]
    sign = np.sign(votes.sum(0))
    sign[sign == 0] = zero_sign
    agree = votes * sign > 0
    total, share = (votes * agree).sum(0), (weights[:, None] * agree).sum(0)
    return total / np.where(share == 0, 1, share) if normalise else total


@pytest.mark.parametrize("normalise", [True, False])
def test_ties_per_tensor_against_a_dense_oracle(tmp_path, family, normalise):
    base, folders, bottom, near = family
    weights, density = np.array([1.0, 0.5, 2.0]), [0.2, 0.5, 0.9]
    merge(
        "ties", folders, tmp_path / "out", base=base, weights=weights.tolist(), density=density, scale=0.7,
        normalise=normalise,
    )  # fmt: skip
    for name, value in load(tmp_path / "out").items():
        start = bottom[name].numpy().ravel()
        deltas = [model[name].numpy().ravel() - start for model in near]
        trimmed = np.stack(
            [top_k(d, max(1, int(share * d.size)), "first") for d, share in zip(deltas, density, strict=True)]
        )
        wanted = start + 0.7 * elected_mean(trimmed, weights, 1.0, normalise)
        np.testing.assert_allclose(value.numpy().ravel(), wanted, rtol=0, atol=1e-6)


def test_ties_over_the_whole_model_against_a_dense_oracle(tmp_path, family):
    base, folders, bottom, near = family
    merge("ties", folders, tmp_path / "out", base=base, density=0.3, trim="model")
    start = flat(bottom)
    deltas = [(flat(model).astype("f4") - start.astype("f4")) for model in near]
    trimmed = np.stack([top_k(delta, int(0.3 * delta.size), "all") for delta in deltas])
    signs = np.sign(trimmed.sum(0))
    wanted = start + elected_mean(trimmed, np.ones(3), np.sign(signs.sum()))
    np.testing.assert_allclose(flat(load(tmp_path / "out")), wanted, rtol=0, atol=1e-6)


def test_the_two_trimming_scopes_differ_where_tensors_have_different_scales(tmp_path):
    base = {"small": torch.zeros(100), "large": torch.zeros(100)}
    model = {"small": torch.linspace(0.01, 0.02, 100), "large": torch.linspace(1, 2, 100)}
    bottom, top = save(tmp_path / "b", base), save(tmp_path / "m", model)
    merge("ties", [top], tmp_path / "tensor", base=bottom, density=0.5)
    merge("ties", [top], tmp_path / "model", base=bottom, density=0.5, trim="model")
    kept = {name: int((value != 0).sum()) for name, value in load(tmp_path / "tensor").items()}
    assert kept == {"small": 50, "large": 50}
    kept = {name: int((value != 0).sum()) for name, value in load(tmp_path / "model").items()}
    assert kept == {"small": 0, "large": 100}


@pytest.mark.parametrize("trim", ["tensor", "model"])
def test_ties_of_one_model_at_full_density_is_the_model(tmp_path, family, trim):
    base, folders, _, near = family
    merge("ties", folders[:1], tmp_path / "out", base=base, density=1.0, trim=trim)
    np.testing.assert_allclose(flat(load(tmp_path / "out")), flat(near[0]), rtol=1e-6, atol=1e-7)


def test_equal_magnitudes_first_ones_stay_per_tensor_all_stay_over_the_model(tmp_path):
    base, model = save(tmp_path / "b", {"w": torch.zeros(6)}), torch.tensor([1.0, -2.0, 2.0, -2.0, 2.0, 1.0])
    folder = save(tmp_path / "m", {"w": model})
    merge("ties", [folder], tmp_path / "tensor", base=base, density=0.5)
    merge("ties", [folder], tmp_path / "model", base=base, density=0.5, trim="model")
    assert load(tmp_path / "tensor")["w"].tolist() == [0, -2, 2, -2, 0, 0]
    assert load(tmp_path / "model")["w"].tolist() == [0, -2, 2, -2, 2, 0]


def test_a_zero_vote_takes_plus_per_tensor_and_the_majority_over_the_model(tmp_path):
    base = save(tmp_path / "b", {"w": torch.zeros(4)})
    rows = torch.tensor([[1.0, -1.0, -1.0, 3.0], [-1.0, -1.0, -1.0, -3.0]])
    folders = [save(tmp_path / f"m{n}", {"w": row}) for n, row in enumerate(rows)]
    merge("ties", folders, tmp_path / "tensor", base=base)
    merge("ties", folders, tmp_path / "model", base=base, trim="model")
    assert load(tmp_path / "tensor")["w"].tolist() == [1, -1, -1, 3]
    assert load(tmp_path / "model")["w"].tolist() == [-1, -1, -1, -3]


@pytest.mark.parametrize("rescale", ["inverse", "l1"])
def test_dare_depends_on_the_seed_alone_and_density_one_is_ties(tmp_path, family, rescale):
    base, folders, _, _ = family
    results = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        merge("dare_ties", folders, tmp_path / name, base=base, density=0.5, seed=seed, rescale=rescale)
        results[name] = flat(load(tmp_path / name))
    assert np.array_equal(results["a"], results["b"])
    assert np.abs(results["a"] - results["c"]).max() > 0.01
    merge("dare_ties", folders, tmp_path / "full", base=base, rescale=rescale)
    merge("ties", folders, tmp_path / "ties", base=base)
    np.testing.assert_allclose(flat(load(tmp_path / "full")), flat(load(tmp_path / "ties")), atol=1e-6)


def test_dare_is_unbiased_in_expectation(tmp_path):
    delta = torch.linspace(0.5, 1.5, 40)
    base, model = save(tmp_path / "b", {"w": torch.zeros(40)}), save(tmp_path / "m", {"w": delta})
    means, kept = [], []
    for seed in range(200):
        out = tmp_path / f"o{seed}"
        merge("dare_ties", [model], out, base=base, density=0.3, seed=seed)
        value = load(out)["w"]
        means.append(float((value - delta).mean()))
        kept.append(float((value != 0).float().mean()))
        torch.testing.assert_close(value[value != 0], delta[value != 0] / 0.3)
    assert t_interval(mean_error(np.array(means)), level=0.999).contains(0.0)
    assert t_interval(mean_error(np.array(kept)), level=0.999).contains(0.3)


def test_dare_rescaled_by_l1_keeps_each_tensors_norm(tmp_path, family):
    base, folders, bottom, near = family
    merge("dare_ties", folders[:1], tmp_path / "out", base=base, density=0.4, rescale="l1", seed=5)
    for name, value in load(tmp_path / "out").items():
        before = (near[0][name] - bottom[name]).abs().sum()
        torch.testing.assert_close((value - bottom[name]).abs().sum(), before, rtol=1e-4, atol=1e-5)


def test_dare_streams_of_two_models_and_two_tensors_are_independent(tmp_path):
    n = 20_000
    base = save(tmp_path / "b", {"v": torch.zeros(n), "w": torch.zeros(n)})
    model = save(tmp_path / "m", {"v": torch.ones(n), "w": torch.ones(n)})
    merge("dare_ties", [model, model], tmp_path / "out", base=base, density=0.5, normalise=False)
    merged = load(tmp_path / "out")
    counts = torch.bincount(merged["v"].long())  # 0, 1 or 2 models kept an entry, each worth 2
    np.testing.assert_allclose(counts[[0, 2, 4]].numpy() / n, [0.25, 0.5, 0.25], atol=0.02)
    same = float(((merged["v"] > 0) == (merged["w"] > 0)).float().mean())
    assert same == pytest.approx(0.75**2 + 0.25**2, abs=0.02)


def test_layer_gradient_moves_from_the_first_model_to_the_second(tmp_path):
    ones, zeros = tensors(0), tensors(0)
    for weights, value in ((ones, 1.0), (zeros, 0.0)):
        for tensor in weights.values():
            tensor.fill_(value)
    folders = [save(tmp_path / "zeros", zeros), save(tmp_path / "ones", ones)]
    merge("linear", folders, tmp_path / "out", layer_gradient=[[1.0, 0.0], [0.0, 1.0]])
    shares = {name: float(value.mean()) for name, value in load(tmp_path / "out").items()}
    assert shares == {
        "model.embed_tokens.weight": 0.0,
        "model.layers.0.mlp.weight": 0.0,
        "model.layers.1.mlp.weight": 0.5,
        "model.layers.2.mlp.weight": 1.0,
        "model.norm.weight": 1.0,
    }


def test_layer_gradient_of_slerp_is_slerp_layer_by_layer(tmp_path):
    far = [tensors(seed) for seed in (1, 2)]
    folders = [save(tmp_path / f"m{n}", weights) for n, weights in enumerate(far)]
    merge("slerp", folders, tmp_path / "out", layer_gradient=[0.0, 0.2, 0.8])
    for name, t in (("model.layers.0.mlp.weight", 0.0), ("model.layers.1.mlp.weight", 0.2), ("model.norm.weight", 0.8)):
        wanted = slerp_oracle(*(model[name].double().numpy() for model in far), t)
        np.testing.assert_allclose(load(tmp_path / "out")[name].numpy(), wanted, atol=2e-6)
