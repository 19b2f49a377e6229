"""Prompts: shapes, seeds, noise, pools, encoding, and errors that say what to do."""

from types import SimpleNamespace

import pytest
import torch
from pydantic import BaseModel

from paribus.errors import ConfigError
from paribus.testbeds.incontext.classes import CLASSES, AnyClass, parse_class
from paribus.testbeds.incontext.pools import fingerprints
from paribus.testbeds.incontext.prompts import encode
from paribus.testbeds.incontext.sampling import PromptSampler
from paribus.testbeds.incontext.teaching_dimension import truth_table

DIMENSIONS = {"sparse_disjunction": 8}
POOLED = [name for name in CLASSES if name != "nearest_neighbour"]


def small(name, **settings):
    return parse_class(name, **{"dimensions": DIMENSIONS.get(name, 5), "points": 12, **settings})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def equal(a, b):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("x", "y", "forced", "taught")) and all(
        torch.equal(a.functions[key], b.functions[key]) for key in a.functions
    )


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("count", [1, 3])
def test_shapes_and_types(name, count):
    cls = small(name)
    prompts = cls.sample(count, generator())
    assert len(prompts) == count
    assert prompts.x.shape == (count, 12, cls.dimensions) and prompts.x.dtype == torch.int8
    assert prompts.y.shape == (count, 12) and prompts.y.dtype == torch.int8
    assert prompts.forced.shape == (count, 12) and prompts.forced.dtype == torch.bool
    assert prompts.taught.tolist() == [0] * count
    assert all(len(tensor) == count for tensor in prompts.functions.values())
    assert prompts.x.abs().min() == 1 and prompts.y.abs().min() == 1
    assert torch.equal(cls.evaluate(prompts.functions, prompts.x), prompts.y)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_smallest_classes_can_be_drawn(name, dimensions):
    cls = parse_class(name, dimensions=dimensions, points=1, **({"size": 1} if "sparse" in name else {}))
    assert cls.sample(2, generator()).x.shape == (2, 1, dimensions)


@pytest.mark.parametrize("name", CLASSES)
def test_a_seed_decides_everything(name):
    settings = {"label_noise": 0.1, "bit_probability": 0.4, "pool": 0 if name == "nearest_neighbour" else 9}
    first, again = (small(name).sample(6, generator(5), **settings) for _ in range(2))
    assert equal(first, again)
    assert not torch.equal(first.x, small(name).sample(6, generator(6), **settings).x)


def test_batches_differ_as_a_generator_moves_on():
    one = generator()
    assert not torch.equal(small("parity").sample(4, one).x, small("parity").sample(4, one).x)


def test_prompts_move_as_a_whole():
    prompts = small("dnf").sample(3, generator())
    moved = prompts.to("meta")
    tensors = [moved.x, moved.y, moved.forced, moved.taught, *moved.functions.values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert equal(prompts.to("cpu"), prompts)


def test_encoding_interleaves_points_and_labels():
    prompts = small("conjunction", dimensions=3, points=2).sample(2, generator())
    batch = encode(prompts)
    for row in range(2):
        (a, b), (u, v) = prompts.x[row].tolist(), prompts.y[row].tolist()
        assert batch["inputs_embeds"][row].tolist() == [a, [u, 0, 0], b, [v, 0, 0]]
        assert batch["labels"][row].tolist() == [int(u > 0), -100, int(v > 0), -100]
    assert batch["inputs_embeds"].dtype == torch.float32 and batch["labels"].dtype == torch.int64


def test_a_label_stands_behind_the_position_that_predicts_it():
    prompts = small("majority").sample(1, generator())
    flipped = encode(type(prompts)(prompts.x, -prompts.y, prompts.functions, prompts.forced, prompts.taught))
    changed = (flipped["inputs_embeds"] != encode(prompts)["inputs_embeds"]).any(2)[0]
    assert changed.tolist() == [False, True] * 12


def test_label_noise_flips_its_share_and_nothing_else():
    clean, noisy = (small("conjunction").sample(2000, generator(), label_noise=p) for p in (0.0, 0.2))
    assert torch.equal(clean.x, noisy.x)
    flipped = (clean.y != noisy.y).double().mean(0)
    assert (flipped - 0.2).abs().max() < 0.04
    all_flipped = small("conjunction").sample(5, generator(), label_noise=1.0)
    assert torch.equal(all_flipped.y, -small("conjunction").evaluate(all_flipped.functions, all_flipped.x))


@pytest.mark.parametrize("name", POOLED)
def test_a_pool_is_finite_and_held_out_functions_lie_outside(name):
    cls = small(name)
    inside = cls.sample(400, generator(1), pool=4, pool_seed=3).functions
    outside = cls.sample(50, generator(2), pool=4, pool_seed=3, held_out=True).functions
    drawn = cls.draw(4, generator(3))
    pool = {tuple(row) for row in truth_table(cls, drawn).tolist()}
    assert {tuple(row) for row in truth_table(cls, inside).tolist()} == pool
    assert not pool & {tuple(row) for row in truth_table(cls, outside).tolist()}
    assert len(next(iter(outside.values()))) == 50


def test_held_out_functions_follow_the_rest_of_the_class():
    cls = parse_class("sparse_parity", dimensions=4)
    drawn = cls.sample(6000, generator(), pool=2, held_out=True).functions["subset"]
    _, counts = drawn.unique(dim=0, return_counts=True)
    assert len(counts) in (4, 5)  # 6 functions without the one or two of the pool
    assert (counts / 6000 - 1 / len(counts)).abs().max() < 0.03


@pytest.mark.parametrize("name", POOLED)
def test_fingerprints_are_equal_exactly_where_functions_are(name):
    cls = small(name)
    functions = cls.draw(300, generator())
    rows, prints = truth_table(cls, functions), fingerprints(cls, functions)
    same = (rows.unsqueeze(0) == rows.unsqueeze(1)).all(2)
    assert torch.equal(same, prints.unsqueeze(0) == prints.unsqueeze(1))


def test_a_pool_of_the_whole_class_holds_nothing_out():
    with pytest.raises(ConfigError, match=r"pool of 500 functions of 'parity' at dimensions=3 leaves only 0 of 2"):
        parse_class("parity", dimensions=3).sample(2, generator(), pool=500, held_out=True)


@pytest.mark.parametrize(("settings", "words"), [
    ({"bit_probability": 1.5}, "bit_probability=1.5 cannot be used"),
    ({"label_noise": -0.1}, "label_noise=-0.1 cannot be used"),
    ({"teaching": 2}, "teaching=2 cannot be used"),
    ({"teaching": 1, "kept": 1.1}, "kept=1.1 cannot be used"),
    ({"teaching": 1, "corruption": -1}, "corruption=-1 cannot be used"),
    ({"held_out": True}, "needs the pool"),
    ({"pool": -1}, "pool=-1 cannot be used"),
])  # fmt: skip
def test_options_that_cannot_be_used_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        small("conjunction").sample(2, generator(), **settings)


def test_a_generator_of_another_device_and_an_empty_batch_are_refused():
    with pytest.raises(ConfigError, match="CPU generator"):
        small("conjunction").sample(2, SimpleNamespace(device=torch.device("cuda")))
    with pytest.raises(ConfigError, match="count=0"):
        small("conjunction").sample(0, generator())


def test_the_neighbour_task_has_no_pool_and_no_list():
    cls = small("nearest_neighbour")
    with pytest.raises(ConfigError, match="pool=3 means nothing for 'nearest_neighbour'"):
        cls.sample(2, generator(), pool=3)
    with pytest.raises(ConfigError, match="no list of all its functions"):
        cls.every()
    with pytest.raises(ConfigError, match="no closed form"):
        cls.log_prior(cls.draw(1, generator()))


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("conjuction", {}, "no function class 'conjuction'; take one of conjunction, disjunction"),
    ("parity", {"dimension": 3}, "dimension=3: .*not permitted.*takes dimensions, points"),
    ("dnf", {"density": 1.2}, "density=1.2"),
    ("dnf", {"monotone": True, "density": 1.0}, "makes all terms equal"),
    ("sparse_parity", {"size": 11}, "size=11 is more than dimensions=10"),
    ("sparse_disjunction", {"dimensions": 3}, "size=4 is more than dimensions=3"),
    ("threshold", {"largest_bias": 2.0}, "allows ties"),
    ("majority", {"points": 0}, "points=0"),
])  # fmt: skip
def test_parsing_names_what_is_wrong(name, settings, words):
    with pytest.raises(ConfigError, match=words):
        parse_class(name, **settings)


@pytest.mark.parametrize("name", CLASSES)
def test_names_and_settings_survive_json(name):
    class Holder(BaseModel):
        of: AnyClass

    cls = parse_class(name.replace("_", "-"), points=11)
    assert Holder.model_validate_json(Holder(of=cls).model_dump_json()).of == cls
    assert type(cls) is CLASSES[name] and cls.name == name


def test_language_models_are_asked_about_denser_functions():
    assert parse_class("conjunction", dimensions=7).llm().density == 0.5
    assert parse_class("majority", dimensions=5).llm().density == 0.5
    assert parse_class("conjunction", dimensions=8).llm().density == 0.3
    assert parse_class("parity", dimensions=5).llm() == parse_class("parity", dimensions=5)


def test_longer_prompts_of_the_same_class():
    cls = small("nearest_neighbour")
    assert cls.at(40).points == 40 and cls.at(40).at(12) == cls
    assert cls.at(40).sample(2, generator()).y.shape == (2, 40)
    with pytest.raises(ConfigError, match="points=0"):
        cls.at(0)


def test_a_sampler_gives_encoded_prompts_and_names_all_that_decides_them():
    cls = small("conjunction")
    batch = PromptSampler(cls, teaching=0.5)(3, generator())
    expected = encode(cls.sample(3, generator(), teaching=0.5))
    assert batch.keys() == expected.keys() and all(torch.equal(batch[key], expected[key]) for key in batch)
    names = {
        PromptSampler(of, **options).data_hash
        for of in (cls, small("disjunction"), cls.at(13), small("conjunction", density=0.4))
        for options in ({}, {"teaching": 0.5}, {"pool": 5}, {"pool": 5, "held_out": True})
    }
    assert len(names) == 16
    assert PromptSampler(cls, pool=5, teaching=0.5).data_hash == PromptSampler(cls, teaching=0.5, pool=5).data_hash
    with pytest.raises(ConfigError, match="points=3"):
        PromptSampler(cls.at(3), teaching=1.0)
