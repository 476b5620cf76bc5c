"""Tables of more columns than rows: what is left out, and what grows no faster than it must."""

import numpy as np
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.distributions import continuous
from pyro_mnar.imputation import resampling
from pyro_mnar.imputation.ensemble import impute, score_ensemble
from pyro_mnar.imputation.weighted_draws import weighted_draws
from pyro_mnar.imputer.specification import Specification
from pyro_mnar.mechanisms.self_masking import SelfMasking
from pyro_mnar.model.missing_cells import ColumnGroup
from pyro_mnar.model.selection import SelectionDistribution


def table(rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, columns)) + 0.5 * rng.normal(size=(rows, columns))
    return np.where(rng.random(x.shape) < 0.2, np.nan, x)


def test_effects_of_all_columns_on_all_masks_are_left_out_where_they_could_not_pay():
    imputer = MNARImputer(steps=1, members=1, hidden=(), progress=False)
    for columns, there in ((6, True), (330, False)):
        fitted = imputer.fit(table(30, columns))
        assert any(candidate.earlier == "all" for candidate in fitted.candidates_) == there
        assert np.isfinite(fitted.candidates_[0].score) and np.isfinite(fitted.reasons_["ignorable_mean"]).all()
    assert max(p.numel() for p in fitted.members_[0].mechanism.parameters()) <= 10 * 330


def test_fewer_rows_at_once_give_the_same_bits(monkeypatch):
    x = torch.from_numpy(table(40, 13)).float()
    mask = ~x.isnan()
    member = Specification("self-masking", tuple(range(13)), ("low",) * 13, ("continuous",) * 13, 3, (8,), members=1).models()[0].eval()
    calls = []
    weigh = resampling.weigh
    for module in ("impute", "weighed_rows", "weighted_draws"):
        name = f"pyro_mnar.imputation.{module}.weigh"
        monkeypatch.setattr(name, lambda bound, x, *rest: calls.append(len(x)) or weigh(bound, x, *rest), raising=False)

    def found():
        calls.clear()
        whole = impute(member, x, mask, draws=3, particles=100, progress=False)
        return whole.completed, whole.draws, *weighted_draws(member, x, mask, 100)

    many = found()
    assert set(calls) == {64}
    monkeypatch.setattr(resampling, "_CELLS", 100 * 13 * 8)
    few = found()
    assert set(calls) == {8}
    assert all(torch.equal(one, other) for one, other in zip(many, few, strict=True))


def test_pilots_are_scored_some_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(resampling, "_CELLS", 100 * 4 * 16)
    seen, log_prob = [], SelectionDistribution.log_prob
    monkeypatch.setattr(SelectionDistribution, "log_prob", lambda law, value: seen.append(len(value)) or log_prob(law, value))
    member = Specification("none", (), (), ("continuous",) * 4, 2, (), members=1).models()[0]
    x = torch.randn(40, 4)
    assert score_ensemble([member], x, x < 1, particles=100).shape == (40,)
    assert seen == [16, 16, 8]


def test_means_of_functions_copy_the_table_no_oftener_for_more_columns(monkeypatch):
    counts, put = [], ColumnGroup.put
    monkeypatch.setattr(ColumnGroup, "put", lambda group, cells, rows: counts.append(rows.numel()) or put(group, cells, rows))
    for columns in (4, 8):
        torch.manual_seed(0)
        law = continuous.Normal(torch.randn(5, 3, columns), torch.ones(columns)).to_event(1)
        rows = torch.randn(3, columns).masked_fill(torch.rand(3, columns) < 0.5, torch.nan)
        cells = SelectionDistribution(law, SelfMasking(columns, direction="high")).conditional(rows)
        functions = {j: (lambda values, j=j: values + j) for j in range(columns)}
        shifted = cells.mean_of(functions)
        hidden = rows.isnan().expand_as(shifted)
        assert torch.allclose(shifted[hidden], (cells.mean + torch.arange(columns))[hidden], atol=1e-4)
        assert not shifted[~hidden].any()
        some = cells.mean_of({1: torch.exp})
        assert torch.equal(some[..., 0], cells.mean[..., 0])
        counts.append("next")
    first, second = counts[: counts.index("next")], counts[counts.index("next") + 1 : -1]
    assert len(first) == len(second)
