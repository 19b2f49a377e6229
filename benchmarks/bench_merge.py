"""Time and peak memory of merging against mergekit 0.1.5, and how far the results are apart.

A base and three fine-tuned neighbours of 187 M parameters (the shape of a 12-layer Llama, bfloat16, four shards each)
are made in a temporary folder (1.5 GB). Every merge runs in a fresh process, one thread each, imports included;
figures are CPU seconds (user + system) and the peak resident set that the process itself reads from /proc at its end.
Both write bfloat16 and compute in float32. Turns alternate between the two; the smaller figure of two turns counts.

mergekit (LGPL) is used only here, in an environment of its own: ``MERGEKIT_PYTHON`` names its interpreter, otherwise
one is made under the temporary folder (a minute or two). TIES runs on float32 models as well, where no two task-vector
entries have equal magnitude: there both must keep the same entries.

Run: ``python benchmarks/bench_merge.py`` (about five minutes).
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HIDDEN, INNER, LAYERS, VOCABULARY, SHARDS, TURNS = 1024, 2816, 12, 32_000, 4, 2
MODELS = ("base", "tuned1", "tuned2", "tuned3")
PINS = ("mergekit==0.1.5", "torch==2.13.0", "transformers==5.23.0")
ROOT = Path(__file__).resolve().parent.parent

MAKE = """
import json, sys
from pathlib import Path
import torch
from paribus.weights.fingerprint import TensorHashes
from paribus.weights.writing import Planned, ShardWriter, plan_shards

torch.set_num_threads(1)
folder, dtype = Path(sys.argv[1]), getattr(torch, sys.argv[2])
names, sizes = json.loads(sys.argv[3]), json.loads(sys.argv[4])
hidden, inner, layers, vocabulary, shards = sizes
parts = {f"self_attn.{n}_proj": (hidden, hidden) for n in "qkvo"}
parts |= {"mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
         "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,)}
shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
shapes |= {f"model.layers.{i}.{n}.weight": s for i in range(layers) for n, s in parts.items()}
config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
          "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": 16,
          "num_key_value_heads": 16, "vocab_size": vocabulary, "tie_word_embeddings": True, "dtype": sys.argv[2]}
for place, name in enumerate(names):
    planned = [Planned(n, dtype, s) for n, s in shapes.items()]
    limit = sum(p.bytes for p in planned) // shards + 5_000_000
    (folder / name).mkdir(parents=True)
    (folder / name / "config.json").write_text(json.dumps(config))
    with ShardWriter(folder / name, plan_shards(planned, limit), TensorHashes({p.name: p for p in planned})) as writer:
        for number, tensor in enumerate(writer.tensors()):
            base = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(number)) * 0.02
            if place:
                noise = torch.Generator().manual_seed(1000 * place + number)
                base += torch.randn(tensor.shape, generator=noise) * 0.002
            writer.write(base.to(dtype).flatten())
"""

OURS = """
import json, sys
import torch
torch.set_num_threads(1)
from paribus.weights import merge
job = json.loads(sys.argv[1])
print("PEAK", merge(**job).peak_memory)
"""

THEIRS = """
import sys
import torch
torch.set_num_threads(1)
from mergekit.scripts.run_yaml import main
main([sys.argv[1], sys.argv[2], "--no-write-model-card", "--quiet"], standalone_mode=False)
lines = open("/proc/self/status").read().splitlines()
print("PEAK", next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")))
"""

COMPARE = """
import sys
from pathlib import Path
import torch
from paribus.weights.checkpoint import Checkpoint
torch.set_num_threads(1)
with Checkpoint(sys.argv[1]) as ours, Checkpoint(sys.argv[2]) as theirs:
    largest, differing, total = 0.0, 0, 0
    assert ours.entries.keys() == theirs.entries.keys()
    for name in ours.entries:
        for a, b in zip(ours.chunks(name), theirs.chunks(name), strict=True):
            gap = (a.float() - b.float()).abs()
            largest, differing, total = max(largest, float(gap.max())), differing + int((gap > 0).sum()), total + len(a)
print("PEAK", f"{largest:.1e} {100 * differing / total:.4f}")
"""


@dataclass(frozen=True)
class Job:
    """One merge, told to both tools. ``kind``: the stored dtype of the models."""

    name: str
    ours: dict[str, Any]
    theirs: dict[str, Any]
    kind: str = "bfloat16"
    comparable: bool = True


@dataclass(frozen=True)
class Cost:
    """CPU seconds and peak bytes."""

    seconds: float
    memory: float


TASK = {"density": 0.5, "weight": 1.0}
JOBS = (
    Job("linear, 3 models", {"method": "linear", "weights": [0.5, 0.3, 0.2]}, {"merge_method": "linear"}),
    Job("slerp, 2 models", {"method": "slerp", "t": 0.3}, {"merge_method": "slerp", "parameters": {"t": 0.3}}),
    Job("ties, base + 3", {"method": "ties", "density": 0.5}, {"merge_method": "ties", "parameters": TASK}),
    Job(
        "ties, base + 3, float32",
        {"method": "ties", "density": 0.5},
        {"merge_method": "ties", "parameters": TASK},
        "float32",
    ),
    Job(
        "dare_ties, base + 3",
        {"method": "dare_ties", "density": 0.5, "rescale": "l1"},
        {"merge_method": "dare_ties", "parameters": TASK | {"normalize": True, "rescale": True}},
        comparable=False,
    ),
)


def run(python: str | Path, script: str, *arguments: str) -> tuple[str, Cost]:
    """Run a script in its own process; returns what it said after PEAK, and its cost."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        process = subprocess.Popen(
            [str(python), "-c", script, *arguments], stdout=said, stderr=complained, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        said.seek(0), complained.seek(0)
        if status:
            raise SystemExit(f"A benchmark process failed:\n{complained.read()[-3000:]}")
        answers = [line.removeprefix("PEAK ") for line in said.read().splitlines() if line.startswith("PEAK ")]
    answer = answers[-1] if answers else ""
    memory = float(answer) if answer.isdigit() else 0.0
    return answer, Cost(usage.ru_utime + usage.ru_stime, memory)


def mergekit_python(folder: Path) -> str:
    """The interpreter that has mergekit: ``MERGEKIT_PYTHON``, or a new environment."""
    if named := os.environ.get("MERGEKIT_PYTHON"):
        return named
    print(f"Installing {', '.join(PINS)} into a temporary environment ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin/python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PINS]
    subprocess.run([*install, "-c", str(ROOT / "constraints.txt")], check=True)
    return python


def our_arguments(job: Job, models: Path, out: Path) -> dict[str, Any]:
    """Keyword arguments of ``paribus.weights.merge``."""
    used = MODELS[1:3] if job.ours["method"] == "slerp" else MODELS[1:]
    base = {"base": str(models / "base")} if "ties" in job.ours["method"] else {}
    paths = [str(models / name) for name in used]
    return job.ours | base | {"models": paths, "out": str(out), "dtype": "bfloat16", "shard_size": "150MB"}


def their_config(job: Job, models: Path) -> dict[str, Any]:
    """A mergekit configuration (JSON is YAML)."""
    config: dict[str, Any] = job.theirs | {"dtype": "float32", "out_dtype": "bfloat16"}
    paths = [str(models / name) for name in MODELS]
    if job.theirs["merge_method"] == "linear":
        weights = job.ours["weights"]
        return config | {
            "models": [{"model": p, "parameters": {"weight": w}} for p, w in zip(paths[1:], weights, strict=True)]
        }
    if job.theirs["merge_method"] == "slerp":
        return config | {"base_model": paths[1], "models": [{"model": path} for path in paths[1:3]]}
    return config | {"base_model": paths[0], "models": [{"model": path} for path in paths[1:]]}


def measure(job: Job, folder: Path, python: str) -> tuple[Cost, Cost, str]:
    """Smallest cost of both tools over the turns, and the difference of their results."""
    ours: list[Cost] = []
    theirs: list[Cost] = []
    config = folder / "config.yml"
    config.write_text(json.dumps(their_config(job, folder / job.kind)))
    for turn in range(TURNS):
        mine, other = (folder / f"{job.name}-{turn}-{who}" for who in ("paribus", "mergekit"))
        ours.append(run(sys.executable, OURS, json.dumps(our_arguments(job, folder / job.kind, mine)))[1])
        theirs.append(run(python, THEIRS, str(config), str(other))[1])
    gap, _ = run(sys.executable, COMPARE, str(mine), str(other)) if job.comparable else ("random masks", None)
    for turn in range(TURNS):
        for who in ("paribus", "mergekit"):
            subprocess.run(["rm", "-r", str(folder / f"{job.name}-{turn}-{who}")], check=True)
    return smallest(ours), smallest(theirs), gap


def smallest(costs: list[Cost]) -> Cost:
    """The smallest of each figure."""
    return Cost(min(cost.seconds for cost in costs), min(cost.memory for cost in costs))


def main() -> None:
    """Make the models, run every job with both tools, print a table."""
    sizes = json.dumps([HIDDEN, INNER, LAYERS, VOCABULARY, SHARDS])
    print(
        "| merge | paribus CPU s | mergekit CPU s | ratio | paribus MB | mergekit MB | ratio "
        "| max abs difference, % entries |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="bench-merge-") as place:
        folder = Path(place)
        python = mergekit_python(folder / "mergekit")
        for kind in ("bfloat16", "float32"):
            run(sys.executable, MAKE, str(folder / kind), kind, json.dumps(MODELS), sizes)
        for job in JOBS:
            ours, theirs, gap = measure(job, folder, python)
            print(
                f"| {job.name} | {ours.seconds:.1f} | {theirs.seconds:.1f} | {ours.seconds / theirs.seconds:.2f} "
                f"| {ours.memory / 1e6:.0f} | {theirs.memory / 1e6:.0f} | {ours.memory / theirs.memory:.2f} | {gap} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
