"""Masks made by a known rule, and the data sets they are made on."""

import os
from pathlib import Path

import numpy as np
import pytest

from pyro_mnar.tables import amputate, load

DATA = Path(os.environ.get("PYRO_MNAR_DATA", Path(__file__).parents[3] / "shared" / "data"))
X = np.random.default_rng(1).normal(size=(4000, 4))


def test_the_hard_rule_hides_what_is_above_the_mean():
    mask = amputate(X, "hard")
    assert (mask[:, :2] == (X[:, :2] <= X[:, :2].mean(0))).all() and mask[:, 2:].all()
    low = amputate(X, "hard", rate=0.1, direction="low")
    assert X[~low[:, 0], 0].max() < X[low[:, 0], 0].min() and abs((~low[:, 0]).mean() - 0.1) < 1e-3


@pytest.mark.parametrize("kind", ["self", "mar", "mcar"])
@pytest.mark.parametrize("seed", range(5))
def test_soft_rates_are_those_asked_for(kind, seed):
    mask = amputate(X, kind, rate=0.3, columns=[0], seed=seed)
    z = ((~mask[:, 0]).mean() - 0.3) / np.sqrt(0.3 * 0.7 / len(X))
    assert abs(z) < 4 and mask[:, 1:].all()
    assert (mask == amputate(X, kind, rate=0.3, columns=[0], seed=seed)).all()


def test_self_masking_reads_the_value_and_mar_the_others():
    missing = ~amputate(X, "self", columns=[0])[:, 0]
    assert X[missing, 0].mean() > X[~missing, 0].mean() + 0.5
    missing = ~amputate(X, "self", columns=[0], direction="low")[:, 0]
    assert X[missing, 0].mean() < X[~missing, 0].mean() - 0.5
    missing = ~amputate(X, "mar", columns=[0])[:, 0]
    assert X[missing, 1:].mean() > X[~missing, 1:].mean() + 0.3
    assert abs(X[missing, 0].mean() - X[~missing, 0].mean()) < 4 * 2 / np.sqrt(missing.sum())


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "odd"},
        {"kind": "hard", "slope": 2},
        {"kind": "mcar", "direction": "high"},
        {"kind": "self", "direction": "up"},
        {"kind": "self", "rate": 1.5},
        {"kind": "mar", "columns": range(4)},
        {"kind": "self", "columns": [9]},
    ],
)
def test_amputate_refuses(wrong):
    with pytest.raises(ValueError, match="kind|slope|direction|rate|columns"):
        amputate(X, **wrong)


@pytest.mark.parametrize(
    ("name", "zero_fill"), [("banknote", 0.949), ("concrete", 1.108), ("red", 1.353), ("white", 1.241), ("breast", 1.307)]
)
def test_the_protocol_is_the_papers(name, zero_fill):
    if name != "breast" and not (DATA / "uci").is_dir():
        pytest.skip(f"no UCI tables in {DATA} (set PYRO_MNAR_DATA)")
    x = load(name, DATA).to_numpy(float)
    x = (x - x.mean(0)) / x.std(0)
    hidden = x[~amputate(x, "hard")]
    assert np.sqrt((hidden**2).mean()) == pytest.approx(zero_fill, abs=6e-4)


def test_load_refuses(tmp_path):
    with pytest.raises(ValueError, match="expected one of breast"):
        load("odd")
    with pytest.raises(ValueError, match="data_home: got none"):
        load("red")
