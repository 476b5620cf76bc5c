"""What a command line asks for: an imputer with its settings or a saved one, and the columns that it is for."""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyro_mnar.analysis.regressions import regression_in
from pyro_mnar.cli.design import Sampled, sampled
from pyro_mnar.cli.limits import frame_with_limits, holes_of, limits_asked
from pyro_mnar.cli.margins import margins_asked
from pyro_mnar.cli.reading import counted, grouped, known_levels, usable
from pyro_mnar.cli.rules import codes_asked, known_asked
from pyro_mnar.data.files.source import Source
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.layout import label_of
from pyro_mnar.data.limits import limits_of, set_aside
from pyro_mnar.data.names import missing_words, names_in, pair
from pyro_mnar.data.rules.not_applicable import codes_and_conditions
from pyro_mnar.data.stated_holes import stated_holes
from pyro_mnar.imputation.resampling import work_of
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.learning import fit_given, work_of_fit
from pyro_mnar.imputer.replicates import replicates_on
from pyro_mnar.imputer.tables.given import Given, given, learned

if TYPE_CHECKING:
    from pandas import DataFrame

#: Options of what is fitted, which a saved model has already.
FITTING = (
    *("mechanism", "direction", "order", "ignorable", "shadow", "instrument", "kind", "columns", "steps"),
    *("limit", "rule", "not_applicable", "margin"),
)


def refuse_fitting(options: argparse.Namespace, *more: str) -> None:
    """Raise a ValueError for an option of what is fitted, or one ``more`` of a fit, beside ``--model``."""
    for name in (*FITTING, *more):
        if getattr(options, name, None) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')}: got one with --model, expected it only when fitting (the model has its own)")


class Asked(NamedTuple):
    """What a command line asks for.

    Attributes:
        imputer: with its settings.
        fitted: whether it is a saved model.
        part: the part of the table that it is for.
        columns: what those that vary are, by name, where no model says it.
        notes: sentences on other columns.
        holes: which cells are to be imputed.
        sample: how rows were sampled.
        logs: columns of which ``--regress`` takes logarithms.
    """

    imputer: MNARImputer
    fitted: bool
    part: DataFrame
    columns: dict[str, Column]
    notes: list[str]
    holes: DataFrame
    sample: Sampled
    logs: frozenset[Hashable] = frozenset()

    def learned(self) -> Given:
        """Return the table as the model reads it, or as one that is to be fitted would.

        Raises:
            ValueError: for a table that is none of the model's, or an observed number that has no logarithm.
        """
        if self.fitted:
            table = replace(given(self.imputer, self.part), weights=self.sample.weights)
        else:
            table = learned(self.imputer, self.part, self.columns, self.sample.weights, self.sample.units)
        for j in (j for j, column in enumerate(table.codec.columns) if column.name in self.logs):
            wrong = np.flatnonzero(table.mask[:, j] & (table.values[:, j] <= 0))
            if len(wrong):
                said = f"log({table.codec.columns[j].name}): got {table.values[wrong[0], j]:g} in row {label_of(table.table, wrong[0])}"
                raise ValueError(f"--regress: {said}, expected numbers above 0")
        return table

    def work(self, compared: bool) -> float:
        """Return how much there is to do, in training steps: fitting, imputing, and where reports compare both without a mechanism."""
        imputer, rows = self.imputer, len(self.part)
        imputing = imputer.members * work_of(int(self.part.isna().any(axis=1).sum()))
        again = work_of_fit(imputer, rows, False) + imputing if compared and imputer.mechanism != "none" else 0.0
        fitting = 0.0 if self.fitted else work_of_fit(imputer, rows, imputer.mechanism in ("auto", "self-masking"))
        return fitting + imputing + again

    def fit(self, table: Given, checkpoint: str | None) -> Given:
        """Return the table as the model reads it, once that is fitted, or gone on with from a folder."""
        if not self.fitted:
            fit_given(self.imputer, table, checkpoint=checkpoint)
        return replace(table, codec=self.imputer.codec_)

    def replicates(self, table: Given) -> np.ndarray | None:
        """Return how often each row was in each member's table, (G, N), for estimates by a design; None for a saved model."""
        return None if self.fitted or self.sample.design is None else replicates_on(self.imputer, table)


def asked_for(options: argparse.Namespace, source: Source) -> Asked:
    """Return what a command line asks for.

    Raises:
        ValueError: naming the option, for what does not fit together or is none of the table's.
    """
    _check_seed(options)
    missing = missing_words(options.missing, source.names)
    if options.model is not None:
        return _with_model(options, source, missing)
    chosen = None if options.columns is None else names_in(options.columns, source.names, "columns")
    kinds = _kinds(options.kind, source.names)
    unknown = [name for name in kinds if name not in (chosen or source.names)]
    if unknown:
        raise ValueError(f"--kind: got unknown column {unknown[0]!r}, expected some of {', '.join(chosen or source.names)}")
    limits = limits_asked(options.limit, source.names, source.decimal)
    aside = set_aside(limits_of(limits, source.names), source.names, kinds)
    cells = [name for name, said in limits.items() if said == "cells"]
    chosen = None if chosen is None else [*chosen, *(name for name in aside if name not in chosen)]
    words = stated_holes(missing, source.names, kinds)
    sample = sampled(options, source, words, [*(chosen or ()), *kinds, *limits])
    codes = codes_asked(options, source.names, source.decimal)
    part, columns, notes = usable(source, chosen, kinds, words, cells, aside, sample.left_out, codes)
    logs = frozenset[Hashable]() if options.regress is None else regression_in(options.regress, columns.values()).logs
    if options.steps is not None and options.steps < 1:
        raise ValueError(f"--steps: got {options.steps}, expected at least 1")
    settings = {"steps": options.steps, "mechanism": options.mechanism, "random_state": options.seed}
    settings["point"] = getattr(options, "point", None)
    stated = {name: value for name, value in settings.items() if value is not None}
    if options.device is not None:
        stated["device"] = options.device
    stated["keep_partial"] = getattr(options, "keep_partial", False)
    if kinds:
        stated["kinds"] = kinds
    if missing:
        # Of the columns that are used, so that the model knows them for other tables.
        stated["missing"] = {name: words for name, words in missing.items() if name in part.columns}
    if options.order is not None:
        stated["order"] = names_in(options.order, part.columns, "order")
    for name, words in (("ignorable", options.ignorable), ("shadow", options.shadow), ("instrument", options.instrument)):
        if words is not None:
            stated[name] = names_in(words, part.columns, name)
    stated["limits"] = limits or None
    stated["margins"] = margins_asked(options.margin, list(part.columns), source.decimal) or None
    stated |= known_asked(options, list(part.columns), source.decimal)
    direction = _direction(options.direction, part.columns)
    imputer = MNARImputer(direction=direction, n_jobs=_jobs(options), **stated)
    return Asked(imputer, False, part, columns, notes, holes_of(part, cells, aside), sample, logs)


def _with_model(options: argparse.Namespace, source: Source, missing: dict[str, list[Any]]) -> Asked:
    refuse_fitting(options, "save", "checkpoint", "keep_partial")
    imputer = MNARImputer.load(options.model)
    names = [str(name) for name in imputer.codec_.layout.names]
    lacking = [name for name in names if name not in source.names]
    if lacking:
        unknown = [name for name in source.names if name not in names]
        more = f"; the model does not know {', '.join(unknown)}" if unknown else ""
        raise ValueError(f"table: lacks the model's column(s) {', '.join(lacking)}{more}")
    own = stated_holes(imputer.missing, names, imputer.kinds)
    words = {name: [*map(str, own.get(name, [])), *missing.get(name, [])] for name in names}
    cells = [str(limit.column) for limit in imputer.codec_.limits if limit.cells]
    codes, _ = codes_and_conditions(imputer.not_applicable, names)
    own = {str(name): values for name, values in codes.items()}
    part = counted(frame_with_limits(source, names, words, known_levels(imputer.schema_), cells, own))
    # A CSV does not say of a column that is missing altogether that its numbers are whole.
    for column in imputer.codec_.columns if source.arrow is None else ():
        if "int" in column.dtype.lower() and part[column.name].isna().all():
            part[column.name] = part[column.name].astype("Int64")
    if getattr(options, "seed", None) is not None:
        imputer.random_state = options.seed
    imputer.point = getattr(options, "point", None) or imputer.point
    imputer.n_jobs, imputer.device = _jobs(options), getattr(options, "device", None) or imputer.device
    regress = getattr(options, "regress", None)
    logs = frozenset[Hashable]() if regress is None else regression_in(regress, imputer.codec_.columns).logs
    holes = holes_of(part, cells, [names[j] for j in imputer.codec_.layout.aside])
    return Asked(imputer, True, part, {}, grouped(source, part), holes, sampled(options, source, missing, names), logs)


def _check_seed(options: argparse.Namespace) -> None:
    seed = getattr(options, "seed", None)
    if seed is not None and not 0 <= seed < 2**32:
        raise ValueError(f"--seed: got {seed}, expected a whole number from 0 to 2**32 - 1")


def _jobs(options: argparse.Namespace) -> int:
    import torch
    from joblib import cpu_count

    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"--jobs: got {options.jobs}, expected at least 1")
    on_gpu = getattr(options, "device", None) not in (None, "cpu") and torch.cuda.is_available()
    return options.jobs or (1 if on_gpu else cpu_count())


def _kinds(words: list[str] | None, names: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words or []:
        own = pair(word, names)
        if own is None or not own[1]:
            raise ValueError(f"--kind: got {word!r}, expected COLUMN=KIND")
        if own[0] in found:
            raise ValueError(f"--kind: got two for column {own[0]!r}, expected one")
        found[own[0]] = own[1]
    return found


def _direction(words: list[str] | None, names: Sequence[str]) -> str | dict[str, str] | None:
    if not words:
        return None
    pairs = [pair(word, names) for word in words]
    own = [one for one in pairs if one is not None]
    if len(own) == len(pairs):
        twice = next((name for i, (name, _) in enumerate(own) if name in dict(own[:i])), None)
        if twice is not None:
            raise ValueError(f"--direction: got two for column {twice!r}, expected one")
        return dict(own)
    if len(words) > 1:
        raise ValueError(f"--direction: got {' and '.join(words)}, expected one word for all columns, or COLUMN=WORD for each")
    return words[0]
