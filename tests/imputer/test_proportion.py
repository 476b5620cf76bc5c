"""Proportions through the imputer: recovered where large ones are missing, never outside, exact means and shares of the ends."""

import numpy as np
import pandas as pd
import pytest
import torch
from exact import Z_MAX, z_between

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.data import TableCodec
from pyro_mnar.imputation.ensemble import score_ensemble
from pyro_mnar.imputer.points import summands
from pyro_mnar.imputer.tables.given import given
from pyro_mnar.networks.proportion import ProportionHead

QUICK = {"members": 1, "steps": 150, "hidden": (8,), "n_jobs": 1, "progress": False}


def table(rows=400, seed=0):
    """Shares with zeros and ones beside a related column, the larger ones missing more often; and the truth."""
    rng = np.random.default_rng(seed)
    line = rng.normal(size=rows)
    near = line + 0.3 * rng.normal(size=rows)
    share = np.select([near < -1.2, near > 1.2], [0.0, 1.0], 1 / (1 + np.exp(-(1.2 * line + 0.4 * rng.normal(size=rows)))))
    truth = pd.DataFrame({"share": share, "other": line + 0.5 * rng.normal(size=rows)})
    within = np.clip(share, 0.018, 0.982)
    holed = truth.copy()
    holed.loc[rng.normal(size=rows) < 0.5 * np.log(within / (1 - within)) - 0.7, "share"] = np.nan
    return holed, truth


@pytest.fixture(scope="module")
def case():
    holed, truth = table()
    fitted = {
        how: MNARImputer(mechanism, direction, kinds={"share": "proportion"}, **QUICK).fit(holed)
        for how, mechanism, direction in (("high", "self-masking", {"share": "high"}), ("none", "none", None))
    }
    return holed, truth, fitted


def test_where_large_ones_are_missing_their_mean_is_found_better_than_at_random(case):
    holed, truth, fitted = case
    holes = holed.share.isna()
    errors = {how: abs(float(own.transform(holed).share[holes].mean() - truth.share[holes].mean())) for how, own in fitted.items()}
    assert errors["high"] < 0.9 * errors["none"], errors


def test_draws_are_within_and_at_an_end_and_have_the_means(case):
    holed, truth, fitted = case
    holes = holed.share.isna().to_numpy()
    found = fitted["high"].impute(holed, draws=40)
    drawn = found.draws[:, torch.tensor(holes), 0].numpy()
    assert ((drawn >= 0) & (drawn <= 1)).all() and (drawn == 1).any()
    assert drawn.mean() == pytest.approx(found.means.numpy()[holes, 0].mean(), abs=0.02)
    completed = fitted["high"].transform(holed)
    assert completed.share.between(0, 1).all() and completed.share[~holes].equals(holed.share[~holes])


@torch.no_grad()
def test_means_are_exact_with_the_ends_in_them():
    """Against the sum over both ends and the trapezoid rule between them, in the table's units."""
    values = np.r_[np.zeros(5), np.full(8, 100.0), np.linspace(2, 97, 40)]
    codec = TableCodec.fit(np.c_[values, np.arange(53.0)], {0: "proportion:0:100"})
    (column, _), center, scale = codec.columns, codec.scaling.center[0], codec.scaling.scale[0]
    cell = column.cell(values, center, scale)
    head = ProportionHead([0], [cell["ends"]], [cell["odds"]]).double()
    law = head(torch.cat([torch.tensor([0.4]), head.start[1:]]).double().unsqueeze(0))
    shares = law.log_shares.exp().squeeze()
    assert shares.tolist() == pytest.approx([5.5 / 54.5, 8.5 / 54.5, 40.5 / 54.5], rel=1e-5)
    points = torch.linspace(-8, 9, 20_001).double().unsqueeze(-1)
    density = (law.log_prob(points) - 0.0).exp().squeeze() * 17 / 20_000
    inner = 100 / (1 + np.exp(-(center + scale * points.squeeze().numpy())))
    exact = 100 * float(shares[1]) + float((density.numpy() * inner).sum())
    found = law.censored(None).mean_of(summands(codec)[0])
    assert codec.means(np.array([[float(found), 0.0]]))[0, 0] == pytest.approx(exact, rel=1e-6)
    drawn = codec.invert(np.c_[law.sample((40_000,)).squeeze().numpy(), np.zeros(40_000)])[:, 0]
    for end, share in zip((0.0, 100.0), shares[:2].tolist(), strict=True):
        assert abs((drawn == end).mean() - share) < 4.5 * np.sqrt(share * (1 - share) / 40_000)


@torch.no_grad()
@pytest.mark.parametrize(("end", "limits"), [(0.0, (np.nan, 0.0)), (0.0, (0.0, 1e-6)), (1.0, (1.0, np.nan)), (1.0, (0.999_999, 1.0))])
def test_a_value_known_to_be_an_end_has_the_ends_probability(end, limits, seed):
    """Whether it was seen or is told by limits, which are no observation far out."""
    holed, _ = table(seed=seed)
    frame = holed.assign(low=np.nan, high=np.nan)
    row = int(np.flatnonzero(holed.share.isna())[0])
    frame.loc[row, ["low", "high"]] = limits
    imputer = MNARImputer("none", kinds={"share": "proportion"}, limits={"share": ("low", "high")}, **QUICK | {"steps": 5}).fit(frame)
    told, seen = (given(imputer, part) for part in (frame, frame.assign(share=frame.share.where(frame.index != row, end))))
    found = [
        [float(score_ensemble(imputer.members_, g.x[[row]], g.seen[[row]], limits=g.limits[[row]], particles=100, seed=k).exp())]
        for g in (told, seen)
        for k in range(40)
    ]
    assert abs(z_between(torch.tensor(found[:40]), torch.tensor(found[40:]))) < Z_MAX
    assert (imputer.impute(frame, draws=50).draws[:, row, 0] == end).all()


def test_only_ends_that_were_seen_can_be_imputed_or_given():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"rate": np.r_[0.0, 0.0, rng.uniform(0.2, 0.9, 48)], "other": rng.normal(size=50)})
    codec = TableCodec.fit(frame, {"rate": "proportion"})
    wild = codec.invert(np.random.default_rng(2).normal(size=(500, 2)) * 60)[:, 0]
    assert wild.min() > 0 and wild.max() < 1  # no place of an end was met
    assert codec.invert(codec.encode(frame)[0])[:3, 0].tolist()[:2] == [0.0, 0.0]
    with pytest.raises(ValueError, match="got 1 in row 0, expected numbers from 0 below 1, 1 not among those learned from"):
        codec.read(pd.DataFrame({"rate": [1.0], "other": [0.0]}))
    with pytest.raises(ValueError, match="column 'rate': got no number between 0 and 1, expected some"):
        TableCodec.fit(pd.DataFrame({"rate": [0.0, 1.0, 0.0], "other": [1.0, 2.0, 3.0]}), {"rate": "proportion"})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_command_line_writes_observed_cells_as_they_stood(suffix, tmp_path, capsys):
    holed, _ = table(rows=150)
    source, target = tmp_path / f"t.{suffix}", tmp_path / f"c.{suffix}"
    holed.to_csv(source, index=False) if suffix == "csv" else holed.to_parquet(source)
    options = ["--kind", "share=proportion", "--mechanism", "self-masking", "--steps", "10"]
    main(["impute", str(source), "--output", str(target), *options])
    found = pd.read_csv(target) if suffix == "csv" else pd.read_parquet(target)
    seen = holed.share.notna()
    assert found.notna().all(axis=None) and found.share.between(0, 1).all()
    assert (found.share[seen] == (pd.read_csv(source) if suffix == "csv" else holed).share[seen]).all()
    assert "Columns taken as proportion: share (0 to 1)" in capsys.readouterr().out
