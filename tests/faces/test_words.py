"""What is said of an imputation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_mnar import MNARImputer
from pyro_mnar.faces.words import assumptions, shifts


@pytest.mark.parametrize(("away", "doubted"), [(3.9, False), (-3.9, False), (4.1, True), (-4.1, True)])
def test_shifts_are_in_observed_standard_deviations_and_doubted_beyond_four(away, doubted):
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, size=(60, 2))
    x[40:, 0] = np.nan
    imputer = MNARImputer("none", steps=1, members=1, hidden=(4,), progress=False).fit(x)
    mask = ~np.isnan(x)
    found = imputer.impute(x)
    plain, ours = (replace(found, means=torch.from_numpy(np.where(mask, x, filled))) for filled in (1.0, 1.0 + away * x[:40, 0].std()))
    lines = shifts(imputer, ours, plain, mask)
    assert lines[1].endswith(f"({away:+.2f})")
    assert [line.startswith("Doubtful: 0 imputed") for line in lines[2:]] == [True] * doubted


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
    frame = pd.DataFrame({"answer": ["yes", "no", None, "yes"] * 10} | ({"other": np.arange(40.0)} if related else {}))
    frame["answer"] = frame["answer"].astype("category")
    said = " ".join(assumptions(MNARImputer(steps=1, members=1, hidden=(4,), progress=False).fit(frame)))
    assert ("of a column of levels alone" in said) != related
