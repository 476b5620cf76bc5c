"""The parts of a report: what was assumed, the table, training, missingness, imputed values, reliability, sensitivity, origin."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from pyro_mnar.analysis.design import Design
from pyro_mnar.diagnostics.diagnosis import Diagnosis
from pyro_mnar.imputation.impute import Imputation
from pyro_mnar.imputer.doubts import doubts
from pyro_mnar.imputer.identification.instrument import instruments_in_words, weak_instruments
from pyro_mnar.imputer.identification.shadow import shadows_in_words, weak_shadows
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.limited_reasons import limits_in_words
from pyro_mnar.imputer.margins.margin_words import margins_in_words, unmet
from pyro_mnar.imputer.replicates import as_analyzed
from pyro_mnar.imputer.rules.known_words import absent_counts, known_in_words
from pyro_mnar.imputer.summary import assumptions, imputed_means
from pyro_mnar.imputer.tables.given import Given
from pyro_mnar.infer.weights import pareto_threshold
from pyro_mnar.plots.model import plot_mask_check, plot_missingness, plot_training
from pyro_mnar.plots.sensitivity import plot_assumptions, plot_pattern, plot_reliability
from pyro_mnar.report.digits import in_places, places_for
from pyro_mnar.report.html import Section
from pyro_mnar.report.levers import PANELS, completed, every, levers_of
from pyro_mnar.report.sensitivity import sensitivity


def sections(
    imputer: MNARImputer,
    table: Given,
    result: Imputation,
    ignorable: Imputation | None = None,
    *,
    analysis: Callable[[Any], Any] | None = None,
    analysis_name: str = "estimate",
    reads: Sequence[Hashable] | None = None,
    origin: Mapping[str, object] | None = None,
    further: Sequence[Section] = (),
    design: Design | None = None,
    replicates: np.ndarray | None = None,
    progress: bool = True,
) -> list[Section]:
    """Return the parts of the report on a fitted ``imputer`` and a table that it imputed.

    Args:
        imputer: fitted.
        table: as its codec reads it.
        result: ``imputer.impute(X, draws=M)``, M of 2 or more.
        ignorable: the same of :func:`~pyro_mnar.report.report.ignorable_of`, to compare with.
        analysis: an estimate of one parameter, as :func:`~pyro_mnar.analysis.analyses.analyze` takes it, with a design where there is
            one; where it tips is looked for.
        analysis_name: what it estimates, for labels.
        reads: the columns of a DataFrame that the analysis reads, all by default; a wide table takes less time where they are few.
        origin: what else to state under "To reproduce this", such as the command.
        further: other sections, which come before those on sensitivity.
        design: of the rows, which estimates are given too.
        replicates: (G, N), how often each row was in each member's table, of either imputation.
        progress: bars on standard error, on a terminal only.

    Raises:
        ValueError: for too few draws, or an analysis that fails.

    Example:
        >>> from pyro_mnar.imputer.tables.given import given
        >>> x = np.random.default_rng(0).normal(size=(40, 2))
        >>> x[x[:, 0] > 0.5, 0] = np.nan
        >>> fitted = MNARImputer(steps=2, members=2, progress=False).fit(x)
        >>> [part.title for part in sections(fitted, given(fitted, x), fitted.impute(x, draws=20))][:2]
        ['What was assumed', 'The table']
    """
    least = min(len(part.draws) for part in (result, ignorable) if part is not None)
    if least < 2:
        raise ValueError(f"result, ignorable: got {least} draws, expected at least 2")
    found = [_assumed(imputer, table, design), _table(table), _training(imputer)]
    if not table.missing.any():
        found.append(_missingness(imputer, table, []))
    else:
        done = completed(imputer, table, result, ignorable, None if analysis is not None and reads is None else reads or [])
        samples = {way: as_analyzed(design, replicates, every(part).groups) for way, part in done.items()}
        levers = levers_of(table, done["as assumed"], samples["as assumed"])
        # Directions are drawn, though no sum of them is moved.
        shown = [*levers, *(int(j) for j in np.flatnonzero(table.missing.any(0)) if table.codec.columns[j].circular)][:PANELS]
        found += [
            _missingness(imputer, table, shown),
            _distributions(table, result, ignorable, shown),
            _reliability(result, table),
            *further,
            *sensitivity(imputer, table, done, levers, analysis, analysis_name, reads, samples, progress),
        ]
    found.append(_origin(imputer, table, result, origin or {}))
    return [section for section in found if section.parts]


def _assumed(imputer: MNARImputer, table: Given, design: Design | None) -> Section:
    sentences = [*assumptions(imputer), *limits_in_words(table), *known_in_words(table)]
    if design is not None:
        sentences.append(f"Means, shares and coefficients are of the population that was sampled: {design.in_words()}.")
        sentences.append("Their standard errors are by Taylor linearization; other numbers are of the rows as they stand.")
    section = Section("What was assumed").text(*[sentence.strip() for sentence in sentences])
    section.text(*shadows_in_words(imputer), *instruments_in_words(imputer), *margins_in_words(imputer))
    for doubt in [*weak_shadows(imputer), *weak_instruments(imputer), *unmet(imputer), *doubts(imputer)]:
        section.warning(doubt)
    return section


def _table(table: Given) -> Section:
    rows, values, mask = [], table.values, table.mask
    for j, column in enumerate(table.codec.columns):
        seen = values[mask[:, j], j]
        summed = len(seen) and not (column.levels or column.circular)
        numbers = [""] * 4
        if summed:
            places = places_for(float(seen.std()), 3)
            numbers = [in_places(float(x), places) for x in (seen.mean(), seen.std())] + [seen.min(), seen.max()]
        rows.append([column.name, column.kind, column.dtype, len(seen), f"{100 * table.missing[:, j].mean():.1f} %", *numbers])
    header = ["column", "kind", "type", "observed", "missing", "mean", "standard deviation", "least", "largest"]
    absent = sum(absent_counts(table).values())
    apart = f", {absent} further ones not applicable" if absent else ""
    section = Section("The table").text(
        f"{len(mask)} rows, {mask.shape[1]} columns, {int(table.missing.sum())} of {mask.size} cells missing{apart}."
    )
    section.rows(header, rows, "Of observed values")
    return section.figure(plot_pattern(~table.missing, [row[0] for row in rows]), "The most frequent patterns of missing values")


def _training(imputer: MNARImputer) -> Section:
    section = Section("Training")
    histories = [history for history in imputer.histories_ if history.evaluations]
    if histories:
        section.figure(plot_training(histories), f"Bound on the log likelihood of each of {len(histories)} models of the ensemble")
        section.text("Curves that still rise at the end ask for more steps (--steps).")
    return section


def _missingness(imputer: MNARImputer, table: Given, shown: Sequence[int]) -> Section:
    section = Section("Why values are missing, as learned")
    columns = table.codec.columns
    place = {columns[j].name: k for k, j in enumerate(shown)}
    curves = sorted(imputer.missingness(), key=lambda curve: place.get(curve[0], len(place)))
    if curves:
        at = {column.name: j for j, column in enumerate(columns)}
        section.text(*_left_out(len(curves)))
        curves = curves[:PANELS]
        observed = [table.values[table.mask[:, at[name]], at[name]] for name, _, _ in curves]
        levels = {column.name: column.levels for column in columns if column.levels}
        section.figure(
            plot_missingness(curves, observed, max_columns=PANELS, levels=levels),
            "Probability of being missing against the value; a line for each model of the ensemble. Marks below are observed values: "
            "beyond them a curve is assumption, not data.",
        )
    return section


def _left_out(columns: int) -> list[str]:
    """Return what to say where more columns have holes than a figure has panels."""
    return [f"Drawn are the {PANELS} of {columns} columns whose estimates rest most on assumption."] if columns > PANELS else []


def _distributions(table: Given, result: Imputation, ignorable: Imputation | None, shown: Sequence[int]) -> Section:
    values, mask, columns = table.values, table.mask, table.codec.columns
    given = {"as assumed": result} | ({} if ignorable is None else {"ignorable": ignorable})
    draws = {which: part.draws.numpy() for which, part in given.items()}
    rows, names = [], [column.name for column in columns]
    for j in np.flatnonzero(table.missing.any(0)):
        # Of levels, the share of each.
        levels, holes = columns[int(j)].levels, table.missing[:, j]
        found = {which: imputed_means(columns[int(j)], part, holes, int(j)) for which, part in given.items()}
        for k, name in enumerate([f"{names[j]} = {level}" for level in levels] or [names[j]]):
            seen = values[mask[:, j], j] == k if levels else values[mask[:, j], j]
            means = {which: part[k] for which, part in found.items()}
            spread = float(seen.std()) if len(seen) else 0.0
            places = 3 if levels else places_for(spread, 3)
            row = [name, int(holes.sum()), in_places(float(seen.mean()), places) if len(seen) else ""]
            row += [in_places(float(mean), places) for mean in means.values()]
            if ignorable is not None:
                row.append(in_places(float(means["as assumed"] - means["ignorable"]) / (spread if spread > 0 else 1.0), 2))
            rows.append(row)
    header = ["column", "imputed cells", "observed mean", *(f"posterior mean, {name}" for name in draws)]
    header += ["difference in standard deviations"] if ignorable is not None else []
    section = Section("Observed and imputed values").rows(header, rows, "Means, and shares of levels")
    section.text(*_left_out(int(table.missing.any(0).sum())))
    caption = "Observed and imputed values, each as a density; of levels, shares"
    at = list(shown)
    some, values = {name: part[..., at] for name, part in draws.items()}, np.where(table.absent, np.nan, values)[:, at]
    drawn = plot_assumptions(values, ~table.missing[:, at], some, [names[j] for j in at], PANELS, [columns[j].levels for j in at])
    return section.figure(drawn, caption)


def _reliability(result: Imputation, table: Given) -> Section:
    mask = ~table.missing
    holes, poor = ~mask.all(1), result.unreliable.numpy()
    section = Section("How reliable each row's imputation is")
    section.figure(
        plot_reliability(
            result.ess.numpy()[holes] / result.particles, result.pareto_k.numpy()[holes], pareto_threshold(result.particles)
        ),
        "Rows with holes: effective share of importance-weighted particles, and the shape k of the weights' tail (means over models)",
    )
    if not poor.any():
        return section.text("Every row is reliable: its Pareto k is below the threshold, or its Markov chains agree.")
    worst = sorted(np.flatnonzero(poor), key=lambda i: -float(result.pareto_k[i]))[:20]
    labels = table.labels or list(range(len(mask)))
    section.warning(
        f"Trust the imputations of {int(poor.sum())} of {len(mask)} rows less: their importance weights fail, or their chains disagree."
    )
    rhat = ["" if np.isnan(r) else float(r) for r in result.rhat.tolist()]
    rows = [[labels[i], float(result.pareto_k[i]), float(result.ess[i]), rhat[i], int((~mask[i]).sum())] for i in worst]
    return section.rows(["row", "Pareto k", "effective particles", "R-hat of chains", "missing cells"], rows, "The least reliable rows")


def checks(found: Diagnosis) -> Section:
    """Return the section on a diagnosis."""
    section = Section("What the diagnosis found")
    for problem in found.problems.values():
        section.warning(problem)
    if not found.problems:
        section.text("No problem.")
    section.text(*found.caveats.values())
    if found.mask_check is not None:
        section.figure(plot_mask_check(found.mask_check), "Mask predictive check: observed rates of missing values against the model's")
    return section


def _origin(imputer: MNARImputer, table: Given, result: Imputation, origin: Mapping[str, object]) -> Section:
    names = [column.name for column in table.codec.columns]
    content = hashlib.sha256(repr(names).encode() + table.values.tobytes() + table.mask.tobytes()).hexdigest()
    packages = ("pyro-mnar", "pyro-ppl", "torch", "numpy", "pandas", "scipy")
    settings = imputer.get_params(deep=False)
    rows = [
        *origin.items(),
        ("SHA-256 of the modeled values", content),
        ("seed", imputer.seed),
        ("settings", ", ".join(f"{name}={value!r}" for name, value in settings.items())),
        ("draws, particles", f"{len(result.draws)}, {result.particles}"),
        ("versions", ", ".join(f"{name} {version(name)}" for name in packages)),
        ("system", f"Python {platform.python_version()}, {platform.platform()}"),
    ]
    return Section("To reproduce this").rows(["what", "value"], [list(row) for row in rows])
