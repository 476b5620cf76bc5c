"""The command line: ``pyro-mnar impute``, ``report``, ``sensitivity`` and ``diagnose``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyro_mnar.faces.options import parser

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

    from pyro_mnar.faces.imputer import MNARImputer
    from pyro_mnar.results.imputation import Imputation
    from pyro_mnar.tables.source import Source


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after one line on standard error.

    Example:
        >>> main(["impute", "no-such-file.csv", "--output", "completed.csv"])
        2
    """
    options = parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return COMMANDS[options.command](options)
    except (ValueError, FloatingPointError) as error:
        print(f"pyro-mnar: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pyro-mnar: interrupted, nothing written", file=sys.stderr)
        return 130


def _impute(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.reading import opened, read_holes, refuse_same, told
    from pyro_mnar.faces.report import ignorable_of, write_report
    from pyro_mnar.faces.validation import complete
    from pyro_mnar.results.draws import check_draws_path, write_draws
    from pyro_mnar.results.model_files import check_model_folder
    from pyro_mnar.results.page import check_page_path
    from pyro_mnar.tables import check_ending, check_writable, split

    # The networks are small: a second thread gains little, and stalls when the machine's cores are shared.
    torch.set_num_threads(1)
    # Whatever would fail at the end fails now, before any work.
    if options.output != "-":
        check_ending(options.output)
        check_writable(options.output)
    if options.draws_output is not None:
        check_draws_path(options.draws_output)
    elif options.draws is not None:
        raise ValueError("--draws: got no --draws-output, expected a file for the draws")
    if options.draws is not None and options.draws < 1:
        raise ValueError(f"--draws: got {options.draws}, expected at least 1")
    if options.save is not None:
        check_model_folder(options.save)
    if options.report is not None:
        check_page_path(options.report)
    elif options.regress is not None:
        raise ValueError("--regress: got no --report, expected a file for the report")
    others = [("draws-output", options.draws_output), ("save", options.save), ("report", options.report)]
    refuse_same(options.table, [("output", options.output), *others])
    source = opened(options)
    with _naming(options.table):
        imputer, part, notes = _imputer(options, source)
        if options.model is None and not part.isna().to_numpy().any() and options.save is None:
            source.write(options.output, part.iloc[:, :0], part.isna())
            _notes(notes)
            _print(options, [f"Nothing is missing in {options.table}; {options.output} is a copy.", *read_holes(source, part)])
            return 0
        if options.model is None:
            notes += told(imputer.fit, part)[1]
        draws = 0 if options.draws_output is None else options.draws or 20
        result = imputer.impute(part, draws=draws)
        (filled,), doubts = told(complete, imputer, part, [result.completed])
        plain = ignorable_of(imputer, part) if options.model is None or options.report is not None else None
        known = imputer.layout_.part(part)
        _, mask = split(known, imputer.schema_, allow_empty=True)
        if not result.completed.isfinite().all():
            raise ValueError("some holes have no value that the model can give, expected values nearer to those of training")
    if options.draws_output is not None:
        levels = {str(column.name): list(column.levels) for column in imputer.schema_.columns if column.levels}
        names = [column.name for column in imputer.schema_.columns]
        write_draws(options.draws_output, result.draws.numpy(), mask, list(part.index), names, levels)
    if options.save is not None:
        imputer.save(options.save)
    if options.report is not None:
        write_report(options.report, options.table, imputer, part, plain, options.regress, options.arguments)
    holes = part[filled.columns].isna()
    source.write(options.output, filled, holes)
    _notes([*notes, *doubts])
    lines = [f"{options.output}: {int(holes.to_numpy().sum())} of {part.size} cells imputed", *read_holes(source, part)]
    lines += [f"Doubtful: {sentence}" for sentence in doubts]
    _print(options, [*lines, *_said(imputer, result, mask, None if plain is None else plain.impute(part))])
    return 0


def _notes(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        print(f"pyro-mnar: {sentence}", file=sys.stderr)


def _print(options: argparse.Namespace, lines: Sequence[str]) -> None:
    """Print what is said, on standard error where the table goes to standard output."""
    print(*lines, sep="\n", file=sys.stderr if options.output == "-" else sys.stdout)


def _report(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.reading import opened, refuse_same
    from pyro_mnar.faces.report import ignorable_of, write_report
    from pyro_mnar.results.page import check_page_path

    torch.set_num_threads(1)
    check_page_path(options.output)
    refuse_same(options.table, [("output", options.output)])
    source = opened(options)
    with _naming(options.table):
        imputer, part, notes = _imputer(options, source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the report says it
            if options.model is None:
                imputer.fit(part)
            plain = ignorable_of(imputer, part)
        write_report(options.output, options.table, imputer, part, plain, options.regress, options.arguments)
    _notes(notes)
    print(f"{options.output}: report on {options.table}")
    return 0


def _sensitivity(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.reading import opened, refuse_same
    from pyro_mnar.faces.sensitivity_command import along, conclusion, moved_rows, moves, said
    from pyro_mnar.results.sensitivity_plots import plot_tipping
    from pyro_mnar.tables import Schema, check_ending, check_writable, split, write_table

    torch.set_num_threads(1)
    check_ending(options.output)
    refuse_same(options.table, [("output", options.output), ("figure", options.figure)])
    for path in (options.output, options.figure):
        if path is not None:
            check_writable(path)
    if options.draws is not None and options.draws < 2:
        raise ValueError(f"--draws: got {options.draws}, expected at least 2")
    source = opened(options)
    with _naming(options.table):
        imputer, part, notes = _imputer(options, source)
        schema = Schema.of(part, kinds=imputer.kinds) if options.model is None else imputer.schema_
        given = moves(options, schema, split(part, schema, allow_empty=True)[1])
        (estimate_of, about), rows = conclusion(options, schema), moved_rows(options, source.frame(lenient=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if options.model is None:
                imputer.fit(part)
        path = along(imputer, part, given, rows, estimate_of, options.draws or 160, options.null)
    labels = [move.label for move in given]
    if options.figure is not None:
        plot_tipping(path, labels, about).savefig(options.figure, dpi=150)
    frame = path.table()
    write_table(frame.set_axis([*labels, *frame.columns[len(labels) :]], axis=1), options.output)
    _notes(notes)
    print(*said(path, given, about), sep="\n")
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.reading import opened
    from pyro_mnar.results.plots import plot_mask_check
    from pyro_mnar.tables import check_writable

    torch.set_num_threads(1)
    if options.figure is not None:
        check_writable(options.figure)
    imputer, part, _ = _imputer(options, opened(options))
    found = imputer.diagnose(part)
    if options.figure is not None:
        if found.mask_check is None:
            raise ValueError("--figure: got one for a model without a mechanism, expected one with (there is no mask to check)")
        plot_mask_check(found.mask_check).savefig(options.figure, dpi=150)
    print(found)
    return 0


@contextmanager
def _naming(table: str) -> Iterator[None]:
    """Add the file to what the library says, whose messages name the column."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        raise ValueError(message if table in message else f"{table}: {message}") from None


COMMANDS = {"impute": _impute, "report": _report, "sensitivity": _sensitivity, "diagnose": _diagnose}


def _imputer(options: argparse.Namespace, source: Source) -> tuple[MNARImputer, DataFrame, list[str]]:
    """Return an imputer, fitted where a model was given, the columns that it is for, and sentences on the others."""
    from pyro_mnar.faces.imputer import MNARImputer
    from pyro_mnar.faces.reading import counted, declared_levels, missing_words, names_in, usable
    from pyro_mnar.faces.report_sensitivity import parsed
    from pyro_mnar.tables import Schema

    words = missing_words(getattr(options, "missing", None), source.names)

    def missing(name: str) -> list[str]:
        return [*words[None], *words.get(name, [])]

    if options.model is not None:
        for name in ("mechanism", "direction", "covariates", "ignorable", "kind", "columns", "save", "steps"):
            if getattr(options, name, None) is not None:
                raise ValueError(f"--{name}: got one with --model, expected it only when fitting (the model has its own)")
        imputer = MNARImputer.load(options.model)
        names = [str(name) for name in imputer.layout_.names]
        lacking = [name for name in names if name not in source.names]
        if lacking:
            unknown = [name for name in source.names if name not in names]
            more = f"; the model does not know {', '.join(unknown)}" if unknown else ""
            raise ValueError(f"table: lacks the model's column(s) {', '.join(lacking)}{more}")
        part = source.frame(names, missing, declared_levels(None, imputer.schema_))
        if getattr(options, "seed", None) is not None:
            imputer.random_state = options.seed
        imputer.point = getattr(options, "point", None) or imputer.point
        imputer.n_jobs = _jobs(options.jobs)
        if getattr(options, "regress", None) is not None:
            parsed(options.regress, imputer.schema_)
        return imputer, counted(part), []
    chosen = None if options.columns is None else names_in(options.columns, source.names, "columns")
    kinds = _kinds(options.kind, source.names)
    unknown = [name for name in kinds if name not in (chosen or source.names)]
    if unknown:
        raise ValueError(f"kinds: got unknown column {unknown[0]!r}, expected some of {', '.join(chosen or source.names)}")
    part, notes = usable(source, chosen, kinds, missing, declared_levels(kinds))
    if options.regress is not None:
        parsed(options.regress, Schema.of(part, kinds=kinds))
    if options.steps is not None and options.steps < 1:
        raise ValueError(f"--steps: got {options.steps}, expected at least 1")
    settings = {"steps": options.steps, "mechanism": options.mechanism, "random_state": options.seed}
    settings["point"] = getattr(options, "point", None)
    given = {name: value for name, value in settings.items() if value is not None}
    if kinds:
        given["kinds"] = kinds
    if options.covariates is not None:
        said: dict[str, Any] = {"auto": "auto", "complete": "complete", "none": []}
        by_name = options.covariates not in said or options.covariates in part.columns
        given["covariates"] = names_in(options.covariates, part.columns, "covariates") if by_name else said[options.covariates]
    if options.ignorable is not None:
        given["ignorable"] = names_in(options.ignorable, part.columns, "ignorable")
    direction = _direction(options.direction, part.columns)
    return MNARImputer(direction=direction, n_jobs=_jobs(options.jobs), **given), counted(part), notes


def _jobs(wanted: int | None) -> int:
    from joblib import cpu_count

    if wanted is not None and wanted < 1:
        raise ValueError(f"--jobs: got {wanted}, expected at least 1")
    return wanted or cpu_count()


def _kinds(words: list[str] | None, names: Sequence[str]) -> dict[str, str]:
    from pyro_mnar.faces.reading import pair

    found = {}
    for word in words or []:
        own = pair(word, names)
        if own is None or not own[1]:
            raise ValueError(f"--kind: got {word!r}, expected COLUMN=KIND")
        found[own[0]] = own[1]
    return found


def _direction(words: list[str] | None, names: Sequence[str]) -> str | dict[str, str]:
    from pyro_mnar.faces.reading import pair

    if not words:
        return "free"
    pairs = [pair(word, names) for word in words]
    if all(own is not None for own in pairs):
        return dict(own for own in pairs if own is not None)
    if len(words) > 1:
        raise ValueError(f"--direction: got {' and '.join(words)}, expected one word for all columns, or COLUMN=WORD for each")
    return words[0]


def _said(imputer: MNARImputer, result: Imputation, mask: np.ndarray, plain: Imputation | None) -> list[str]:
    from pyro_mnar.faces.points import POINTS
    from pyro_mnar.faces.words import assumptions, kinds_of, shifts

    lines = [*kinds_of(imputer.schema_), *assumptions(imputer), f"Filled with {POINTS[imputer.point]}."]
    lines += shifts(imputer, result, plain, mask)
    poor = int(result.unreliable.sum())
    if poor:
        lines.append(f"Importance weights of {poor} of {len(mask)} rows are unreliable (Pareto k above threshold): trust them less.")
    if len(imputer.histories_) < imputer.members or imputer.histories_[-1].stopped == "interrupted":
        lines.append(f"Training was interrupted: {len(imputer.histories_)} of {imputer.members} models, the last perhaps in part.")
    return lines
