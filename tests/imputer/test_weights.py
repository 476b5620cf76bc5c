"""``MNARImputer.fit`` with weights of rows: repeated rows, the choice of reasons, and what are no weights."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.reason_selection.pilots import Candidate, Pilot, Pilots
from pyro_mnar.imputer.tables.given import learned

QUICK = {"members": 1, "hidden": (), "progress": False}


def table(seed, n=60):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    x = pd.DataFrame({"a": a, "b": a + 0.7 * rng.normal(size=n), "c": 0.5 * a + 0.7 * rng.normal(size=n)})
    x.loc[rng.random(n) < 0.25, "c"] = np.nan
    # Large values count for more, so that weights matter.
    return x, np.where(a > 0.3, 5.0, 1.0)


def test_ones_are_no_weights_bit_for_bit():
    x, _ = table(0)
    plain = MNARImputer(steps=10, members=2, progress=False).fit(x)
    ones = MNARImputer(steps=10, members=2, progress=False).fit(x, sample_weight=np.ones(len(x)))
    pd.testing.assert_frame_equal(plain.transform(x), ones.transform(x), check_exact=True)
    assert plain.candidates_ == ones.candidates_


def test_a_fit_with_whole_numbers_is_one_with_repeated_rows():
    x, counts = table(1)
    rows = np.arange(len(x)).repeat(counts.astype(int))
    settings = {"mechanism": "none", "latent_dim": 2, "steps": 250, "batch_size": 300, "particles": 20, **QUICK}
    ours = MNARImputer(**settings).fit(x, sample_weight=counts)
    theirs = MNARImputer(**settings).fit(x.iloc[rows].reset_index(drop=True))
    plain = MNARImputer(**settings).fit(x)
    np.testing.assert_allclose(ours.codec_.scaling.center, theirs.codec_.scaling.center, rtol=1e-12)
    np.testing.assert_allclose(ours.codec_.scaling.scale, theirs.codec_.scaling.scale, rtol=1e-12)
    holes, sd = x.c.isna(), x.c.std()
    found = [fitted.impute(x, particles=400).means.numpy()[holes, 2] / sd for fitted in (ours, theirs, plain)]
    off, moved = (float(np.sqrt(np.mean((found[0] - other) ** 2))) for other in found[1:])
    assert off < 0.03 and off < 0.4 * moved


def test_bounds_of_candidates_and_their_cost_count_rows_by_weights():
    """Rates alone against earlier columns without effects: the difference is the rates' likelihood, weighted."""
    x, counts = table(2)
    imputer = MNARImputer(steps=3, **QUICK)
    ours = MNARImputer(steps=3, **QUICK).fit(x, sample_weight=counts)
    rows = np.arange(len(x)).repeat(counts.astype(int))
    given = learned(imputer, x, sample_weight=counts)
    assert given.rows.tolist() == rows.tolist()
    cost = {candidate[:3]: candidate.cost for candidate in ours.candidates_}
    theirs = MNARImputer(steps=3, **QUICK).fit(x.iloc[rows].reset_index(drop=True))
    shared = [candidate for candidate in theirs.candidates_ if candidate[:3] in cost]
    assert len(shared) > 3 and all(cost[one[:3]] == pytest.approx(one.cost) for one in shared)


def test_rates_alone_are_weighted():
    """Of a pilot that says nothing (probability of a half each), what is added for rates is their weighted likelihood."""
    import torch

    from pyro_mnar.imputer.training.specification import Specification

    mask = torch.tensor([[True, False], [True, True], [True, True]])
    weights = torch.tensor([2.0, 1.0, 3.0])

    class Half:
        def log_mask(self, x, mask):
            return torch.tensor([0.0, 0.5]).log().nan_to_num(neginf=0.0).expand(3, 2)

    spec = Specification("auto", (1,), ("none",), ("continuous",) * 2, 1, (), 1, orders=((0, 1),))
    pilots = Pilots(
        spec, [None], False, torch.zeros(3, 2), mask, torch.zeros_like(mask), weights, lambda *_, **__: Pilot(-10.0, Half()), None
    )
    pilots.fit([Candidate(("none",), "all", False), Candidate(("none",), "", False)])
    exact = -10 - 6 * np.log(0.5) + 2 * np.log(2 / 6) + 4 * np.log(4 / 6)
    assert pilots.found[("none",), "", False].bound == pytest.approx(exact)


def test_rates_of_leaving_are_of_the_rows_still_there():
    """Two of six rows leave before the second visit, and of the other four one, of weight 3, before the third."""
    import torch

    from pyro_mnar.imputer.training.specification import Specification

    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[:2, 1:], mask[2, 2] = False, False
    weights = torch.tensor([1.0, 1.0, 3.0, 1.0, 1.0, 1.0])

    class Half:
        def log_mask(self, x, mask):
            return torch.tensor([0.0, 0.5, 0.5]).log().nan_to_num(neginf=0.0).expand(6, 3)

    spec = Specification("auto", (1, 2), ("none",) * 2, ("continuous",) * 3, 1, (), 1, orders=((0, 1, 2),))
    settled = torch.zeros_like(mask)
    pilots = Pilots(spec, [None] * 2, False, torch.zeros(6, 3), mask, settled, weights, lambda *_, **__: Pilot(-10.0, Half()), None)
    none = ("none",) * 2
    pilots.fit([Candidate(none, "all", False), Candidate(none, "few", False)])
    exact = -10 - 16 * np.log(0.5) + 2 * np.log(2 / 8) + 6 * np.log(6 / 8) + 3 * np.log(3 / 6) + 3 * np.log(3 / 6)
    assert pilots.found[none, "few", False].bound == pytest.approx(exact, abs=1e-4)
    # That the second visit is missing, of the third's mask; of all columns' values one effect and two more.
    assert pilots.found[none, "few", False].cost == 2 and pilots.found[none, "all", False].cost == 2 + 2 * 3


def test_rates_are_of_the_rows_whose_reason_is_not_known():
    """Of six rows two lack the second column, one of them by a limit; that one counts nowhere."""
    import torch

    from pyro_mnar.imputer.training.specification import Specification

    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[:2, 1], mask[2, 2] = False, False
    weights, settled = torch.tensor([1.0, 2.0, 3.0, 1.0, 1.0, 1.0]), torch.zeros_like(mask)
    settled[0, 1] = True

    class Half:
        def log_mask(self, x, mask):
            return torch.tensor([0.0, 0.5, 0.5]).log().nan_to_num(neginf=0.0).expand(6, 3)

    spec, none = Specification("auto", (1, 2), ("none",) * 2, ("continuous",) * 3, 1, (), 1, orders=((0, 1, 2),)), ("none",) * 2
    pilots = Pilots(spec, [None] * 2, False, torch.zeros(6, 3), mask, settled, weights, lambda *_, **__: Pilot(-10.0, Half()), None)
    pilots.fit([Candidate(none, "all", False), Candidate(none, "", False)])
    exact = -10 - 17 * np.log(0.5) + 2 * np.log(2 / 8) + 6 * np.log(6 / 8) + 3 * np.log(3 / 9) + 6 * np.log(6 / 9)
    assert pilots.found[none, "", False].bound == pytest.approx(exact)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([0.0], "got 0 in row x0"), ([-1.0], "got -1 in row x0"), ([np.nan], "got nan in row x0"), ([], "got 59, expected 60")],
)
def test_bad_weights_name_the_row_and_leave_the_imputer_as_it_was(weights, message):
    x, _ = table(3)
    x.index = [f"x{i}" for i in range(60)]
    imputer = MNARImputer(steps=2, **QUICK)
    for fit in (imputer.fit, imputer.fit_transform):
        with pytest.raises(ValueError, match=f"sample_weight: {message}"):
            fit(x, sample_weight=np.r_[weights, np.ones(59)])
    assert not hasattr(imputer, "members_") and not hasattr(imputer, "n_features_in_")


def test_fit_transform_is_fit_then_transform_and_limits_are_weighted_too():
    x, counts = table(4)
    x.loc[x.b < -0.5, "b"] = np.nan
    settings = {"steps": 5, "limits": {"b": ("<", -0.5)}, "direction": {"c": "none"}, **QUICK}
    both = MNARImputer(**settings).fit_transform(x, sample_weight=counts)
    fitted = MNARImputer(**settings).fit(x, sample_weight=counts)
    pd.testing.assert_frame_equal(fitted.transform(x), both, check_exact=True)
    rows = np.arange(len(x)).repeat(counts.astype(int))
    theirs = MNARImputer(**settings).fit(x.iloc[rows].reset_index(drop=True))
    np.testing.assert_allclose(fitted.codec_.scaling.center, theirs.codec_.scaling.center, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fitted.codec_.scaling.scale, theirs.codec_.scaling.scale, rtol=1e-6)
