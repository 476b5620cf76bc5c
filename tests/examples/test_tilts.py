"""The examples of tilts run, small, write their figures, and their numbers go the way that they are there to show."""

import argparse
from pathlib import Path

import pytest
import torch

from examples import debiasing, latent_tilt, ordered_pressures, tilt

pytestmark = pytest.mark.filterwarnings("ignore:tilt:UserWarning")


def figure(tmp_path: Path) -> Path:
    return tmp_path / "figure.png"


def test_tilted_imputations_lie_nearer_to_the_ring(tmp_path, capsys):
    ratio = tilt.main(argparse.Namespace(output=str(figure(tmp_path)), rows=300, steps=40, seed=0))
    assert ratio < 1
    assert figure(tmp_path).stat().st_size > 10_000
    assert "log Z" in capsys.readouterr().out


def test_a_tilt_brings_the_shares_nearer_to_those_of_the_few_rows(tmp_path, capsys):
    given = f"--output {figure(tmp_path)} --biased 500 --unbiased 60 --steps 200"
    errors = debiasing.main(debiasing.options(given.split()))
    assert errors["tilted"] < 0.6 * errors["base"] and errors["few"] < errors["base"]
    assert figure(tmp_path).stat().st_size > 10_000
    assert "tilted: " in capsys.readouterr().out


def test_imputed_pressures_are_in_order_under_the_constraint(tmp_path, capsys):
    given = f"--output {figure(tmp_path)} --rows 200 --steps 60 --particles 200"
    wrong = ordered_pressures.main(ordered_pressures.options(given.split()))
    assert wrong["constraint"] < 0.3 * wrong["base"]
    assert figure(tmp_path).stat().st_size > 10_000
    assert "new rows" in capsys.readouterr().out


def test_simulated_pressures_are_in_order():
    full = ordered_pressures.table(5000)
    assert bool((ordered_pressures.in_order(full) == 0).all())
    assert ordered_pressures.in_order(torch.tensor([[1.0, 0.25, 0.0]])).tolist() == [-0.75]


def test_a_latent_tilt_runs_on_the_digits_that_are_at_hand(tmp_path, capsys):
    given = f"--output {figure(tmp_path)} --biased 200 --unbiased 100 --steps 20 --steps-tilt 10 --draws 100"
    errors = latent_tilt.main(latent_tilt.options(given.split()))
    assert set(errors) == {"base", "tilted"} and all(0 <= error <= 0.8 for error in errors.values())
    assert figure(tmp_path).stat().st_size > 10_000
    assert "the classifier is right on" in capsys.readouterr().out


def test_images_are_split_without_overlap_in_the_stated_shares():
    classes = torch.arange(5).repeat_interleave(900)
    biased, unbiased, rest = latent_tilt.split(classes, 2500, 250)
    assert torch.cat([biased, unbiased, rest]).sort().values.equal(torch.arange(4500))
    assert torch.bincount(classes[biased]).tolist() == [300, 825, 700, 500, 175]
    assert torch.bincount(classes[unbiased]).tolist() == [50] * 5


def test_mnist_is_read_from_the_user_s_files(tmp_path):
    import gzip

    raw = tmp_path / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + bytes(784) + b"\xff" * 784))
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + bytes([7, 3])))
    images, classes = latent_tilt.digits(str(tmp_path))
    assert images.tolist() == [[1.0] * 784] and classes.tolist() == [3]
