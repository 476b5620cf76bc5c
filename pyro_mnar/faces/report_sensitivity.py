"""The report's part on sensitivity: results along shifts and strengths, under two assumptions, and where a conclusion tips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.faces.imputer import MNARImputer
from pyro_mnar.faces.strength import strengthened
from pyro_mnar.results.analyses import analyse
from pyro_mnar.results.page import Section
from pyro_mnar.results.sensitivity import Completions
from pyro_mnar.results.sensitivity_plots import plot_estimates, plot_paths, plot_tipping
from pyro_mnar.results.tipping import tipping_point
from pyro_mnar.tables import Scaling

if TYPE_CHECKING:
    from pandas import DataFrame

#: Completed tables that are analysed; re-weighting starts from all there are.
TABLES = 40

_COLUMNS = 6  # panels of a figure
_SHIFTS, _WIDE, _FACTORS = np.linspace(-1, 1, 9).tolist(), np.linspace(-3, 3, 25).tolist(), [0.0, 0.5, 1.0, 1.5, 2.0]


def regression(outcome: Any, predictors: Sequence[Any]) -> Callable[[DataFrame], tuple[float, float, float]]:
    """Return an analysis: the first predictor's coefficient in the least-squares regression of ``outcome`` on ``predictors``.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"y": [1.0, 3, 5, 8], "x": [0.0, 1, 2, 3]})
        >>> round(regression("y", ["x"])(frame)[0], 3)
        2.3
    """

    def coefficient(frame: DataFrame) -> tuple[float, float, float]:
        x = np.column_stack([frame[name].to_numpy(float) for name in predictors] + [np.ones(len(frame))])
        y = frame[outcome].to_numpy(float)
        dof = len(x) - x.shape[1]
        if dof < 1:
            raise ValueError(f"{len(x)} rows are too few for {x.shape[1]} coefficients")
        inverse = np.linalg.inv(x.T @ x)
        beta = inverse @ (x.T @ y)
        return float(beta[0]), float(inverse[0, 0] * np.sum((y - x @ beta) ** 2) / dof), float(dof)

    return coefficient


def sensitivity(
    imputer: MNARImputer,
    done: Mapping[str, Completions],
    values: np.ndarray,
    mask: np.ndarray,
    analysis: Callable[[Any], Any] | None,
    analysis_name: str,
    progress: bool,
) -> list[Section]:
    """Return the sections on sensitivity.

    Args:
        imputer: fitted.
        done: completed tables by assumption; ``as assumed`` are moved, all are compared.
        values, mask: the table, (N, D).
        analysis: of one parameter, or None.
        analysis_name: what it estimates.
        progress: bars on standard error, on a terminal only.
    """
    names = [column.name for column in imputer.schema_.columns]
    holed = [int(j) for j in np.flatnonzero(~mask.all(0))][:_COLUMNS]
    units = Scaling.of(values, mask | ~mask.any(0)).scale
    full = done["as assumed"]
    some = _every(full)
    means = {j: _mean_of(names[j]) for j in holed}

    def shifted(j: int) -> Callable[[Completions, float], Completions]:
        return lambda completions, delta: completions.shift(names[j], delta * units[j])

    section = Section("How far results move with what cannot be tested")
    section.text(
        "Shift: every imputed value of a column is moved by so many observed standard deviations. Strength: the slope of the mechanism "
        "is multiplied, 1 being the fitted one and 0 missing at random, by re-weighting the draws; crosses mark where too few draws "
        "remain effective and a refit is due. Bands are pooled 95 % intervals."
    )
    paths = {str(names[j]): tipping_point(some, shifted(j), _SHIFTS, means[j], progress=progress) for j in holed}
    section.figure(plot_paths(paths, "shift (standard deviations)", "mean of the column"), "Column means against a shift")
    own = [j for j in holed if j in imputer.declaration_["columns"]]
    if imputer.declaration_["mechanism"] == "self-masking" and own:
        moved = {factor: strengthened(imputer, full, factor) for factor in _FACTORS}
        paths = {str(names[j]): tipping_point(full, lambda _, f: moved[f], _FACTORS, means[j], progress=progress) for j in own}
        section.figure(plot_paths(paths, "strength of the mechanism", "mean of the column"), "Column means against strength")
    wanted = ({} if analysis is None else {analysis_name: analysis}) | {f"mean of {names[j]}": mean for j, mean in means.items()}
    fewer = {way: _every(part) for way, part in done.items()}
    estimates = {label: {way: analyse(part.tables, of, part.groups) for way, part in fewer.items()} for label, of in wanted.items()}
    table = [
        [label, way, *pooled.table()[["estimate", "standard error", "lower", "upper", "dof", "FMI"]].iloc[0], pooled.draws_needed()]
        for label, ways in estimates.items()
        for way, pooled in ways.items()
    ]
    section.rows(
        ["estimate of", "missing values are", "estimate", "standard error", "lower", "upper", "dof", "FMI", "draws needed"],
        table,
        f"Pooled by Rubin's rules over {len(some.tables)} completed tables; FMI: fraction of missing information; draws needed: for "
        "standard errors that would vary by 5 % between sets of draws (von Hippel 2020)",
    )
    if analysis is None:
        return [section]
    tips = Section(f"Where the conclusion on {analysis_name} tips")
    tips.text(
        "The conclusion is that it differs from zero: that its 95 % interval leaves zero out. Missing values "
        + "; ".join(f"{way}: p = {float(np.squeeze(p.p_value())):.3g}" for way, p in estimates[analysis_name].items())
        + "."
    )
    tips.figure(plot_estimates(estimates[analysis_name], analysis_name, 0.0), "Under the assumption and under ignorable missingness")
    moving: list[int] = []
    for j in holed:
        path = tipping_point(some, shifted(j), _WIDE, analysis, progress=progress)
        if not np.ptp(path.estimate):
            tips.text(f"{names[j]}: the conclusion does not depend on it.")
            continue
        tips.figure(plot_tipping(path, [_shift_of(names[j])], analysis_name), f"Shifting imputed {names[j]}")
        where = " and ".join(f"{c:.3g} standard deviations ({c * units[j]:.4g})" for c in path.crossings)
        said = f"the interval meets zero at a shift of {where}" if where else "no tipping point within 3 standard deviations"
        tips.text(f"{names[j]}: {said}.")
        moving.append(j)
    if len(moving) > 1:
        first, second = moving[:2]
        path = tipping_point(
            some, lambda c, a, b: shifted(second)(shifted(first)(c, a), b), [_WIDE[::3], _WIDE[::3]], analysis, progress=progress
        )
        tips.figure(
            plot_tipping(path, [_shift_of(names[j]) for j in (first, second)], analysis_name), "Shifting both; the cross is no shift"
        )
    return [section, tips]


def _every(done: Completions) -> Completions:
    """Return about ``TABLES`` of the completed tables, of every group alike."""
    step = max(1, len(done.tables) // TABLES)
    return replace(done, tables=done.tables[::step], groups=None if done.groups is None else done.groups[::step])


def _shift_of(name: Any) -> str:
    return f"shift of imputed {name} (standard deviations)"


def _mean_of(column: Any) -> Callable[[Any], tuple[float, float, float]]:
    def mean(table: Any) -> tuple[float, float, float]:
        values = np.asarray(table[column] if hasattr(table, "columns") else np.asarray(table)[:, column], float)
        return values.mean(), values.var(ddof=1) / len(values), len(values) - 1

    return mean
