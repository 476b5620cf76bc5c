"""AdamW is torch's, and brings none of its compiler along."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from pyro_mnar.infer.adamw import AdamW


def groups_of(net: nn.Module) -> list[dict]:
    weights = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() <= 1]
    return [{"params": weights, "lr": 0.05, "weight_decay": 0.1}, {"params": others, "lr": 0.2, "weight_decay": 0.0}]


def test_every_step_is_torchs_bit_for_bit():
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(3, 17), nn.ReLU(), nn.Linear(17, 2))
    theirs = copy.deepcopy(ours)
    own, torchs = AdamW(groups_of(ours)), torch.optim.AdamW(groups_of(theirs), betas=(0.9, 0.99), fused=True)
    rates = [group["lr"] for group in torchs.param_groups]
    x = torch.randn(9, 3)
    for step in range(30):
        most = 0.5 if step % 2 else 100.0  # the shorter one is reached
        share = (step + 1) / 30
        for group, rate in zip(torchs.param_groups, rates, strict=True):
            group["lr"] = share * rate
        for net, optimizer in ((ours, own), (theirs, torchs)):
            optimizer.zero_grad()
            (net[0](x) if step < 3 else net(x)).square().sum().backward()  # the last layer has no gradient at first
        own.clip(most)
        nn.utils.clip_grad_norm_([p for group in torchs.param_groups for p in group["params"]], most)
        own.step(share)
        torchs.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b), step


def test_a_group_without_any_gradient_stays():
    still, moved = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = AdamW([{"params": [p], "lr": 0.1, "weight_decay": 0.5} for p in (still, moved)])
    moved.sum().backward()
    optimizer.step()
    assert still.tolist() == [1.0, 1.0] and max(moved.tolist()) < 0.9 and list(optimizer.state) == [moved]


def test_a_gradient_that_is_no_number_is_not_hidden():
    weight = nn.Parameter(torch.ones(2))
    optimizer = AdamW([{"params": [weight], "lr": 0.1, "weight_decay": 0.0}])
    weight.grad = torch.tensor([1.0, torch.nan])
    optimizer.clip(1.0)
    assert bool(weight.grad.isnan().all())


@pytest.mark.script
def test_training_does_not_import_torchs_compiler():
    code = (
        "import sys, torch; from pyro_mnar import IWELBO, MNAR, GaussianDecoder, GaussianEncoder; "
        "from pyro_mnar.infer.training import train; x = torch.zeros(9, 2); "
        "train(IWELBO(MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)), 5), x, x == 0, steps=2, progress=False); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
