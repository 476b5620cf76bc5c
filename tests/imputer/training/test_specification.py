"""What is fitted, as plain data."""

import time

import numpy as np
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.training.specification import Specification

WORDS = ("high", "none", "middle", "tails", "tails", "free", "none")


@pytest.mark.parametrize("mechanism", ["auto", "self-masking", "none", "linear"])
@pytest.mark.parametrize("latent", [False, True])
def test_members_have_an_anchor_for_each_slope_that_takes_one(mechanism, latent):
    kinds = ("continuous",) * 5 + ("categorical", "categorical")
    cells = ({},) * 5 + ({"shares": (0.2, 0.3, 0.5)},) * 2
    spec = Specification(mechanism, tuple(range(7)), WORDS, kinds, 2, (4,), members=2, cells=cells, latent=latent)
    for model in spec.models():
        slopes, levels = model.prior.slope, model.prior.by_level
        if model.mechanism is not None:
            assert len(slopes) == model.mechanism.anchored
        # Of two on one side or of no direction, two of tails and a category that reads nothing; not of a middle.
        assert len(slopes) == (5 if spec.separate else 0)
        assert model.prior.log_prob(50, model.decoder, model.warp, model.mechanism).isfinite(), (slopes, levels)


def test_models_of_wide_tables_are_made_at_once():
    """Set-up grows with the columns: a question to all columns for each column, asked for each, took minutes at 400."""
    d = 1500
    wide = Specification("auto", tuple(range(d)), ("low",) * d, ("continuous",) * d, 2, (4,), members=1, cells=({},) * d)
    start = time.process_time()
    (model,) = wide.models()
    assert len(wide.effects()) == d and time.process_time() - start < 5
    assert model.decoder.n_columns == d


def test_a_column_of_two_values_has_no_skewness(seed):
    """Any warp takes two values to any two. One of them, rare, is then as far out as the warp has it, and means with it."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(400, 1))
    x = factor + 0.5 * rng.normal(size=(400, 4))
    x[:, 1] = np.where(x[:, 1] > 0.8, 2.0, -0.5)
    holed = np.where(rng.random(x.shape) < 0.2, np.nan, x)
    imputer = MNARImputer("none", members=2, steps=100, random_state=seed, progress=False).fit(holed)
    for member in imputer.members_:
        assert member.warp.columns.tolist() == [0, 2, 3]
    hidden = np.isnan(holed[:, 1])
    constant = np.sqrt(np.mean((x[hidden, 1] - np.nanmean(holed[:, 1])) ** 2))
    assert np.sqrt(np.mean((imputer.transform(holed)[hidden, 1] - x[hidden, 1]) ** 2)) < constant
    # Another value among hundreds is a third one.
    three = np.where(rng.random((400, 2)) < 0.5, [1.0, 2.0], [3.0, 2.0])
    three[-5:, 1] = 4.0, 1.0, 2.5, 3.0, 0.0
    assert MNARImputer("none", steps=1, members=1, progress=False).fit(np.c_[holed, three]).specification_.of_two == (1, 4)
