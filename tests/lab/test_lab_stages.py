"""Building: calls return handles, run nothing, import nothing heavy, and say clearly what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from lab_toy import CorpusConfig, EvaluateConfig, TrainConfig, corpus, evaluate, train
from pydantic import BaseModel

from paribus.errors import ConfigError
from paribus.lab import Graph, Handle, stage


class Loose(BaseModel):
    steps: int = 1


@stage
def join(parts: list[Path], named: dict[str, Path], extra: Path | None = None, *, out: Path) -> None:
    """Never run: only planned here."""


def test_a_call_returns_a_handle_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_COUNTS", str(tmp_path / "counts"))
    handle = train(TrainConfig(steps=3), corpus=corpus(CorpusConfig()), seed=1)
    assert isinstance(handle, Handle)
    assert not (tmp_path / "counts").exists()
    assert handle.address.startswith("train-") and len(handle.address) == len("train-") + 12


def test_planning_a_study_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/lab'); import lab_toy, paribus.lab as lab\n"
        "plan = lab_toy.STUDY.plan(); lab.price(plan)\n"
        "print([m for m in ('torch', 'numpy', 'scipy', 'transformers', 'pyarrow') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_label_is_not_part_of_the_identity_but_seed_config_and_parents_are() -> None:
    data = corpus(CorpusConfig())
    base = train(TrainConfig(), corpus=data, seed=1)
    assert train(TrainConfig(), corpus=data, seed=1, label="other").address == base.address
    others = [
        train(TrainConfig(), corpus=data, seed=2),
        train(TrainConfig(steps=21), corpus=data, seed=1),
        train(TrainConfig(), corpus=corpus(CorpusConfig(size=7)), seed=1),
    ]
    assert len({base.address, *(h.address for h in others)}) == 4


def test_inputs_may_be_lists_and_dictionaries_in_a_meaningful_order() -> None:
    a, b = corpus(CorpusConfig(size=1)), corpus(CorpusConfig(size=2))
    one, other = join(parts=[a, b], named={"x": a}), join(parts=[b, a], named={"x": a})
    assert one.address != other.address
    assert one.address == join(parts=(a, b), named={"x": a}, extra=None).address
    assert [h.address for h in one.parents()] == [a.address, b.address, a.address]


def test_a_graph_holds_each_address_once_parents_first() -> None:
    data = corpus(CorpusConfig())
    ends = [evaluate(EvaluateConfig(), model=train(TrainConfig(), corpus=data, seed=s)) for s in (0, 1, 1)]
    graph = Graph(ends)
    assert len(graph) == 5
    order = list(graph.nodes)
    assert all(order.index(p) < order.index(a) for a in order for p in graph.parents[a])
    assert len(graph.descendants(data.address)) == 4


def test_a_chain_of_two_thousand_stages_is_planned() -> None:
    handle = join(parts=[], named={})
    for _ in range(2000):
        handle = join(parts=[handle], named={})
    assert len(Graph([handle])) == 2001


def test_two_stages_may_not_share_a_name() -> None:
    @stage(name="corpus")
    def other(*, out: Path) -> None: ...

    with pytest.raises(ConfigError, match="Two stages are named 'corpus'"):
        Graph([corpus(CorpusConfig()), other()])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: train(TrainConfig(), corpus=corpus(CorpusConfig())), "seed"),
        (lambda: corpus(CorpusConfig(), seed=3), "takes no seed"),
        (lambda: train(TrainConfig(), seed=1), "needs the input 'corpus'"),
        (lambda: train(TrainConfig(), corpsu=corpus(CorpusConfig()), seed=1), "Did you mean 'corpus'"),
        (lambda: train(TrainConfig(), corpus="a/path", seed=1), "is a str"),
        (lambda: train(CorpusConfig(), corpus=corpus(CorpusConfig()), seed=1), "needs a TrainConfig"),
        (lambda: corpus(CorpusConfig(), label="a.b"), "label"),
        (lambda: join(TrainConfig(), parts=[], named={}), "takes no config"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=said):
        call()


def test_a_stage_must_be_recordable() -> None:
    with pytest.raises(ConfigError, match="no parameter 'out'"):
        stage(lambda config: None)
    with pytest.raises(ConfigError, match="name every input"):

        @stage
        def open_ended(*, out: Path, **inputs: Path) -> None: ...


def test_a_config_that_can_change_is_refused() -> None:
    @stage
    def loose(config: Loose, *, out: Path) -> None: ...

    with pytest.raises(ConfigError, match="frozen=True"):
        loose(Loose())
