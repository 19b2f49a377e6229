"""Time and peak memory of upcycling four models of 1 GB, against copying the same bytes.

Four models in the shape of a Llama (width 1,024, 34 layers, 503 M parameters, bfloat16, two shards) are made in a
temporary folder (4 GB). Each upcycling and each copy of all the models' files (``shutil.copyfile``) runs in a fresh
process with one thread; turns alternate, and the smaller figure of two turns counts. *Cold*: the system has been asked
to forget the models' pages (``posix_fadvise``); *warm*: they have just been read. Neither side waits for the disk to
have written. Memory is the process's peak resident set above what it held after it had upcycled a tiny model, when all
libraries are loaded; it is set against the tensors that one layer of the output takes.

Run: ``python benchmarks/bench_upcycle.py`` (about four minutes and 9 GB of disk).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HIDDEN, INNER, LAYERS, HEADS, VOCABULARY, MODELS, TURNS = 1024, 2816, 34, 16, 32_000, 4, 2
VARIANTS = ("expert_kv", "btx")

MAKE = """
import json, sys
from pathlib import Path
import torch
from transformers import LlamaConfig
from paribus.weights.fingerprint import TensorHashes
from paribus.weights.writing import Planned, ShardWriter, plan_shards

torch.set_num_threads(1)
folder, hidden, inner, layers, heads, vocabulary, models = Path(sys.argv[1]), *map(int, sys.argv[2:])

def make(place, hidden, inner, layers, heads, vocabulary, seed):
    parts = {f"self_attn.{n}_proj": (hidden, hidden) for n in "qkvo"}
    parts |= {"mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
              "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,)}
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
    shapes |= {f"model.layers.{i}.{n}.weight": s for i in range(layers) for n, s in parts.items()}
    shapes |= {"lm_head.weight": (vocabulary, hidden)}
    LlamaConfig(vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
                num_attention_heads=heads, dtype="bfloat16", architectures=["LlamaForCausalLM"]).save_pretrained(place)
    planned = [Planned(n, torch.bfloat16, s) for n, s in shapes.items()]
    pool = (torch.randn(1 << 22, generator=torch.Generator().manual_seed(seed)) * 0.02).bfloat16()
    shards = plan_shards(planned, sum(p.bytes for p in planned) // 2 + 20_000_000)
    with ShardWriter(place, shards, TensorHashes({p.name: p for p in planned})) as writer:
        for tensor in writer.tensors():
            left = tensor.elements
            while left:
                writer.write(pool[:left].contiguous())
                left -= min(left, len(pool))

make(folder / "small", 16, 32, 1, 2, 64, 0)
for number in range(models):
    make(folder / str(number), hidden, inner, layers, heads, vocabulary, number)
"""

UPCYCLE = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from paribus.weights import upcycle
from paribus.weights.merging import peak_memory
variant, out, *models = sys.argv[1:]
upcycle(variant, [str(Path(out).parent / "small")] * 4, out + "-small")
Path("/proc/self/clear_refs").write_text("5")
before = peak_memory()
started, cpu = time.perf_counter(), time.process_time()
report = upcycle(variant, models, out)
seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
layer = [t for t in report.tensors if ".layers.0." in t.name]
size = sum(torch.Size(t.shape).numel() * 2 for t in layer)
written = sum(torch.Size(t.shape).numel() * 2 for t in report.tensors)
print(json.dumps({"seconds": seconds, "cpu": cpu, "memory": report.peak_memory - before,
                  "layer": size, "written": written}))
"""

COPY = """
import json, shutil, sys, time
from pathlib import Path
out, *models = map(Path, sys.argv[1:])
out.mkdir()
started, cpu = time.perf_counter(), time.process_time()
for number, model in enumerate(models):
    for file in model.glob("*.safetensors"):
        shutil.copyfile(file, out / f"{number}-{file.name}")
print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}))
"""


@dataclass(frozen=True)
class Cost:
    """Seconds and, of an upcycling, bytes."""

    seconds: float
    cpu: float
    memory: int = 0
    layer: int = 0
    written: int = 0


def run(script: str, *arguments: object) -> str:
    """The last line that a script printed in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"A benchmark process failed:\n{done.stderr[-3000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def forget(models: list[Path]) -> None:
    """Drop the models' pages from memory."""
    for file in (file for model in models for file in model.glob("*.safetensors")):
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def remember(models: list[Path]) -> None:
    """Read the models' files once."""
    for file in (file for model in models for file in model.glob("*.safetensors")):
        with file.open("rb", buffering=0) as stream:
            while stream.read(1 << 22):
                pass


def measured(script: str, out: Path, models: list[Path], *, cold: bool, first: tuple[str, ...] = ()) -> Cost:
    """One turn: the models' pages as wanted, the script, and its output removed."""
    os.sync()  # what the turn before wrote would slow this one
    (forget if cold else remember)(models)
    cost = Cost(**json.loads(run(script, *first, out, *models)))
    for leftover in (out, out.with_name(f"{out.name}-small")):
        shutil.rmtree(leftover, ignore_errors=True)
    return cost


def quickest(costs: list[Cost]) -> Cost:
    """The turn that took the fewest seconds."""
    return min(costs, key=lambda cost: cost.seconds)


def main() -> None:
    """Make the models, run every variant cold and warm beside a copy, print a table."""
    print(
        "| variant | pages | written MB | upcycle s (CPU) | copy s (CPU) | ratio (CPU) | peak MB | layer MB | ratio |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="bench-upcycle-") as place:
        folder = Path(place)
        run(MAKE, folder, HIDDEN, INNER, LAYERS, HEADS, VOCABULARY, MODELS)
        models = [folder / str(number) for number in range(MODELS)]
        for variant in VARIANTS:
            for cold in (True, False):
                ours, copies = [], []
                for _ in range(TURNS):
                    copies.append(measured(COPY, folder / "copy", models, cold=cold))
                    ours.append(measured(UPCYCLE, folder / "out", models, cold=cold, first=(variant,)))
                mine, copy = quickest(ours), quickest(copies)
                print(
                    f"| {variant} | {'cold' if cold else 'warm'} | {mine.written / 1e6:,.0f} "
                    f"| {mine.seconds:.1f} ({mine.cpu:.1f}) | {copy.seconds:.1f} ({copy.cpu:.1f}) "
                    f"| {mine.seconds / copy.seconds:.2f} ({mine.cpu / copy.cpu:.2f}) | {mine.memory / 1e6:.0f} "
                    f"| {mine.layer / 1e6:.0f} | {mine.memory / mine.layer:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
