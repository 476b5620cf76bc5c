"""Where an imputer computes: what its words mean, what is refused, and that a copy elsewhere gives the same."""

import numpy as np
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.imputation.ensemble import impute
from pyro_mnar.imputer.devices import AUTO_ROWS, device_of


def rows(n=60):
    x = np.random.default_rng(0).normal(size=(n, 3))
    x[x[:, 0] > 1, 0] = np.nan
    return x


def small(**settings):
    return MNARImputer("self-masking", "high", members=2, steps=3, hidden=(8,), progress=False, **settings)


@pytest.mark.parametrize("word", ["gpu", "cuda:7", "mps", "", 0])
def test_a_device_that_does_not_exist_is_refused_before_anything_is_fitted(word):
    imputer = small(device=word)
    with pytest.raises(ValueError, match=r"device: got .*, expected auto, cpu, cuda or a device of this machine \(cpu"):
        imputer.fit(rows())
    fitted = small().fit(rows())
    fitted.device = word
    with pytest.raises(ValueError, match="device: got"):
        fitted.transform(rows())


def test_without_a_gpu_one_is_refused_and_auto_is_the_processor(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=r"device: got 'cuda', expected a device of this machine \(cpu\) or auto"):
        small(device="cuda").fit(rows())
    assert device_of(small(device="auto"), 10 * AUTO_ROWS) == torch.device("cpu")
    np.savetxt(tmp_path / "t.csv", rows(), delimiter=",", header="a,b,c", comments="")
    command = ["impute", str(tmp_path / "t.csv"), "--output", str(tmp_path / "o.csv"), "--steps", "1", "--device", "cuda"]
    assert main(command) == 2 and "device: got 'cuda'" in capsys.readouterr().err and not (tmp_path / "o.csv").exists()


def test_auto_takes_a_gpu_for_large_tables_and_members_take_turns_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of(small(device="auto"), AUTO_ROWS) == torch.device("cuda")
    assert device_of(small(device="auto"), AUTO_ROWS - 1) == torch.device("cpu")
    assert device_of(small(device="cuda:1"), 1) == torch.device("cuda:1")
    with pytest.raises(ValueError, match="n_jobs: got 2 with device 'cuda', expected 1"):
        device_of(small(device="cuda", n_jobs=2), 1)


def test_auto_fits_and_imputes_small_tables_as_the_processor_does_and_is_no_part_of_a_saved_model(tmp_path):
    one, other = small().fit(rows()), small(device="auto").fit(rows())
    np.testing.assert_array_equal(one.transform(rows()), other.transform(rows()))
    other.save(tmp_path / "m")
    assert MNARImputer.load(tmp_path / "m").device == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_the_members_come_back_and_results_are_those_of_the_processor():
    x = rows(300)
    fitted = small(device="cuda").fit(x)
    assert all(parameter.device.type == "cpu" for member in fitted.members_ for parameter in member.parameters())
    there = fitted.impute(x, draws=4)
    fitted.device = "cpu"
    here = fitted.impute(x, draws=4)
    assert there.completed.device.type == "cpu"
    torch.testing.assert_close(there.completed, here.completed, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        small(device="cuda").fit(x).impute(x).completed, small().fit(x).impute(x).completed, rtol=0.05, atol=0.05
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_tensors_on_a_gpu_come_back_to_where_they_were():
    fitted = small().fit(rows())
    x = torch.zeros(5, 3)
    found = impute(fitted.members_, x, torch.rand(5, 3) > 0.5, draws=2, progress=False, device="cuda")
    assert all(value.device.type == "cpu" for value in (found.completed, found.draws, found.ess, found.pareto_k))
