"""The benchmark compares like with like, and what made the training step cheap is still there."""

import json
import sys
from collections import Counter

import pytest
import torch
from pyro.poutine.messenger import Messenger
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import speed
from pyro_mnar import IWELBO


@pytest.fixture
def arms():
    """The model in double precision, a table, the plain loss and ours."""
    mnar, (x, mask) = speed.declared().double(), speed.table(32)
    with torch.no_grad():
        for parameter in mnar.parameters():  # away from the start, where the networks' last layers are zero
            parameter.add_(0.1 * torch.randn_like(parameter))
    losses = {"plain": speed.hand_written(mnar)} | {name: IWELBO(mnar, speed.PARTICLES, name).loss for name in ("iwae", "dreg")}
    return mnar, (x.double(), mask), losses


def test_plain_loss_is_the_same_bound_with_the_same_gradient(arms):
    mnar, data, losses = arms
    results = {}
    for name, loss in losses.items():
        torch.manual_seed(3)
        value = loss(*data)
        mnar.zero_grad()
        value.backward()
        results[name] = [value.detach(), *(p.grad for p in mnar.parameters())]
    torch.testing.assert_close(results["plain"], results["iwae"], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(results["plain"][0], results["dreg"][0], rtol=1e-12, atol=0)


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_a_step_runs_about_as_many_tensor_operations_as_the_plain_one(arms):
    mnar, data, losses = arms
    counts = {}
    for name, loss in losses.items():
        with Operations() as operations:
            loss(*data).backward()
        counts[name] = operations.seen
    for name in ("iwae", "dreg"):
        assert counts[name].total() <= 1.2 * counts["plain"].total(), counts[name] - counts["plain"]
        # The expensive ones, no more often than they must be.
        for operation in ("mm", "addmm", "special_log_ndtr", "logsumexp", "randn"):
            assert counts[name][operation] <= counts["plain"][operation], operation


def test_a_step_has_five_sites_one_a_plate_and_one_a_variable(arms):
    mnar, data, losses = arms

    class Sites(Messenger):
        names = []

        def _pyro_sample(self, msg):
            self.names.append(msg["name"])

    with Sites() as sites:
        losses["dreg"](*data)
    assert sites.names == ["rows", "z", "rows", "z", "x"]


def test_a_step_takes_less_than_twice_the_plain_one(arms):
    mnar, data, losses = arms
    x, mask = (t.repeat(4, 1) for t in data)
    times = speed.paired({name: lambda loss=loss: loss(x, mask).backward() for name, loss in losses.items()}, 15)
    assert times["iwae"]["ratio"] < 2 and times["dreg"]["ratio"] < 2


def test_the_benchmark_of_a_step_writes_its_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speed.py", "step", "--batch", "8", "--repeats", "1", "--output", str(tmp_path)])
    speed.main()
    results = json.loads((tmp_path / "step.json").read_text())
    assert [(r["adamw"], r["batch"], r["plain"]["ratio"]) for r in results] == [("default", 8, 1.0), ("fused", 8, 1.0)]
    assert capsys.readouterr().out.count("batch") == 2


def test_scaling_is_measured_and_drawn(tmp_path):
    point = {"rows": 50, "columns": 4, "particles": 10}
    measured = speed.measure(**point)
    assert all(value > 0 for value in measured.values())
    speed.draw([{"axis": axis} | point | measured for axis in speed.AXES], tmp_path / "results" / "scaling.png")
    assert (tmp_path / "results" / "scaling.png").stat().st_size > 10_000
