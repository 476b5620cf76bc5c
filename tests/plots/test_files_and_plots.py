"""Model files that cannot harm, scores by their definitions, figures that show what they are given."""

import io
import json
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from pyro_mnar.analysis.scores import coverage, crps
from pyro_mnar.analysis.tipping import TippingPoint
from pyro_mnar.imputation.netcdf import write_draws
from pyro_mnar.imputer.saving.model_files import load_model, save_model
from pyro_mnar.infer.history import Evaluation, History
from pyro_mnar.plots.model import plot_distributions, plot_missingness, plot_training
from pyro_mnar.plots.sensitivity import plot_assumptions, plot_pattern
from pyro_mnar.plots.tipping import plot_paths, plot_tipping

TENSORS = {"a.weight": torch.randn(3, 2), "b": torch.zeros(())}


def test_tensors_and_description_come_back(tmp_path):
    save_model(tmp_path / "m", TENSORS, {"x": [1, 2.5, None]})
    tensors, description = load_model(tmp_path / "m")
    assert description == {"x": [1, 2.5, None]} and all(torch.equal(tensors[n], TENSORS[n]) for n in TENSORS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda m: (m / "model.json").unlink(), "has no model.json"),
        (lambda m: (m / "model.json").write_text("{"), "damaged"),
        (lambda m: (m / "model.json").write_text("[]"), "not a pyro_mnar model"),
        (lambda m: edit(m / "model.json", format="other"), "not a pyro_mnar model"),
        (lambda m: edit(m / "model.json", version=99), "version 99"),
        (lambda m: edit(m / "model.json", description=3), "damaged"),
        (lambda m: (m / "weights.safetensors").write_bytes((m / "weights.safetensors").read_bytes()[:-1]), "damaged"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path, harm, said):
    save_model(tmp_path / "m", TENSORS, {})
    harm(tmp_path / "m")
    with pytest.raises(ValueError, match=said) as error:
        load_model(tmp_path / "m")
    assert "\n" not in str(error.value)


def test_draws_go_to_netcdf_only(tmp_path):
    with pytest.raises(ValueError, match="expected .nc"):
        write_draws(tmp_path / "d.csv", np.zeros((1, 1, 1)), np.ones((1, 1), bool), [0], ["a"])


def test_crps_is_its_definition_over_pairs():
    rng = np.random.default_rng(0)
    draws, truth = rng.normal(size=(7, 5)), rng.normal(size=5)
    pairs = np.mean([np.abs(draws[i] - draws[j]) for i, j in combinations(range(7), 2)], 0)
    assert crps(draws, truth) == pytest.approx(np.mean(np.abs(draws - truth).mean(0) - pairs / 2))
    assert crps(draws[:1], truth) == pytest.approx(np.abs(draws[0] - truth).mean())


def test_coverage_of_a_calibrated_ensemble_is_nominal():
    rng = np.random.default_rng(0)
    share = coverage(rng.normal(size=(4000, 3000)), rng.normal(size=3000), 0.9)
    assert abs(share - 0.9) < 4 * np.sqrt(0.09 / 3000) + 0.002


def test_figures_show_what_they_are_given():
    history = History([Evaluation(100 * i, -10.0 / i, -11.0 / i) for i in range(1, 9)], 300)
    lines = plot_training([history]).axes[0].lines
    assert lines[0].get_ydata()[-1] == -10 / 8 and lines[1].get_ydata()[0] == -11 and lines[2].get_xdata()[0] == 300
    rng = np.random.default_rng(0)
    values, mask = rng.normal(size=(200, 8)), rng.random((200, 8)) > 0.4
    mask[:, 0] = True
    figure = plot_distributions(values, mask, np.repeat(values[None], 5, 0), list("abcdefgh"), values)
    assert [axis.get_title() for axis in figure.axes[:6]] == list("bcdefg")
    total = sum(patch.get_data().values.sum() for patch in figure.axes[0].patches[:2])
    assert total == pytest.approx(1, abs=0.02)
    grid = np.linspace(0, 1, 9)
    axis = plot_missingness([("a", grid, grid**2)], [grid], [grid]).axes[0]
    assert (axis.lines[0].get_ydata() == grid**2).all() and axis.get_xlabel() == "value"
    with pytest.raises(ValueError, match="got none"):
        plot_missingness([], [])


@pytest.mark.parametrize("name", ["US$", "price $ and $ cost", "$\\frac{$", "$a_$b", "a\\$b", "_hidden"])
def test_names_with_dollars_are_texts_in_every_figure(name):
    grid = np.linspace(0, 1, 3)
    path = TippingPoint((grid,), grid, grid - 1, grid + 1, grid, grid - 1, grid > 2, [1.0], 0.0, 0.95)
    values, mask = np.random.default_rng(0).normal(size=(30, 2)), np.random.default_rng(1).random((30, 2)) > 0.4
    levels = [[name, f"{name}2"]] * 2
    figures = [
        plot_missingness([(name, grid, grid)], [grid]),
        plot_tipping(path, [name], name),
        plot_paths({name: path}, name, name),
        plot_distributions(values, mask, values[None], [name, name]),
        plot_pattern(mask, [name, name]),
        plot_assumptions((values > 0).astype(float), mask, {"as assumed": (values > 0)[None].astype(float)}, [name, name], 6, levels),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO(), format="png", dpi=40)
        shown = [text for text in figure.findobj(Text) if text.get_text() == name.replace("$", r"\$")]
        assert shown and all(text._preprocess_math(text.get_text())[1] is False for text in shown)


def test_figures_of_an_ensemble_show_each_member_and_name_each_kind_once():
    looks = [[Evaluation(100 * i, -10.0 * k / i, -11.0 * k / i if k > 1 else None) for i in range(1, 9)] for k in (2, 3, 1)]
    axis = plot_training([History(own, 300) for own in looks]).axes[0]
    # A line for each member's training rows, two more where rows were held out.
    assert [line.get_ydata()[-1] for line in axis.lines[::3]] == [-20 / 8, -30 / 8, -10 / 8] and len(axis.lines) == 7
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["training rows", "held-out rows", "weights kept"]
    # So few looks are all in view, every member's.
    assert axis.get_ylim()[0] < -30 and axis.get_ylim()[1] > -10 / 8
    plot_training([History(), History(looks[0], 300)])  # a member that was interrupted before its first look
    with pytest.raises(ValueError, match="histories: got none"):
        plot_training([])
    grid = np.linspace(0, 1, 9)
    curves = [("a", grid, np.stack([grid**k for k in (1, 2, 3)])), ("b", grid, grid[None])]
    first, second = plot_missingness(curves, [grid, grid], [None, grid]).axes[:2]
    assert all((line.get_ydata() == grid**k).all() for line, k in zip(first.lines, (1, 2, 3), strict=False))
    assert (len(first.lines), len(second.lines)) == (4, 3)
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["learned", "observed"]
