"""The mechanism of a fitted imputer made stronger and weaker, against quadrature."""

import numpy as np
import pandas as pd
import pytest
import torch
from exact import LAW, MASKS, ROWS, Z_MAX, self_masking
from scipy import special

from pyro_mnar import MNARImputer
from pyro_mnar.faces.strength import completions, strengthened
from pyro_mnar.models import LOGIT, MNAR, PROBIT, ConjugateEncoder
from pyro_mnar.results.sensitivity import Completions
from pyro_mnar.tables import Layout, Scaling, Schema, Units

SLOPES, INTERCEPTS = np.array([1.5, -1.2, np.nan, np.nan]), np.array([0.3, -0.2, 0.0, 0.0])


def exact_imputer(link, members=1):
    """An imputer whose members are a known linear-Gaussian model with known self-masking of its first two columns."""
    imputer = MNARImputer(progress=False)
    imputer.scaling_ = Units(Schema.of(np.zeros((1, 4))).columns, Scaling(np.zeros(4), np.ones(4)))
    imputer.declaration_ = {"mechanism": "self-masking", "columns": [0, 1]}
    models = []
    for _ in range(members):
        decoder = LAW.decoder().float()
        models.append(MNAR(decoder, ConjugateEncoder(decoder), self_masking(SLOPES, INTERCEPTS, link).float()))
    imputer.members_, imputer.schema_, imputer.n_features_in_ = [model.eval() for model in models], Schema.of(np.zeros((1, 4))), 4
    imputer.layout_ = Layout((0, 1, 2, 3), (0, 1, 2, 3), (), keep_empty=False, indicators=False)
    return imputer


@pytest.mark.parametrize(
    ("link", "cdf", "middle"), [(LOGIT, special.log_expit, 1.0), (PROBIT, special.log_ndtr, 4 / (2 * np.pi) ** 0.5)]
)
@pytest.mark.parametrize(("pattern", "factor"), [(1, 1.3), (1, 0.5)])
def test_a_stronger_mechanism_is_the_tilted_posterior(link, cdf, middle, pattern, factor):
    row, mask, n = ROWS[pattern], MASKS[pattern], 200
    x = np.where(mask, row, np.nan) + np.zeros((n, 1))
    imputer = exact_imputer(link)
    done = strengthened(imputer, completions(imputer, x, 800), factor)
    holes = np.flatnonzero(~mask)

    def log_mask(rows):
        gain = rows[:, holes] * SLOPES[holes]
        return (cdf(gain + INTERCEPTS[holes]) + (factor - 1) * middle * gain).sum(-1)

    exact = LAW.grid(row, mask, log_mask, points=301)
    for k, j in enumerate(holes):
        means = done.values(j).mean(0)
        assert abs(means.mean() - exact.mean[k]) < Z_MAX * means.std() / n**0.5 + 0.01  # self-normalising costs some bias
        spread = ((done.values(j) - exact.mean[k]) ** 2).mean(0)
        assert abs(spread.mean() - exact.cov[k, k]) < Z_MAX * spread.std() / n**0.5 + 0.02
    assert not done.refit_due


def test_the_gains_of_a_rows_missing_cells_add():
    imputer, row, mask = exact_imputer(LOGIT, members=2), ROWS[2], MASKS[2]
    x = np.where(mask, row, np.nan) + np.zeros((30, 1))
    done = completions(imputer, x, 100)
    gain = 0.5 * (SLOPES[0] * done.values(0) + SLOPES[1] * done.values(1))
    own = np.concatenate([part - part.max(0) for part in np.split(gain, 2)])
    ours, theirs = strengthened(imputer, done, 1.5), done.reweight(own)
    assert ours.share == pytest.approx(theirs.share, rel=1e-4)
    assert (ours.values(0) == theirs.values(0)).mean() > 0.99  # single precision


def test_factor_one_changes_nothing_and_zero_is_missing_at_random():
    imputer, row, mask, n = exact_imputer(LOGIT), ROWS[1], MASKS[1], 200
    x = np.where(mask, row, np.nan) + np.zeros((n, 1))
    done = completions(imputer, x, 400)
    assert (strengthened(imputer, done, 1.0).values(0) == done.values(0)).all()
    assert (strengthened(imputer, done, 3.0, columns=[1]).values(0) == done.values(0)).all()  # whose mechanism says nothing of column 0
    # The law of observed values given the rest of the row: mechanism and all, with the cell seen.
    exact = LAW.grid(row, mask, lambda rows: special.log_expit(-(rows[:, 0] * 1.5 + 0.3)), points=301)
    means = strengthened(imputer, done, 0.0).values(0).mean(0)
    # Against the slope the weights have a longer tail, and self-normalising costs some bias.
    assert abs(means.mean() - exact.mean[0]) < Z_MAX * means.std() / n**0.5 + 0.03


def test_mistakes_are_named():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    frame.loc[frame.a > 1, "a"] = np.nan
    quick = {"steps": 3, "members": 2, "progress": False}
    plain = MNARImputer("none", **quick).fit(frame)
    with pytest.raises(ValueError, match="mechanism 'none', expected 'self-masking'"):
        strengthened(plain, completions(plain, frame, 4), 1.0)
    fitted = MNARImputer(**quick).fit(frame)
    done = completions(fitted, frame, 5)
    assert done.groups == [0, 0, 0, 1, 1] and bool(torch.is_grad_enabled())
    for arguments, said in [((done, np.inf), "factor: got inf"), ((done, 2.0, ["b"]), "columns: got 'b', expected some of a")]:
        with pytest.raises(ValueError, match=said):
            strengthened(fitted, *arguments)
    with pytest.raises(ValueError, match="done: expected what completions"):
        strengthened(fitted, Completions(frame, done.tables), 1.0)
    with pytest.raises(ValueError, match="n_draws: got 0"):
        completions(fitted, frame, 0)
    with pytest.raises(ValueError, match="not fitted"):
        completions(MNARImputer(), frame, 3)
