"""Digits, and the order of a report's panels."""

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.analysis import regression
from pyro_mnar.analysis.rubin import pool
from pyro_mnar.imputer.tables.given import given
from pyro_mnar.plots.sensitivity import plot_pattern
from pyro_mnar.report import sensitivity as part
from pyro_mnar.report.digits import pooled_numbers
from pyro_mnar.report.html import render
from pyro_mnar.report.sections import sections


def test_numbers_have_two_digits_of_their_standard_error():
    rng = np.random.default_rng(0)
    for scale, decimals in ((1e-3, 4), (1.0, 1), (1e5, 0)):
        line = pooled_numbers(pool(scale * (10 + rng.normal(size=20)), np.full(20, scale**2), complete_dof=99))
        shown = [len(number.partition(".")[2]) for number in line[:4]]
        assert shown == [decimals] * 4 and abs(float(line[0]) / scale - 10) < 1 and len(line[5]) == 4
        assert len(line[1].replace(".", "").strip("0")) <= 2


def test_ordered_levels_count_by_their_places():
    frame = pd.DataFrame({"y": [1.0, 2.5, 3.0, 4.5], "g": ["lo", "mid", "mid", "hi"]})
    by_place = regression("y", ["g"], {"g": ["lo", "mid", "hi"]})(frame)
    assert by_place == regression("y", ["g"])(frame.assign(g=[1, 2, 2, 3]))


@pytest.fixture(scope="module")
def imputed():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 4)), columns=["few", "many", "none", "some"])
    for name, share in (("few", 0.02), ("many", 0.6), ("some", 0.3)):
        frame.loc[rng.random(60) < share, name] = np.nan
    frame.loc[0, "few"] = np.nan
    imputer = MNARImputer("none", steps=20, members=2, hidden=(4,), progress=False).fit(frame)
    return frame, imputer


def test_panels_stand_in_the_order_of_what_is_assumed_and_flat_ones_in_one_line(imputed, monkeypatch):
    frame, imputer = imputed
    drawn, plot = [], part.plot_paths
    monkeypatch.setattr(part, "plot_paths", lambda found, *rest: (drawn.append(list(found)), plot(found, *rest))[1])
    parts = sections(
        imputer, given(imputer, frame), imputer.impute(frame, draws=20), analysis=regression("none", ["many"]), progress=False
    )
    assert drawn == [["many", "some", "few"]]
    monkeypatch.setattr(part, "_FLAT", 1e9)
    again = sections(
        imputer, given(imputer, frame), imputer.impute(frame, draws=20), analysis=regression("none", ["many"]), progress=False
    )
    page = render("t", again)
    assert len(drawn) == 1 and "imputed values: many, some, few hardly move, and are not drawn." in page
    tips = render("t", parts)
    assert "The conclusion hardly depends on" in tips and "some, few." in tips
    assert ("The conclusion does not hold to begin with" in tips) == ("zero out. Missing values as assumed: p = 0.0" not in tips)


def test_a_pattern_of_many_columns_shows_those_with_most_missing():
    mask = np.random.default_rng(0).random((50, 300)) > np.linspace(0, 0.3, 300)
    axis = plot_pattern(mask, [f"c{j}" for j in range(300)]).axes[0]
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert len(names) == 30 and names == sorted(names, key=lambda name: int(name[1:]))
    assert min(int(name[1:]) for name in names) > 150 and "270 columns with fewer holes left out" in axis.get_title()
