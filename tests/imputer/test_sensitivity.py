"""The mechanism of a fitted imputer made stronger and weaker, against quadrature."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from exact import LAW, MASKS, ROWS, Z_MAX, LinearGaussian, self_masking
from scipy import special, stats

from pyro_mnar import MNARImputer
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.data import Scaling, TableCodec
from pyro_mnar.distributions import LOGIT, PROBIT
from pyro_mnar.imputer.draws.wide_draws import balanced
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.mechanisms import CategoryMasking, MixedMasking, SelfMasking
from pyro_mnar.mechanisms.latent_masking import GivenLatent
from pyro_mnar.model import MNAR
from pyro_mnar.networks import ConjugateEncoder

SLOPES, INTERCEPTS = np.array([1.5, -1.2, np.nan, np.nan]), np.array([0.3, -0.2, 0.0, 0.0])


def exact_imputer(link, members=1, seed=0):
    """An imputer whose members are a known linear-Gaussian model with known self-masking of its first two columns."""
    imputer = MNARImputer(progress=False, random_state=seed)
    imputer.codec_ = TableCodec.of(Scaling(np.zeros(4), np.ones(4)))
    imputer.specification_ = Specification("self-masking", (0, 1), ("high", "low"), ("continuous",) * 4, 2, (), members)
    models = []
    for _ in range(members):
        decoder = LAW.decoder().float()
        models.append(MNAR(decoder, ConjugateEncoder(decoder), self_masking(SLOPES, INTERCEPTS, link).float()))
    imputer.members_, imputer.n_features_in_, imputer.moves_ = [model.eval() for model in models], 4, []
    return imputer


@pytest.mark.parametrize(
    ("link", "cdf", "middle"), [(LOGIT, special.log_expit, 1.0), (PROBIT, special.log_ndtr, 4 / (2 * np.pi) ** 0.5)]
)
@pytest.mark.parametrize(("pattern", "factor"), [(1, 1.3), (1, 0.5), (1, 0.0), (2, 0.0)])
def test_a_stronger_mechanism_is_the_tilted_posterior(link, cdf, middle, pattern, factor, seed):
    """From 0 to 1 the log odds are multiplied, and at 0 the law is the observed values'; beyond 1 they gain by the score."""
    row, mask, n = ROWS[pattern], MASKS[pattern], 200
    x = np.where(mask, row, np.nan) + np.zeros((n, 1))
    imputer = exact_imputer(link, seed=seed)
    done = imputer.strengthened(imputer.completions(x, 40), factor)
    holes = np.flatnonzero(~mask)

    def log_mask(rows):
        score = rows[:, holes] * SLOPES[holes] + INTERCEPTS[holes]
        if factor <= 1:
            return (factor * cdf(score) + (1 - factor) * cdf(-score)).sum(-1)
        return (cdf(score) + (factor - 1) * middle * score).sum(-1)

    exact = LAW.grid(row, mask, log_mask, points=301)
    for k, j in enumerate(holes):
        means = done.values(j).mean(0)
        assert abs(means.mean() - exact.mean[k]) < Z_MAX * means.std() / n**0.5 + 0.01  # self-normalizing costs some bias
        spread = ((done.values(j) - exact.mean[k]) ** 2).mean(0)
        assert abs(spread.mean() - exact.cov[k, k]) < Z_MAX * spread.std() / n**0.5 + 0.02
    assert not done.refit_due


@pytest.mark.parametrize("tables", [4, 25])
def test_the_tables_of_a_member_are_alike_whichever_of_its_draws_they_are_taken_from(tables, seed):
    """The first come from the first of the draws: were those of one law alone, tables would differ by more than their rows."""
    row, mask, n = ROWS[1], MASKS[1], 400
    imputer = exact_imputer(LOGIT, seed=seed)
    (j,) = np.flatnonzero(~mask)
    values = imputer.completions(np.where(mask, row, np.nan) + np.zeros((n, 1)), tables).values(j)
    exact = LAW.grid(row, mask, lambda rows: special.log_expit(rows[:, j] * SLOPES[j] + INTERCEPTS[j]))
    scores = (values.mean(1) - exact.mean) / (exact.cov[0, 0] / n) ** 0.5
    assert np.abs(scores).max() < Z_MAX
    spread = ((values - exact.mean) ** 2).mean(1) / exact.cov[0, 0]
    assert np.abs(spread - 1).max() < 2 * Z_MAX * (2 / n) ** 0.5  # of a law that is nearly normal


def test_the_gains_of_a_rows_missing_cells_add():
    imputer, row, mask = exact_imputer(LOGIT, members=2), ROWS[2], MASKS[2]
    x = np.where(mask, row, np.nan) + np.zeros((30, 1))
    done = imputer.completions(x, 100)
    gain = 0.5 * sum(SLOPES[j] * done.drawn.column(j).reshape(-1, 30) + INTERCEPTS[j] for j in (0, 1))
    ours, theirs = imputer.strengthened(done, 1.5), done.reweight(gain)
    assert ours.effective == pytest.approx(theirs.effective, rel=1e-3)
    assert (ours.values(0) == theirs.values(0)).mean() > 0.99  # single precision


def test_factor_one_changes_nothing_and_zero_is_missing_at_random(seed):
    imputer, row, mask, n = exact_imputer(LOGIT, seed=seed), ROWS[1], MASKS[1], 200
    x = np.where(mask, row, np.nan) + np.zeros((n, 1))
    done = imputer.completions(x, 400)
    assert (imputer.strengthened(done, 1.0).values(0) == done.values(0)).all()
    assert (imputer.strengthened(done, 3.0, columns=[1]).values(0) == done.values(0)).all()  # whose mechanism says nothing of column 0
    # The law of observed values given the rest of the row: mechanism and all, with the cell seen.
    exact = LAW.grid(row, mask, lambda rows: special.log_expit(-(rows[:, 0] * 1.5 + 0.3)), points=301)
    means = imputer.strengthened(done, 0.0).values(0).mean(0)
    assert abs(means.mean() - exact.mean[0]) < Z_MAX * means.std() / n**0.5 + 0.01


@pytest.mark.parametrize("word", ["auto", "self-masking"])
def test_strength_zero_is_the_observed_law_of_a_steep_probit_and_of_categories(word, seed):
    """x ~ N(0, 1), missing with probability Phi(2 (x - .7)): the observed law's mean is -.40, the missing one's 1.17."""
    imputer = exact_imputer(PROBIT, members=8, seed=seed)
    law = LinearGaussian(np.zeros((4, 2)), np.zeros(4), np.ones(4))
    for i in range(8):
        decoder = law.decoder().float()
        mechanism = self_masking([2.0, np.nan, np.nan, np.nan], [-1.4, 0.0, 0.0, 0.0], PROBIT).float()
        imputer.members_[i] = MNAR(decoder, ConjugateEncoder(decoder), mechanism).eval()
    imputer.specification_ = replace(imputer.specification_, mechanism=word, columns=(0,), directions=("high",))
    n = 300
    x = np.zeros((n, 4))
    x[:, 0] = np.nan
    done = imputer.completions(x, 40)
    hazard = 2 / 5**0.5 * stats.norm.pdf(1.4 / 5**0.5)  # E[x; missing]
    exact = {1.0: hazard / stats.norm.cdf(-1.4 / 5**0.5), 0.0: -hazard / stats.norm.cdf(1.4 / 5**0.5)}
    assert exact[0.0] == pytest.approx(-0.40, abs=0.005)
    for factor, mean in exact.items():
        moved = imputer.strengthened(done, factor)
        means = moved.values(0).mean(0)
        assert abs(means.mean() - mean) < Z_MAX * means.std() / n**0.5 + 0.005 and not moved.refit_due
    kinds = CategoryMasking(2, [1], [3], PROBIT)
    with torch.no_grad():
        kinds.by_level.copy_(torch.tensor([-1.0, 0.5, 2.0]))
        kinds.offset.fill_(-0.3)
    rows, seen = torch.stack([torch.zeros(3), torch.arange(3.0)], -1), torch.ones(3, 2, dtype=torch.bool)
    odds = kinds(rows).log_missing - kinds(rows).log_observed
    assert torch.equal(kinds.gain(rows, 0.0, seen), -odds) and torch.equal(kinds.gain(rows, 1.0, seen), 0 * odds)
    mixed = MixedMasking(SelfMasking(2, [0]), kinds)
    assert torch.equal(mixed.gain(rows, 0.5, seen)[:, 1], -0.5 * odds[:, 1])


def test_draws_with_and_without_a_mechanism_are_together_the_model_s(seed):
    """x ~ N(0, 1), missing with probability Phi(slope (x - threshold)), down to one row in a hundred million."""
    rng, grid, n, each = np.random.default_rng(seed), np.linspace(-9, 14, 100_001), 60, 300
    for slope, threshold in ((2.0, 0.7), (20.0, 0.0), (4.0, 3.0), (1.0, 8.0)):
        density = np.exp(stats.norm.logpdf(grid) + special.log_ndtr(slope * (grid - threshold)))
        other = np.exp(stats.norm.logpdf(grid) + special.log_ndtr(-slope * (grid - threshold)))
        fitted = np.interp(rng.random((each, n)), np.cumsum(density) / density.sum(), grid)
        x = np.concatenate([fitted, rng.normal(size=(each, n))])
        log_mask = torch.tensor(special.log_ndtr(slope * (x - threshold)))
        log_w = balanced(log_mask, torch.full(x.shape, 1 / each).double().log(), each)
        towards = torch.tensor(special.log_ndtr(-slope * (x - threshold))) - log_mask
        for weights, law in ((log_w.softmax(0).numpy(), density), ((log_w + towards).softmax(0).numpy(), other)):
            means, exact = (weights * x).sum(0), (law * grid).sum() / law.sum()
            assert abs(means.mean() - exact) < Z_MAX * means.std() / n**0.5 + 0.002
            assert (1 / (weights**2).sum(0)).min() > 100
        z, exact = log_w.logsumexp(0), np.log(density.sum() * (grid[1] - grid[0]))
        assert abs(float(z.mean()) - exact) < Z_MAX * float(z.std()) / n**0.5 + 0.1


@torch.no_grad()
def test_what_other_columns_add_belongs_to_the_score():
    law = SelfMasking(2, [0], link=PROBIT)
    law.slope = 1.5
    rows = torch.randn(20, 2)
    effect = 0.7 * rows.flip(-1)
    law, seen = GivenLatent(law, effect), torch.ones(20, 2, dtype=torch.bool)
    odds = law(rows).log_missing - law(rows).log_observed
    assert torch.allclose(law.gain(rows, 0.0, seen)[:, 0], -odds[:, 0]) and (law.gain(rows, 0.0, seen)[:, 1] == 0).all()
    # Continuous where the one form ends and the other begins.
    assert float((law.gain(rows, 1 + 1e-6, seen) - law.gain(rows, 1 - 1e-6, seen)).abs().max()) < 1e-4


@pytest.mark.parametrize("mechanism", ["none", "self-masking"])
def test_the_documented_example_s_five_draws_a_member_are_tilted_in_full(mechanism, seed):
    """One standard deviation of the imputed law's: to 2 %, and the Monte Carlo error of 40 tables and of the candidates."""
    imputer = exact_imputer(PROBIT, members=8, seed=seed)
    imputer.specification_ = replace(imputer.specification_, mechanism=mechanism)
    if mechanism == "none":
        for member in imputer.members_:
            member.mechanism = None
    row, mask, n = ROWS[1], MASKS[1], 400
    x = np.where(mask, row, np.nan) + np.zeros((n, 1))
    done = imputer.completions(x, n_draws=40)

    def law(delta):
        masking = mechanism != "none"
        return LAW.grid(
            row, mask, lambda r: masking * special.log_ndtr(r[:, 0] * SLOPES[0] + INTERCEPTS[0]) + delta * r[:, 0], points=301
        )

    delta = law(0.0).cov[0, 0] ** -0.5
    shift, tilted = law(delta).mean[0] - law(0.0).mean[0], done.tilt(0, delta)
    means = tilted.values(0).mean(0)
    assert abs(means.mean() - law(delta).mean[0]) < 0.02 * shift + Z_MAX * means.std() / n**0.5
    assert not tilted.refit_due and done.tilt(0, 3 * delta).refit_due
    assert (done.values(0).mean(0) - law(0.0).mean[0]).mean() == pytest.approx(0, abs=Z_MAX * means.std() / n**0.5)


def test_mistakes_are_named():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    frame.loc[frame.a > 1, "a"] = np.nan
    quick = {"steps": 3, "members": 2, "progress": False}
    plain = MNARImputer("none", **quick).fit(frame)
    with pytest.raises(ValueError, match="mechanism 'none', expected 'auto' or 'self-masking'"):
        plain.strengthened(plain.completions(frame, 4), 1.0)
    fitted = MNARImputer("self-masking", **quick).fit(frame)
    done = fitted.completions(frame, 5)
    assert done.groups == [0, 0, 0, 1, 1] and bool(torch.is_grad_enabled())
    for arguments, said in [((done, np.inf), "factor: got inf"), ((done, 2.0, ["b"]), "columns: got 'b', expected some of a")]:
        with pytest.raises(ValueError, match=said):
            fitted.strengthened(*arguments)
    with pytest.raises(ValueError, match="done: expected what imputer.completions"):
        fitted.strengthened(Completions(frame, done.tables), 1.0)
    with pytest.raises(ValueError, match="n_draws: got 0"):
        fitted.completions(frame, 0)
    with pytest.raises(ValueError, match="not fitted"):
        MNARImputer().completions(frame, 3)


@pytest.mark.parametrize("how", ["%Y-%m-%d", "%Y%m%d", "object", "timestamp"])
def test_dates_are_moved_by_days_however_they_are_written(how):
    """Digits such as 20241231 are no number of days, and text none at all."""
    rng, n = np.random.default_rng(0), 60
    days, hidden = pd.Series(pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")), rng.random(n) < 0.3
    written = {"timestamp": days, "object": days.dt.date}.get(how, days.dt.strftime(how))
    written = written.astype(float) if how == "%Y%m%d" else written
    frame = pd.DataFrame({"day": written.where(~hidden), "x": rng.normal(size=n)})
    imputer = MNARImputer("none", kinds={"day": "date"}, members=1, steps=2, progress=False).fit(frame)
    done = imputer.completions(frame, 4)
    known = ((days - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy()
    assert (done.values("day")[:, ~hidden] == known[~hidden]).all()
    assert (done.shift("day", 45.0).values("day") - done.values("day") == 45.0 * hidden).all()
    plain = pd.DataFrame({"day": days.where(~hidden), "x": frame.x})
    as_times = MNARImputer("none", members=1, steps=2, progress=False).fit(plain).completions(plain, 4)
    assert (as_times.values("day") == done.values("day")).all()
