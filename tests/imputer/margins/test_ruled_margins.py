"""Margins beside rules and cells that do not exist: what is met is met by draws that obey, held against a known law."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from exact import LAW, MASKS, ROWS

from pyro_mnar import MNARImputer
from pyro_mnar.data import Scaling, TableCodec
from pyro_mnar.data.margins import learned_margins, margins_of
from pyro_mnar.imputer.draws import wide_draws
from pyro_mnar.imputer.margins.margin_fit import met_margins
from pyro_mnar.imputer.tables.given import given
from pyro_mnar.imputer.training.specification import Specification
from pyro_mnar.model import MNAR
from pyro_mnar.networks import ConjugateEncoder

ROW, MASK, N = ROWS[2], MASKS[2], 60  # x0 and x1 are missing
QUICK: dict[str, Any] = {"members": 2, "steps": 8, "progress": False, "hidden": (8,), "latent_dim": 2, "mechanism": "none"}


def truncated(tilt: float) -> tuple[float, float]:
    """Return the mean and the variance of x0 given the row, x0 <= x1, and a density tilted by exp(tilt x0), by quadrature."""
    law = LAW.ignorable(ROW, MASK)
    scale = np.sqrt(np.diag(law.cov))
    x0, x1 = np.meshgrid(*(np.linspace(m - 9 * s, m + 9 * s, 1501) for m, s in zip(law.mean, scale, strict=True)), indexing="ij")
    apart = np.stack([x0 - law.mean[0], x1 - law.mean[1]])
    log = -0.5 * np.einsum("iab,ij,jab->ab", apart, np.linalg.inv(law.cov), apart) + tilt * x0
    weight = np.exp(log - log.max()) * (x0 <= x1)
    mean = float((weight * x0).sum() / weight.sum())
    return mean, float((weight * (x0 - mean) ** 2).sum() / weight.sum())


@pytest.mark.parametrize("tilt", [0.6, -0.6])
def test_a_mean_is_met_by_the_tilted_law_of_values_that_obey(tilt: float, seed: int) -> None:
    imputer = MNARImputer("none", progress=False, random_state=seed, rules=["x0 <= x1"])
    imputer.codec_ = TableCodec.of(Scaling(np.zeros(4), np.ones(4)))
    imputer.specification_ = Specification("none", (), (), ("continuous",) * 4, 2, (), 1)
    decoder = LAW.decoder().float()
    imputer.members_ = [MNAR(decoder, ConjugateEncoder(decoder), None).eval()]
    imputer.n_features_in_, imputer.moves_ = 4, []
    x = np.tile(ROW, (N, 1))
    x[:40, :2] = np.nan
    x[40:, 1] = np.nan  # the rule is a limit there
    exact, variance = truncated(tilt)
    wanted = (40 * exact + 20 * ROW[0]) / N
    table = given(imputer, x)
    known = margins_of({0: {"mean": wanted}}, range(4))
    imputer.moves_ = met_margins(imputer, table, learned_margins(known, table.codec.columns, table.values, table.mask, table.absent))
    (move,) = imputer.moves_
    assert move.in_reach
    # 40 rows of 800 draws: the tilt's error is about one over the root of their number times their standard deviation.
    assert abs(float(move.moves[0, 0, 0]) - 1 - tilt) < 4.5 / (40 * 400 * variance) ** 0.5
    result = imputer.impute(x, draws=40)
    assert result.completed[:, 0].mean() == pytest.approx(wanted, rel=1e-6)
    assert bool((result.draws[..., 0] <= result.draws[..., 1]).all()) and bool((result.completed[:, 0] <= result.completed[:, 1]).all())
    drawn = result.draws[:, :40, 0]
    assert abs(float(drawn.mean()) - exact) < 4.5 * (variance / drawn.numel()) ** 0.5 + 0.01
    assert float(drawn.var()) == pytest.approx(variance, rel=4.5 * (2 / drawn.numel()) ** 0.5)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    low = rng.normal(75, 9, 60)
    table = pd.DataFrame({"high": low + rng.gamma(2.0, 6.0, 60), "low": low})
    table["mornings"], table["evenings"] = rng.poisson(3, 60), rng.poisson(2, 60)
    table["visits"] = table.mornings + table.evenings
    table["smoker"] = np.where(rng.random(60) < 0.5, "no", "yes")
    table["cigarettes"] = np.where(table.smoker == "no", 0.0, rng.poisson(9, 60) + 1.0)
    table = table.astype(dict.fromkeys(("mornings", "evenings", "visits"), "Int64"))
    for name in table:
        table.loc[rng.random(60) < 0.25, name] = None
    # Means of three whole numbers, rounded, add up by chance alone, and the most probable level is beside the mean of both levels.
    table.loc[:5, ["mornings", "evenings", "visits"]] = None
    table.loc[6:11, ["smoker", "cigarettes"]] = None
    return table


RULES = ["high >= low", "mornings + evenings == visits", "if smoker == 'no': cigarettes == 0"]


def broken(table: pd.DataFrame) -> int:
    """Return how many rows of a completed table break a rule."""
    wrong = (table.high < table.low) | (table.mornings + table.evenings != table.visits)
    return int((wrong | (table.smoker == "no") & (table.cigarettes != 0)).sum())


def test_points_and_draws_of_a_fit_obey_and_meet(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide_draws, "CANDIDATES", 400)
    no = ((frame.smoker == "no").sum() + 0.3 * frame.smoker.isna().sum()) / len(frame)
    wanted, near = np.array([frame.high.mean() + 0.8, frame.mornings.mean() + 0.25, no]), np.array([0.6, 0.12, 0.04])
    asked = {"high": {"mean": wanted[0]}, "mornings": {"mean": wanted[1]}, "smoker": {"share": {"no": wanted[2]}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer = MNARImputer(rules=RULES, margins=asked, **QUICK).fit(frame)
        tables = imputer.sample(frame, 6)
        points = []
        for imputer.point in ("mean", "median", "draw"):
            points.append(imputer.transform(frame))
    assert sum(map(broken, [*points, *tables])) == 0
    assert imputer.margins_.in_reach.all() and (np.abs(imputer.margins_.unadjusted - wanted) > near).any()
    means = np.mean([[t.high.mean(), t.mornings.mean(), (t.smoker == "no").mean()] for t in tables], 0)
    assert (np.abs(means - wanted) < near).all()
    assert abs(points[0].high.mean() - wanted[0]) < 0.3
    for table in [*points, *tables]:
        for name in frame:
            seen = frame[name].notna()
            assert (table[name][seen] == frame[name][seen]).all()


def test_a_margin_is_of_the_cells_that_exist() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=120)
    frame = pd.DataFrame({"a": a, "b": 2 + a + rng.normal(size=120)})
    none = a > 0.8
    frame.loc[rng.random(120) < 0.3, "b"] = np.nan
    frame.loc[none, "b"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer = MNARImputer(not_applicable={"b": "a > 0.8"}, margins={"b": {"mean": 1.9}}, **QUICK).fit(frame)
    table = imputer.transform(frame)
    assert bool(table.b[none].isna().all()) and not table.b[~none].isna().any()
    assert table.b.mean() == pytest.approx(1.9, abs=1e-6)
    assert all(bool(drawn.b[none].isna().all()) for drawn in imputer.sample(frame, 3))
    torch.testing.assert_close(imputer.impute(frame).means[:, 0][~none].double(), torch.from_numpy(a[~none]))
