"""The report's part on sensitivity: results along shifts and strengths, under two assumptions, and where a conclusion tips."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.analysis.analyses import analyze
from pyro_mnar.analysis.completions import Completions
from pyro_mnar.analysis.design import Sampling
from pyro_mnar.analysis.pooled import Pooled
from pyro_mnar.analysis.tipping import TippingPoint, tipping_point
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.sensitivity import gains
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.plots.sensitivity import plot_estimates
from pyro_mnar.plots.tipping import plot_paths, plot_tipping
from pyro_mnar.report.digits import pooled_numbers
from pyro_mnar.report.html import Section
from pyro_mnar.report.levers import Lever, alone, every, of_logarithm

if TYPE_CHECKING:
    pass

#: A path is flat where it moves by less than this share of its interval's width.
_FLAT, _ALPHA = 0.05, 0.05
_IS = {False: "is", True: "are"}
_SHIFTS, _WIDE, _FACTORS = np.linspace(-1, 1, 9).tolist(), np.linspace(-3, 3, 25).tolist(), [0.0, 0.5, 1.0, 1.5, 2.0]
_ODDS, _WIDE_ODDS = np.linspace(-1.5, 1.5, 7).tolist(), np.linspace(-2, 2, 9).tolist()  # logarithms


def sensitivity(
    imputer: MNARImputer,
    table: Given,
    done: Mapping[str, Completions],
    levers: Mapping[int, Lever],
    analysis: Callable[[Any], Any] | None,
    analysis_name: str,
    reads: Sequence[Hashable] | None,
    samples: Mapping[str, Sampling],
    progress: bool,
) -> list[Section]:
    """Return the sections on sensitivity.

    Args:
        imputer: fitted.
        table: read by its codec.
        done: completed tables by assumption; ``as assumed`` are moved, all are compared.
        levers: by position of the column that each moves.
        analysis: of one parameter, or None.
        analysis_name: what it estimates.
        reads: the columns that the analysis reads, all by default.
        samples: by assumption how rows were sampled, as ``analyze`` takes it.
        progress: bars on standard error, on a terminal only.
    """
    specification, full, sample = imputer.specification_, done["as assumed"], samples["as assumed"]
    some = every(full)
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

    def along(chosen: list[Lever], start: Completions, grid: list[float], adjust: Any = None) -> dict[str, TippingPoint]:
        return {
            own.name: tipping_point(alone(start, [own.column]), adjust or own.adjust, grid, own.estimate, progress=progress, **sample)
            for own in chosen
        }

    real, leveled = ([own for own in levers.values() if own.levels == which] for which in (False, True))
    shift, odds = "shift (standard deviations)", "log odds ratio of the level"
    drawn(along(real, some, _SHIFTS), shift, "mean of the column", "Column means against a shift of the imputed values")
    drawn(along(leveled, full, _ODDS), odds, "share of the level", "Shares of levels against their odds among the imputed values")
    own = [lever for j, lever in levers.items() if j in specification.own_alone]
    if own:
        gained = dict(zip(_FACTORS, gains(imputer, table, full.drawn, _FACTORS), strict=True))
        strengths = along(own, full, _FACTORS, lambda start, factor: start.reweight(gained[factor]))
        caption = "Column means, or shares of levels, against the strength of the mechanism"
        drawn(strengths, "strength of the mechanism", "mean, or share", caption)
    wanted = ({} if analysis is None else {analysis_name: analysis}) | {lever.about: lever.estimate for lever in levers.values()}
    fewer = {way: every(part) for way, part in done.items()}
    estimates = {
        label: {way: analyze(part.tables, of, part.groups, **samples[way]) for way, part in fewer.items()}
        for label, of in wanted.items()
    }
    rules = "Rubin's rules for draws nested in the ensemble's members"
    rules += ", with members' replicates of the rows" if "replicates" in sample else ""
    rows = [[label, way, *pooled_numbers(pooled)] for label, ways in estimates.items() for way, pooled in ways.items()]
    section.rows(
        ["estimate of", "missing values are", "estimate", "standard error", "lower", "upper", "dof", "FMI", "draws needed"],
        rows,
        f"Pooled over {len(some.tables)} completed tables by {rules}; FMI: fraction of missing information; draws needed, with as many "
        "of each member as here: for standard errors that would vary by 5 % between "
        "sets of draws (von Hippel 2020)",
    )
    if analysis is None:
        return [section]
    return [section, _tips(levers.values(), some, full, analysis, analysis_name, reads, estimates[analysis_name], sample, progress)]


def _tips(
    levers: Iterable[Lever],
    some: Completions,
    full: Completions,
    analysis: Callable[[Any], Any],
    name: str,
    reads: Sequence[Hashable] | None,
    estimates: Mapping[str, Pooled],
    sample: Sampling,
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
    moving: list[Lever] = []
    found, flat = [], []
    for lever in levers:
        if reads is not None and lever.column not in reads and not lever.levels:
            flat.append(lever.name)  # whose shift the analysis cannot see
            continue
        start, grid = (full, _WIDE_ODDS) if lever.levels else (some, _WIDE)
        lever = of_logarithm(lever, full) if lever.column in getattr(analysis, "logs", ()) else lever
        part = start if reads is None else alone(start, list(dict.fromkeys([lever.column, *reads])))
        found.append((lever, tipping_point(part, lever.adjust, grid, analysis, progress=progress, **sample)))
    found.sort(key=lambda pair: -float(np.ptp(pair[1].estimate)))
    flat += [lever.name for lever, path in found if np.ptp(path.estimate) < _FLAT * np.median(path.upper - path.lower)]
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
            some, lambda c, a, b: second.adjust(first.adjust(c, a), b), [_WIDE[::3], _WIDE[::3]], analysis, progress=progress, **sample
        )
        tips.figure(plot_tipping(path, [first.label, second.label], name), "Shifting both; the cross is no shift")
    return tips
