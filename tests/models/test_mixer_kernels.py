"""Which kernel computes: the choice and its errors. The kernels themselves need a GPU and are not run here."""

import importlib
from types import SimpleNamespace

import pytest
import torch
from sequence_cases import alone, ids, model, vectors

from paribus.errors import ModelError
from paribus.models import linear_attention
from paribus.models.linear_attention import wants_library
from paribus.models.sequence_shape import MIXERS

WITH_KERNEL = ("retention", "mamba2", "rwkv")
ON_GPU, ON_CPU = SimpleNamespace(is_cuda=True, device="cuda:0"), SimpleNamespace(is_cuda=False, device="cpu")


@pytest.fixture
def library(monkeypatch):
    """A library whose functions note their call and answer with the values they were given."""
    calls = []

    def function(*tensors, **options):
        calls.append((tensors, options))
        return (tensors[2], None)

    names = SimpleNamespace(chunk_simple_gla=function, chunk_rwkv6=function)
    monkeypatch.setattr(linear_attention, "find_spec", lambda name: object())
    monkeypatch.setattr(linear_attention.importlib, "import_module", lambda name: names)
    return calls


@pytest.mark.parametrize(
    ("kernel", "place", "installed", "chosen"),
    [
        ("auto", ON_CPU, True, False),
        ("auto", ON_GPU, True, True),
        ("auto", ON_GPU, False, False),
        ("torch", ON_GPU, True, False),
        ("library", ON_GPU, True, True),
    ],
)
def test_the_library_computes_on_a_gpu_where_it_is_installed(kernel, place, installed, chosen, monkeypatch):
    monkeypatch.setattr(linear_attention, "find_spec", lambda name: object() if installed else None)
    assert wants_library(kernel, place) is chosen


@pytest.mark.parametrize("mixer", WITH_KERNEL)
def test_the_library_gets_tensors_in_its_order_and_no_scale(mixer, library, monkeypatch):
    monkeypatch.setattr(linear_attention, "wants_library", lambda kernel, x: True)
    y = alone(mixer)(vectors(2, 9, 8))
    ((tensors, options),) = library
    assert y.shape == (2, 9, 8)
    assert options["scale"] == 1.0
    assert all(part.shape[:3] == (2, 9, 2) for part in tensors[:3])
    assert all(part.is_contiguous() for part in tensors[:3])
    decays = options["g"] if mixer != "rwkv" else tensors[3]
    assert decays.shape == ((2, 9, 2) if mixer != "rwkv" else (2, 9, 2, 4))
    assert bool((decays < 0).all())


def test_asking_for_an_absent_library_says_what_to_do(monkeypatch):
    monkeypatch.setattr(linear_attention, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="flash-linear-attention, which is not installed; install it"):
        model("retention").set_kernel("library")
    with pytest.raises(ModelError, match="not installed"):
        linear_attention.library_function("fla.ops.rwkv6", "chunk_rwkv6")


def test_asking_for_the_library_on_a_cpu_says_so(library):
    net = model("rwkv")
    net.set_kernel("library")
    with pytest.raises(ModelError, match="runs on a GPU only and the input is on cpu"):
        net(input_ids=ids(1, 4))
    assert not library


@pytest.mark.parametrize("mixer", [mixer for mixer in MIXERS if mixer not in WITH_KERNEL])
def test_mixers_without_a_library_kernel_refuse_it(mixer, library):
    with pytest.raises(ModelError, match="has no library kernel"):
        model(mixer).set_kernel("library")


def test_kernels_are_set_on_every_layer_and_not_in_the_configuration():
    net = model("mamba2", num_hidden_layers=2)
    before, same = net.config.to_dict(), net(input_ids=ids(2, 9)).logits
    net.set_kernel("steps")
    assert net.kernel == "steps"
    assert [layer.mixer.kernel for layer in net.model.layers] == ["steps", "steps"]
    assert net.config.to_dict() == before
    torch.testing.assert_close(net(input_ids=ids(2, 9)).logits, same, rtol=1e-10, atol=1e-10)
    with pytest.raises(ModelError, match="kernel is 'cuda'; use one of auto"):
        net.set_kernel("cuda")


def test_the_librarys_functions_are_where_we_look_for_them():
    pytest.importorskip("fla.ops", reason="flash-linear-attention is not installed")
    assert callable(importlib.import_module("fla.ops.simple_gla").chunk_simple_gla)
    assert callable(importlib.import_module("fla.ops.rwkv6").chunk_rwkv6)
