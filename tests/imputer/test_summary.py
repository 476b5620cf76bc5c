"""What is said of an imputation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.imputer.summary import assumptions, estimates, shifts


def fitted(mechanism="none"):
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, size=(60, 2))
    x[40:, 0] = np.nan
    return x, ~np.isnan(x), MNARImputer(mechanism, steps=1, members=2, hidden=(4,), progress=False).fit(x)


@pytest.mark.parametrize("away", [3.9, -0.2])
def test_shifts_are_in_observed_standard_deviations(away):
    x, mask, imputer = fitted()
    spread = x[:40, 0].std()
    ours = replace(imputer.impute(x), means=torch.from_numpy(np.where(mask, x, 1.0 + away * spread)))
    plain = shifts(imputer, ours, mask)
    assert plain == ["Posterior mean of the missing cells:", f"  0  {1 + away * spread:.5g}"]  # nothing to compare with
    known = {"ignorable_mean": [1.0], "mean": [1.0 + away * spread], "observed_sd": [spread]}
    imputer.reasons_ = pd.DataFrame({"column": [0], **known}).set_index("column")
    said = f"  0  {1 + away * spread:.5g}; if missing at random 1 ({-away:+.2f} observed standard deviations)"
    assert shifts(imputer, ours, mask)[1] == said
    imputer.reasons_["reason"] = "at random given the seen values of 1"  # which is what was assumed
    assert shifts(imputer, ours, mask) == plain


def test_estimates_are_pooled_means_and_say_where_the_assumption_is_nearly_all_of_them():
    x, mask, imputer = fitted()
    result = imputer.impute(x, draws=12)
    draws = result.draws.numpy()[:, :, 0]
    pooled = pool(draws.mean(1), draws.var(1, ddof=1) / 60, complete_dof=59, groups=[0] * 6 + [1] * 6)
    low, high = pooled.interval()
    (line,) = estimates(imputer, result, mask)[1:]
    assert line.startswith(
        f"  0  {float(pooled.estimate):.5g} ({float(low):.5g} to {float(high):.5g}), {float(pooled.fraction_missing):.0%}"
    )
    assert ("almost all" in line) == (pooled.fraction_missing > 0.9)
    apart = result.draws + torch.where(torch.from_numpy(mask), 0.0, 40.0 * torch.arange(12.0).view(-1, 1, 1))
    assert estimates(imputer, replace(result, draws=apart), mask)[1].endswith(": almost all of this estimate is the assumption")
    assert estimates(imputer, imputer.impute(x, draws=1), mask) == []


@pytest.mark.parametrize(
    ("mechanism", "columns", "warned"),
    [
        ("linear", 2, "no column is known"),
        ("neural", 2, "no column is known"),
        ("self-masking", 2, ""),
        ("none", 2, ""),
        ("none", 1, ""),
    ],
)
def test_a_declaration_that_no_data_could_decide_is_called_not_identified(mechanism, columns, warned):
    x = np.random.default_rng(0).normal(size=(40, columns))
    x[30:, 0] = np.nan
    said = " ".join(assumptions(MNARImputer(mechanism, steps=1, members=1, hidden=(4,), progress=False).fit(x)))
    assert ("Not identified" in said) == bool(warned) and warned in said


@pytest.mark.parametrize("related", [False, True])
def test_a_column_of_levels_alone_is_called_not_identified(related):
    frame = pd.DataFrame({"answer": ["yes", "no", None, "yes"] * 10} | ({"other": np.arange(40.0) ** 2 / 40} if related else {}))
    frame["answer"] = frame["answer"].astype("category")
    said = " ".join(assumptions(MNARImputer(steps=1, members=1, hidden=(4,), progress=False).fit(frame)))
    assert ("of a column of levels alone" in said) != related


def test_many_columns_of_one_reason_share_a_line():
    imputer = fitted("self-masking")[2]
    for count, lines in ((12, 12), (13, 2)):
        rows = {"reason": ["completely at random", "by its own value"], "evidence": ["strong", "stated"]}
        rows = {name: [words[0]] * (count - 1) + words[1:] for name, words in rows.items()}
        imputer.reasons_ = pd.DataFrame(rows, index=[f"c{j}" for j in range(count)])
        said = [sentence for sentence in assumptions(imputer) if " missing " in sentence and sentence.startswith("  ")]
        assert len(said) == lines and said[-1] == f"  c{count - 1}: goes missing by its own value (stated)"
    assert said[0] == f"  {', '.join(f'c{j}' for j in range(12))}: go missing completely at random (strong evidence)"
    imputer.reasons_ = pd.DataFrame({"reason": ["by chance"] * 300, "evidence": ["weak"] * 300}, index=[f"c{j}" for j in range(300)])
    assert "c10, c11 and 288 others: go missing by chance (weak evidence)" in "\n".join(assumptions(imputer))
