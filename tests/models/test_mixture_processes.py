"""Two processes over gloo: the mean of their auxiliary losses and gradients is that of one process with all rows."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mixture_cases import ids, mixture
from safetensors.torch import load_file

WORKER = """
import os, sys
sys.path.insert(0, sys.argv[1])
import torch
from torch import distributed as dist
from safetensors.torch import save_file
from test_mixture_processes import model_and_rows

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()
model, tokens, mask = model_and_rows()
shard = slice(0, 1) if rank == 0 else slice(1, 4)
reductions, all_reduce = [], dist.all_reduce
dist.all_reduce = lambda *args, **kwargs: (reductions.append(1), all_reduce(*args, **kwargs))[1]
loss = model.train()(tokens[shard], attention_mask=mask[shard]).aux_loss
assert len(reductions) == 1, reductions  # once for all layers
loss.backward()
if rank == 0:
    model.eval()(tokens[:1], labels=tokens[:1])  # alone: nobody to wait for
assert len(reductions) == 1, reductions
found = {"loss": loss.detach()} | {n: w.grad for n, w in model.named_parameters() if w.grad is not None}
for tensor in found.values():
    all_reduce(tensor)
    tensor /= 2
if rank == 0:
    save_file(found, sys.argv[2])
dist.destroy_process_group()
"""


def model_and_rows() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """Rows with unequal padding, so that the processes have different numbers of tokens."""
    model, tokens = mixture("btx top-2", dtype=torch.float64), ids(4, 7)
    mask = torch.arange(7) < torch.tensor([[2], [7], [5], [7]])
    return model, tokens, mask.long()


@pytest.mark.slow
def test_the_mean_over_processes_is_the_value_of_one(tmp_path):
    model, tokens, mask = model_and_rows()
    whole = model.train()(tokens, attention_mask=mask).aux_loss
    whole.backward()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(tmp_path / "found.safetensors")]
    workers = [subprocess.Popen(command, env=common | {"GLOO_SOCKET_IFNAME": "lo", "RANK": str(r)}) for r in range(2)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    found = load_file(tmp_path / "found.safetensors")
    torch.testing.assert_close(found.pop("loss"), whole.detach(), rtol=1e-12, atol=1e-14)
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    assert "model.layers.0.mlp.router.weight" in gradients and found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-14)
