"""The benchmark's scores and its report's means and errors, against values computed by hand."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmarks.imputation.figure import draw
from benchmarks.imputation.report import _by_table, _overall
from benchmarks.imputation.scoring import score


def test_scores_by_column_are_means_over_the_columns_with_holes():
    truth = np.array([[0.0, 1.0, 5.0], [1.0, 2.0, 5.0], [3.0, 9.0, 5.0], [4.0, 4.0, 5.0]])
    mask = np.array([[False, True, True], [False, False, True], [False, False, True], [True, False, True]])
    completed = np.where(mask, truth, [[2, 0, 0], [2, 9, 0], [5, 4, 0], [0, 2, 0]])
    found = score(completed, None, truth, mask)
    # First column: 2, 2, 5 for 0, 1, 3, and sorted they are 2, 1, 2 apart. Second: 9, 4, 2 for 2, 9, 4, the same values.
    squared = [np.corrcoef([2, 2, 5], [0, 1, 3])[0, 1] ** 2, np.corrcoef([9, 4, 2], [2, 9, 4])[0, 1] ** 2]
    assert found["r2"] == pytest.approx(np.mean(squared)) and found["wasserstein"] == pytest.approx((5 / 3 + 0) / 2)
    assert found["column_rmse"] == pytest.approx((np.sqrt(9 / 3) + np.sqrt((49 + 25 + 4) / 3)) / 2)


def test_scores_of_a_small_table_are_the_ones_computed_by_hand():
    truth, mask = np.array([[0.0, 0.0, 1.0], [2.0, 4.0, 1.0]]), np.array([[True, True, True], [False, False, True]])
    completed = np.array([[0.0, 0.0, 1.0], [3.0, 2.0, 1.0]])
    point = score(completed, None, truth, mask)
    # Errors 1 and -2 in a row of distance sqrt(5); the columns' means are off by 1/2 and -1.
    exact = {"missing": 2 / 6, "rmse": np.sqrt(2.5), "crps": 1.5, "energy": np.sqrt(5), "mean_bias": 0.75}
    exact |= {"r2": 0.0, "column_rmse": 1.5, "wasserstein": 1.5}  # of a single cell nothing varies
    assert point == pytest.approx(exact)
    draws = np.repeat(completed[None], 3, 0)
    draws[:, 1, 0], draws[:, 1, 1] = [1, 2, 3], [4, 4, 7]
    scores = score(completed, draws, truth, mask)
    # |X - y| is 1, 0, 1 and 0, 0, 3; pairs are 1, 2, 1 and 0, 3, 3 apart; as vectors sqrt(1), sqrt(13), sqrt(10).
    exact |= {
        "crps": ((2 / 3 - 4 / 3 / 2) + (1 - 2 / 2)) / 2,
        "energy": (1 + 0 + np.sqrt(10)) / 3 - (1 + np.sqrt(13) + np.sqrt(10)) / 3 / 2,
    }
    # Quantiles interpolate: the interval at level p is 1 + (1 - p) .. 3 - (1 - p), and 4 .. 4 + 3 p for p >= 0.
    exact |= {f"coverage_{level}": 1.0 for level in (50, 80, 90, 95)}
    exact |= {"width_90": (1.8 + 2.7) / 2, "interval_90": (1.8 + 2.7) / 2}
    assert scores == pytest.approx(exact, abs=1e-12)
    draws[:, 1, 1] = [1, 1, 3]  # 90 % interval 1 .. 2.8, by 1.2 too low
    worse = score(completed, draws, truth, mask)
    assert worse["coverage_95"] == 0.5 and worse["interval_90"] == pytest.approx((1.8 + 1.8 + 20 * 1.2) / 2)


def test_the_figure_shows_every_value_on_every_mask(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: figures.append(figure))
    values = [("hard", "mean", 0.5), ("hard", "ours", 0.3), ("mar", "mean", 4.0), ("mcar", "mean", 9.0)]
    rows = [("red", mask, method, seed, rmse + 0.01 * seed) for mask, method, rmse in values for seed in (0, 1)]
    runs = pd.DataFrame(rows, columns=["table", "mask", "method", "seed", "rmse"])
    draw(runs.assign(method=runs["method"].astype("category")), tmp_path / "figure.png")
    panels = [panel for panel in figures[0].axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == ["hard", "mar", "mcar"]
    for panel, shown in zip(panels, ({0.505, 0.305}, {4.005}, {9.005}), strict=True):
        drawn = np.asarray(panel.lines[0].get_xdata(), float)
        assert set(drawn[np.isfinite(drawn)].round(6)) == shown
        assert panel.get_xlim()[0] < min(shown) and panel.get_xlim()[1] > max(shown)


def test_the_reports_means_and_errors():
    rows = [
        ("a", "knn", 0, 1.0),
        ("a", "knn", 1, 3.0),
        ("b", "knn", 0, 5.0),
        ("b", "knn", 1, 5.0),
        ("a", "mice", 0, 2.5),
        ("b", "mice", 0, 7),
    ]
    runs = pd.DataFrame(rows, columns=["table", "method", "seed", "seconds"])
    # Standard errors 1 and 0; their mean's is sqrt(1 + 0) / 2. One seed has none.
    assert _overall(runs)["seconds"].to_dict() == {"knn": "3.500 ± 0.500", "mice": "4.750"}
    assert _overall(runs)["tables"].to_dict() == {"knn": 2, "mice": 2}
    text = _by_table(runs.rename(columns={"seconds": "rmse"}), "rmse")
    assert text.to_numpy().tolist() == [["**2.000 ± 1.000**", "**5.000 ± 0.000**"], ["2.500", "7.000"]]
    nearest = _by_table(runs.assign(coverage_90=[0.9, 0.7, 0.95, 0.95, 0.88, 1.0]), "coverage_90")
    assert [str(cell).startswith("**") for cell in nearest.to_numpy().ravel()] == [False, True, True, False]


def test_scores_refuse_what_is_not_a_completed_table():
    truth, mask = np.zeros((3, 2)), np.array([[True, False]] * 3)
    with pytest.raises(ValueError, match="completed: got shape"):
        score(np.full((3, 2), np.nan), None, truth, mask)
    with pytest.raises(ValueError, match="observed cells"):
        score(np.ones((3, 2)), None, truth, mask)
    assert "coverage_90" not in score(truth, None, truth, mask)
