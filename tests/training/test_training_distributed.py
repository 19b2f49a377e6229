"""Two processes over gloo end where one process does."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_processes import launch
from training_toys import decoder, packed, settings, stream

from paribus.training.objectives.causal import Causal
from paribus.training.trainer import train

WORKER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import torch
from pathlib import Path
from safetensors.torch import save_file
from training_toys import decoder, packed, settings, stream
from paribus.training.compute import FP32
from paribus.training.objectives.causal import Causal
from paribus.training.trainer import train

torch.set_num_threads(1)
out = Path(sys.argv[2])
run = settings(batch_size=8, gradient_accumulation=2, checkpoint_every=4)
feed = stream(packed(48), batch_size=8)
result = train(decoder(), feed, Causal(average="example"), run, compute=FP32, checkpoint_dir=out / "checkpoints")
if os.environ["RANK"] == "0":
    save_file(dict(result.model.named_parameters()), out / "weights.safetensors")
    counts = [result.tokens, result.targets, result.resumed_at]
    (out / "result.json").write_text(json.dumps({"history": result.history, "counts": counts}))
torch.distributed.destroy_process_group()
"""


def run_two(out: Path) -> dict:
    launch(WORKER, out)
    return json.loads((out / "result.json").read_text())


@pytest.mark.slow
def test_two_processes_make_the_step_of_one(tmp_path):
    whole = train(decoder(), stream(packed(48), batch_size=8), Causal(average="example"), settings(batch_size=8))
    found = run_two(tmp_path)
    assert [row["loss"] for row in found["history"]] == pytest.approx([row["loss"] for row in whole.history], abs=1e-5)
    assert found["counts"] == [whole.tokens, whole.targets, 0]
    together = load_file(tmp_path / "weights.safetensors")
    for name, weight in whole.model.named_parameters():
        torch.testing.assert_close(together[name], weight.detach(), atol=1e-4, rtol=1e-3)
    # Without the last checkpoint both processes resume from that of step 4, and end in the same place.
    shutil.rmtree(tmp_path / "checkpoints" / "checkpoint-6")
    resumed = run_two(tmp_path)
    assert resumed["counts"] == [whole.tokens, whole.targets, 4]
    assert resumed["history"] == found["history"]
    again = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(again[name], together[name]) for name in together)
