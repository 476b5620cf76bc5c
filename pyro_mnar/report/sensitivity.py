"""The report's part on sensitivity: results along shifts and strengths, under two assumptions, and where a conclusion tips."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.completions import Completions, numbers
from pyro_mnar.analysis.design import Design
from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.tipping import TippingPoint, tipping_point
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.tables import Given
from pyro_mnar.plots.sensitivity import plot_estimates
from pyro_mnar.plots.tipping import plot_paths, plot_tipping
from pyro_mnar.report.digits import pooled_numbers
from pyro_mnar.report.html import Section

if TYPE_CHECKING:
    from pandas import DataFrame

#: Completed tables that are analyzed; re-weighting starts from all there are.
TABLES = 40

_COLUMNS = 12  # panels of a figure
#: A path is flat where it moves by less than this share of its interval's width.
_FLAT, _ALPHA = 0.05, 0.05
_IS = {False: "is", True: "are"}
_SHIFTS, _WIDE, _FACTORS = np.linspace(-1, 1, 9).tolist(), np.linspace(-3, 3, 25).tolist(), [0.0, 0.5, 1.0, 1.5, 2.0]
_ODDS, _WIDE_ODDS = np.linspace(-1.5, 1.5, 7).tolist(), np.linspace(-2, 2, 9).tolist()  # logarithms


@dataclass(frozen=True)
class _Lever:
    """What moves the imputed values of a column: numbers by a shift, levels by the odds of one of them."""

    name: str
    about: str  # what is estimated
    estimate: Callable[[Any], Any]
    adjust: Callable[[Completions, float], Completions]
    label: str  # of the shift or odds
    unit: float
    levels: bool

    def said(self, value: float) -> str:
        """Return a shift or odds in words."""
        if self.levels:
            return f"odds of {self.name} times {np.exp(value):.3g}"
        return f"a shift of {value:.3g} standard deviations ({value * self.unit:.4g})"


def sensitivity(
    imputer: MNARImputer,
    table: Given,
    done: Mapping[str, Completions],
    analysis: Callable[[Any], Any] | None,
    analysis_name: str,
    progress: bool,
    design: Design | None = None,
) -> list[Section]:
    """Return the sections on sensitivity.

    Args:
        imputer: fitted.
        table: read by its codec.
        done: completed tables by assumption; ``as assumed`` are moved, all are compared.
        analysis: of one parameter, or None.
        analysis_name: what it estimates.
        progress: bars on standard error, on a terminal only.
        design: of the rows, for means and shares; the analysis has it already.
    """
    mask, columns, specification = table.mask, table.codec.columns, imputer.specification_
    # Of directions no sum is taken.
    holed = [int(j) for j in np.flatnonzero(~mask.all(0)) if not columns[j].circular]
    units = Scaling.of(table.values, mask | ~mask.any(0)).scale
    full = done["as assumed"]
    some = every(full)
    # Those with most missing, and of these first whose estimate is most an assumption.
    most = sorted(holed, key=lambda j: float(mask[:, j].mean()))[: 2 * _COLUMNS]
    levers = {j: _lever(columns[j], units[j], full, design) for j in most}
    assumed = {j: float(np.max(analyze(some.tables, levers[j].estimate, some.groups).fraction_missing)) for j in most}
    holed = sorted(most, key=lambda j: -assumed[j])[:_COLUMNS]
    levers = {j: levers[j] for j in holed}
    section = Section("How far results move with what cannot be tested")
    section.text(
        "Shift: every imputed value of a column is moved by so many observed standard deviations. Odds: those of a level among a "
        "column's imputed values are multiplied by exp of the number. Strength: the log odds of being missing are "
        "multiplied, 1 being the fitted ones and 0 missing at random. Odds and strength re-weight draws; crosses mark where too few of "
        "them remain effective: results are there moved by less than is stated, and a refit is due. Bands are pooled 95 % intervals."
    )

    def drawn(found: dict[str, TippingPoint], move: str, of: str, caption: str) -> None:
        flat = [name for name, path in found.items() if np.ptp(path.estimate) < _FLAT * np.median(path.upper - path.lower)]
        steep = {name: path for name, path in found.items() if name not in flat}
        if steep:
            section.figure(plot_paths(steep, move, of), caption)
        if flat:
            section.text(
                f"{caption}: {', '.join(flat)} hardly {'move' if len(flat) > 1 else 'moves'}, and {_IS[len(flat) > 1]} not drawn."
            )

    def along(chosen: list[int], start: Completions, grid: list[float], adjust: Any = None) -> dict[str, TippingPoint]:
        each = [levers[j] for j in chosen]
        return {own.name: tipping_point(start, adjust or own.adjust, grid, own.estimate, progress=progress) for own in each}

    real, leveled = ([j for j in holed if levers[j].levels == which] for which in (False, True))
    shift, odds = "shift (standard deviations)", "log odds ratio of the level"
    drawn(along(real, some, _SHIFTS), shift, "mean of the column", "Column means against a shift of the imputed values")
    drawn(along(leveled, full, _ODDS), odds, "share of the level", "Shares of levels against their odds among the imputed values")
    own = [j for j in holed if j in specification.own]
    if own and not specification.latent:
        moved = {factor: imputer.strengthened(full, factor) for factor in _FACTORS}
        strengths = along(own, full, _FACTORS, lambda _, factor: moved[factor])
        caption = "Column means, or shares of levels, against the strength of the mechanism"
        drawn(strengths, "strength of the mechanism", "mean, or share", caption)
    wanted = ({} if analysis is None else {analysis_name: analysis}) | {lever.about: lever.estimate for lever in levers.values()}
    fewer = {way: every(part) for way, part in done.items()}
    estimates = {label: {way: analyze(part.tables, of, part.groups) for way, part in fewer.items()} for label, of in wanted.items()}
    rows = [[label, way, *pooled_numbers(pooled)] for label, ways in estimates.items() for way, pooled in ways.items()]
    section.rows(
        ["estimate of", "missing values are", "estimate", "standard error", "lower", "upper", "dof", "FMI", "draws needed"],
        rows,
        f"Pooled over {len(some.tables)} completed tables by Rubin's rules for draws nested in the ensemble's members; FMI: fraction "
        "of missing information; draws needed, with as many of each member as here: for standard errors that would vary by 5 % between "
        "sets of draws (von Hippel 2020)",
    )
    if analysis is None:
        return [section]
    return [section, _tips(levers, some, full, analysis, analysis_name, estimates[analysis_name], progress)]


def _tips(
    levers: Mapping[int, _Lever],
    some: Completions,
    full: Completions,
    analysis: Callable[[Any], Any],
    name: str,
    estimates: Mapping[str, Pooled],
    progress: bool,
) -> Section:
    tips = Section(f"Where the conclusion on {name} tips")
    if float(np.squeeze(estimates["as assumed"].p_value())) > _ALPHA:
        tips.warning(
            "The conclusion does not hold to begin with: as assumed, the 95 % interval has zero in it. Below stands where it would."
        )
    tips.text(
        "The conclusion is that it differs from zero: that its 95 % interval leaves zero out. Missing values "
        + "; ".join(f"{way}: p = {float(np.squeeze(p.p_value())):.3g}" for way, p in estimates.items())
        + "."
    )
    tips.figure(plot_estimates(estimates, name, 0.0), "Under the assumption and under ignorable missingness")
    moving: list[_Lever] = []
    found = []
    for lever in levers.values():
        start, grid = (full, _WIDE_ODDS) if lever.levels else (some, _WIDE)
        found.append((lever, tipping_point(start, lever.adjust, grid, analysis, progress=progress)))
    found.sort(key=lambda pair: -float(np.ptp(pair[1].estimate)))
    flat = [lever.name for lever, path in found if np.ptp(path.estimate) < _FLAT * np.median(path.upper - path.lower)]
    if flat:
        tips.text(f"The conclusion hardly depends on {', '.join(flat)}.")
    for lever, path in found:
        if lever.name in flat:
            continue
        tips.figure(plot_tipping(path, [lever.label], name), f"Moving imputed {lever.name}")
        where = " and ".join(lever.said(c) for c in path.crossings)
        tips.text(f"{lever.name}: {f'the interval meets zero at {where}' if where else 'no tipping point on this grid'}.")
        if path.refit_due.any():
            tips.text(f"At {int(path.refit_due.sum())} of its {path.refit_due.size} points, the crosses, the true path goes further.")
        if not lever.levels:
            moving.append(lever)
    if len(moving) > 1:
        first, second = moving[:2]
        path = tipping_point(
            some, lambda c, a, b: second.adjust(first.adjust(c, a), b), [_WIDE[::3], _WIDE[::3]], analysis, progress=progress
        )
        tips.figure(plot_tipping(path, [first.label, second.label], name), "Shifting both; the cross is no shift")
    return tips


def every(done: Completions) -> Completions:
    """Return about ``TABLES`` of the completed tables, of every group alike."""
    step = max(1, len(done.tables) // TABLES)
    return replace(done, tables=done.tables[::step], groups=None if done.groups is None else done.groups[::step])


def _lever(column: Column, unit: float, done: Completions, design: Design | None) -> _Lever:
    """Return what moves ``column``; of levels the odds of the one whose share in the imputed and the observed values differs most."""
    name = column.name
    if not column.levels:
        label = f"shift of imputed {name} (standard deviations)"
        return _Lever(
            str(name),
            f"mean of {name}{column.about}",
            mean_of(done, name, design=design),
            lambda c, d: c.shift(name, d * unit),
            label,
            unit,
            False,
        )
    holes = done.holes(name)
    seen, found = done._column(done.table, name)[~holes], [done._column(table, name)[holes] for table in done.tables]
    gaps = [abs(float(np.mean([(part == level).mean() for part in found])) - float((seen == level).mean())) for level in column.levels]
    # Of two levels, the second: the differences are the same.
    level = column.levels[1 if len(column.levels) == 2 else int(np.argmax(gaps))]
    there = any(bool((part == level).any()) for part in found)

    def tilted(c: Completions, d: float) -> Completions:
        return c.tilt(name, d, category=level) if there else c

    label = f"log odds ratio of {name} = {level} among imputed values"
    return _Lever(f"{name} = {level}", f"share of {name} = {level}", mean_of(done, name, level, design), tilted, label, 1.0, True)


def mean_of(
    done: Completions, column: Hashable, level: str | float | None = None, design: Design | None = None
) -> Callable[[DataFrame | np.ndarray], tuple[float, float, float]]:
    """Return an analysis of the tables of ``done``: the mean of ``column``, or the share of its ``level``, with the rows' design."""

    def mean(table: DataFrame | np.ndarray) -> tuple[float, float, float]:
        own = done._column(table, column)
        values = numbers(own, column) if level is None else np.asarray(own == level, float)
        if design is not None:
            return design.mean(values)
        return values.mean(), values.var(ddof=1) / len(values), len(values) - 1

    return mean
