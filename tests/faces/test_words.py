"""What is said of an imputation."""

import numpy as np
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.faces.words import shifts


@pytest.mark.parametrize(("away", "doubted"), [(3.9, False), (-3.9, False), (4.1, True), (-4.1, True)])
def test_shifts_are_in_observed_standard_deviations_and_doubted_beyond_four(away, doubted):
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, size=(60, 2))
    x[40:, 0] = np.nan
    imputer = MNARImputer("none", steps=1, members=1, hidden=(4,), progress=False).fit(x)
    mask = ~np.isnan(x)
    plain = np.where(mask, x, 1.0)
    ours = np.where(mask, x, 1.0 + away * x[:40, 0].std())
    lines = shifts(imputer, ours, plain, mask)
    assert lines[1].endswith(f"({away:+.2f})")
    assert [line.startswith("Doubtful: 0 imputed") for line in lines[2:]] == [True] * doubted
