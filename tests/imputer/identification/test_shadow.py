"""Shadow variables: masks do not read them, and their strength is the F of a regression."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from pyro_mnar import MNARImputer
from pyro_mnar.imputer.identification.shadow import partial_f, shadows_in_words, weak_shadows


def test_partial_f_is_the_square_of_t_and_that_of_nested_models(seed):
    rng = np.random.default_rng(seed)
    w, y = rng.normal(size=(60, 1)), rng.normal(size=(60, 1))
    found = stats.linregress(w[:, 0], y[:, 0])
    f, first, second = partial_f(y, w, np.ones((60, 1)))
    assert (first, second) == (1, 58) and f == pytest.approx((found.slope / found.stderr) ** 2, rel=1e-9)
    x = np.hstack([np.ones((60, 1)), rng.normal(size=(60, 2))])
    both = rng.normal(size=(60, 3))
    residuals = [y - part @ np.linalg.lstsq(part, y, rcond=None)[0] for part in (x, np.hstack([x, both]))]
    without, left = ((r**2).sum() for r in residuals)
    assert partial_f(y, both, x)[0] == pytest.approx((without - left) / 3 / (left / 54), rel=1e-9)


def test_columns_that_others_add_up_to_do_not_count():
    x = np.hstack([np.ones((9, 1)), np.arange(9.0)[:, None]])
    assert partial_f(np.arange(9.0)[:, None] ** 2, 3 * x[:, 1:] - 1, x) == (0.0, 0, 7)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(1)
    x, w, other = rng.normal(size=(3, 150))
    y = x + w + 0.5 * rng.normal(size=150)
    table = pd.DataFrame({"y": y, "x": x, "w": w, "noise": other, "z": 0.5 * y + rng.normal(size=150)})
    table.loc[rng.random(150) < 1 / (1 + np.exp(-2 * y)), "y"] = np.nan
    table.loc[rng.random(150) < 0.2, "z"] = np.nan
    return table


def quick(**settings):
    return MNARImputer(steps=3, members=2, hidden=(4,), progress=False, **settings)


@pytest.mark.filterwarnings("ignore:shadow. hardly related to z")
@pytest.mark.parametrize("order", [None, ["w", "y", "z"]])
def test_no_mask_reads_a_shadow_variable_nor_the_latent(frame, order, tmp_path):
    fitted = quick(shadow=["w"], order=order).fit(frame)
    assert fitted.specification_.unread == (2,) and not any(candidate.latent for candidate in fitted.candidates_)
    for orders in fitted.specification_.orders or ():
        assert 2 not in orders
    changed, mask = frame.assign(w=frame.w + 100.0), torch.tensor(frame.notna().to_numpy())
    for member in fitted.members_:
        rows = [np.nan_to_num(table[list(frame)].to_numpy()) for table in (frame, changed)]
        before, after = (member.mechanism(torch.tensor(x).float()).cell_log_prob(mask) for x in rows)
        assert (before[:, [0, 4]] == after[:, [0, 4]]).all()
    fitted.save(tmp_path / "m")
    again = MNARImputer.load(tmp_path / "m")
    assert list(again.shadow) == ["w"]
    pd.testing.assert_frame_equal(again.shadows_, fitted.shadows_)
    pd.testing.assert_frame_equal(again.transform(frame), fitted.transform(frame))


def test_strong_and_weak_ones_are_said(frame):
    fitted = quick(shadow=["w"], ignorable=["z"]).fit(frame)
    assert fitted.shadows_["f"][0] > 100
    assert "Declared shadow variable w of y: partial F" in shadows_in_words(fitted)[0]
    assert shadows_in_words(fitted)[0].endswith("strong enough to identify") and not weak_shadows(fitted)
    with pytest.warns(UserWarning, match="^shadow: hardly related to y beside the other columns"):
        fitted = quick(shadow=["noise"], ignorable=["z"]).fit(frame)
    assert "weak, below 10" in shadows_in_words(fitted)[0]


def test_bad_shadows_are_refused(frame):
    with pytest.raises(ValueError, match="^shadow: got unknown column 'v', expected some of y, x"):
        quick(shadow=["v"]).fit(frame)
    with pytest.raises(ValueError, match="^shadow: got some with mechanism 'linear'"):
        quick(mechanism="linear", shadow=["w"]).fit(frame)
    with pytest.warns(UserWarning, match="^shadow: not used, since mechanism none"):
        quick(mechanism="none", shadow=["w"]).fit(frame)
