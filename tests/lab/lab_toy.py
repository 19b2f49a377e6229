"""A study without any ML, in plain Python: stages that count, checkpoint, fail on demand and write item tables."""

import json
import os
import random
import time
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from paribus.lab import Arm, Arms, Claim, Contrast, Cost, Matched, Settings, Study, current, stage, write_items


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CorpusConfig(_Frozen):
    size: int = 200


class TrainConfig(_Frozen):
    steps: int = 20
    lift: float = 0.0
    pause: float = 0.0


class EvaluateConfig(_Frozen):
    items: int = 60


def count_run(name: str) -> None:
    """Append a line to the file named by TOY_COUNTS: how the tests see which stages really ran."""
    if path := os.environ.get("TOY_COUNTS"):
        with Path(path).open("a") as file:
            file.write(f"{name}\n")


def maybe_fail(name: str) -> None:
    """Fail while a file TOY_FAIL/<name> exists."""
    folder = os.environ.get("TOY_FAIL")
    if folder and (Path(folder) / name).exists():
        raise RuntimeError(f"planted failure of {name}")


@stage(version="1")
def corpus(config: CorpusConfig, *, out: Path) -> None:
    count_run(current().address)
    numbers = random.Random(5)
    (out / "corpus.txt").write_text("\n".join(str(numbers.random()) for _ in range(config.size)))


@stage(version="1", cost=lambda config, inputs: Cost(tokens=config.steps * 100, flops=config.steps * 1e6))
def train(config: TrainConfig, corpus: Path, *, out: Path, seed: int) -> Cost:
    """A 'training' that walks a hash chain, with a checkpoint each step; where it is killed must not matter."""
    context = current()
    count_run(context.address)
    maybe_fail("train")
    checkpoint = context.scratch / "state.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "value": seed + 1}
    text_length = len((corpus / "corpus.txt").read_text())
    for step in range(state["step"], config.steps):
        state = {"step": step + 1, "value": (state["value"] * 6364136223846793005 + text_length) % 2**61}
        partial = checkpoint.with_suffix(".tmp")
        partial.write_text(json.dumps(state))
        partial.replace(checkpoint)
        context.progress(step + 1, config.steps, tokens=100.0 * (step + 1), loss=1.0 / (step + 1))
        time.sleep(config.pause)
    (out / "model.json").write_text(json.dumps({"value": state["value"], "lift": config.lift}))
    return Cost(tokens=config.steps * 100, flops=config.steps * 1e6)


@stage(version="1")
def evaluate(config: EvaluateConfig, model: Path, *, out: Path) -> None:
    count_run(current().address)
    maybe_fail("evaluate")
    facts = json.loads((model / "model.json").read_text())
    noise = random.Random(facts["value"])
    rows = [
        {
            "measure": "score",
            "item": f"{item}-{language}",
            "cluster": str(item),
            "language": language,
            "value": item % 7 + facts["lift"] + noise.gauss(0, 0.1),
        }
        for item in range(config.items)
        for language in ("en", "tr")
    ]
    write_items(out, rows)


class ToySettings(Settings):
    presets: ClassVar = {
        "smoke": {"items": 20, "seeds": (0, 1)},
        "pocket": {},
    }

    items: int = 60
    corpus_size: int = 200
    seeds: tuple[int, ...] = (0, 1, 2)
    training: TrainConfig = TrainConfig()
    lift: float = 1.0


def build(settings: ToySettings) -> Arms:
    data = corpus(CorpusConfig(size=settings.corpus_size))

    def arm(name: str, lift: float) -> Arm:
        config = settings.training.model_copy(update={"lift": lift})
        runs = {}
        for seed in settings.seeds:
            model = train(config, corpus=data, seed=seed)
            runs[seed] = {"model": model, "evaluation": evaluate(EvaluateConfig(items=settings.items), model=model)}
        return Arm(name, f"lift {lift}", runs, {"lift": lift})

    return Arms([arm("plain", 0.0), arm("lifted", settings.lift)])


CONTRASTS = (
    Contrast(
        name="lift",
        arm="lifted",
        baseline="plain",
        measure="score",
        differs_in=("train.lift",),
        matched=Matched(currency="tokens", labels=("train",)),
    ),
)

STUDY = Study(
    name="toy",
    title="Toy",
    question="Does lifting lift?",
    paper="none",
    settings=ToySettings,
    build=build,
    contrasts=CONTRASTS,
    claims=(Claim(id="lift", sentence="Lifting lifts.", source="section 1", contrasts=("lift",)),),
)
