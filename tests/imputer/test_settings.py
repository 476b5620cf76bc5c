"""Settings and arguments of the imputer that are of no use are refused by name, and none of them is passed over."""

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.analysis import long_draws

X = np.random.default_rng(0).normal(size=(30, 2))
X[X[:, 0] > 0.8, 0] = np.nan

SETTINGS = {
    "latent_dim": (0, -1, 1.5, "two"),
    "hidden": (8, "8", [8.5], [0]),
    "members": (1.5, "two", None, True),
    "particles": (2.5, "two", True),
    "batch_size": ("all", None),
    "instrument": (0, 1, "ab"),
    "shadow": (0, None, "ab"),
    "ignorable": (0, None, "ab"),
    "order": (0, 1.5),
    "direction": (0, 1.5, True),
    "mechanism": (["none"], {"a": "none"}),
    "point": (["mean"], {"a": "mean"}),
    "random_state": (-1, 1.5, "zero"),
    "tolerance": ("small", [0.1], -1.0, 0),
    **dict.fromkeys(("add_indicator", "keep_empty_features", "keep_partial", "progress"), ("no", None, 0, [True])),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in SETTINGS.items() for value in values])
def test_a_setting_is_refused_by_name(name, value):
    settings = {"mechanism": "none", "members": 1, "steps": 1, "hidden": (4,), "progress": False} | {name: value}
    with pytest.raises((ValueError, TypeError), match=f"^{name}: ") as found:
        MNARImputer(**settings).fit(X)
    assert found.type in (ValueError, TypeError)


@pytest.mark.parametrize("members", [1, 2])
def test_a_callback_that_cannot_be_called_is_refused_before_the_fit(members):
    from pyro_mnar import IWELBO, MNAR, GaussianDecoder, GaussianEncoder, fit

    x, mask = torch.zeros(4, 2), torch.ones(4, 2, dtype=torch.bool)
    bounds = [IWELBO(MNAR(GaussianDecoder(1, 2), GaussianEncoder(1, 2)), particles=2) for _ in range(members)]
    for call in (
        lambda: MNARImputer("none", members=members, steps=1, progress=False).fit(X, callback="print"),
        lambda: fit(bounds if members > 1 else bounds[0], x, mask, steps=1, callback="print"),
    ):
        with pytest.raises(TypeError, match="^callback: got 'print', expected a function of one Evaluation, or None"):
            call()


def test_an_argument_is_refused_by_name():
    imputer = MNARImputer("self-masking", "high", members=2, steps=1, hidden=(4,), progress=False).fit(X)
    done = imputer.completions(X, 4)
    for call, match in (
        (lambda: imputer.sample(X, 1.5), "n_draws: got 1.5, expected a whole number"),
        (lambda: imputer.completions(X, None), "n_draws: got None"),
        (lambda: imputer.members_of(-1), "n_draws: got -1, expected at least 0"),
        (lambda: imputer.members_of("two"), "n_draws: got 'two'"),
        (lambda: imputer.impute(X, draws="two"), "draws: got 'two'"),
        (lambda: imputer.impute(X, particles=0), "particles: got 0, expected at least 100"),
        (lambda: imputer.missingness(0), "points: got 0, expected at least 1"),
        (lambda: imputer.strengthened(done.tables, 0.5), "done: expected what imputer.completions"),
        (lambda: imputer.strengthened(done, "half"), "factor: got half, expected a finite number"),
        (lambda: long_draws(X, done.tables), "table: got ndarray, expected a DataFrame"),
        (lambda: long_draws(pd.DataFrame(X), done.tables), r"tables\[0\]: got ndarray, expected a DataFrame"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            call()
