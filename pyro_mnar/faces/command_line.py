"""The command line: ``pyro-mnar impute``, ``report``, ``sensitivity`` and ``diagnose``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_mnar.faces.options import parser

if TYPE_CHECKING:
    import numpy as np

    from pyro_mnar.faces.imputer import MNARImputer
    from pyro_mnar.results.imputation import Imputation
    from pyro_mnar.tables import Schema


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

    from pyro_mnar.faces.reasons import never_together
    from pyro_mnar.faces.report import MOST_CELLS, ignorable_of, write_report
    from pyro_mnar.faces.report_sensitivity import parsed
    from pyro_mnar.results.draws import check_draws_path, write_draws
    from pyro_mnar.results.model_files import check_model_folder
    from pyro_mnar.results.page import check_page_path
    from pyro_mnar.tables import check_ending, check_writable, read_table, split, write_table

    # The networks are small: a second thread gains little, and stalls when the machine's cores are shared.
    torch.set_num_threads(1)
    # Whatever would fail at the end fails now, before any work.
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
    table = read_table(options.table)
    with _naming(options.table):
        imputer, schema = _imputer(options, table)
        part = table[[column.name for column in schema.columns]]
        if options.regress is not None:
            parsed(options.regress, schema)
        _, mask = split(part, schema, allow_empty=options.model is not None)
        if options.model is None and mask.all() and options.save is None:
            write_table(table, options.output)
            print(f"Nothing is missing in {options.table}; {options.output} is a copy.")
            return 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # said in words below
            if options.model is None:
                imputer.fit(part)
        # Where none are asked for, five of each model for the estimates that are printed, unless they would fill the memory.
        few = 5 * len(imputer.members_)
        draws = (few if part.size * few <= MOST_CELLS else 0) if options.draws_output is None else options.draws or 20
        result = imputer.impute(part, draws=draws)
        plain = ignorable_of(imputer, part) if options.report is not None else None
    from pyro_mnar.tables import join

    completed = table.copy()
    filled = join(part, result.completed.numpy(), mask, schema)
    for name in part.columns:
        completed[name] = filled[name]
    if options.draws_output is not None:
        levels = {str(column.name): list(column.levels) for column in schema.columns if column.levels}
        write_draws(options.draws_output, result.draws.numpy(), mask, list(part.index), list(part.columns), levels)
    if options.save is not None:
        imputer.save(options.save)
    if options.report is not None:
        write_report(options.report, options.table, imputer, part, plain, options.regress, options.arguments)
    write_table(completed, options.output)
    _say(imputer, result, mask, Path(options.output))
    for apart in never_together(schema, mask) if options.model is None else ():
        print(f"Doubtful: {apart}")
    return 0


def _report(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.report import ignorable_of, write_report
    from pyro_mnar.faces.report_sensitivity import parsed
    from pyro_mnar.results.page import check_page_path
    from pyro_mnar.tables import read_table

    torch.set_num_threads(1)
    check_page_path(options.output)
    table = read_table(options.table)
    with _naming(options.table):
        imputer, schema = _imputer(options, table)
        part = table[[column.name for column in schema.columns]]
        if options.regress is not None:
            parsed(options.regress, schema)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the report says it
            if options.model is None:
                imputer.fit(part)
            plain = ignorable_of(imputer, part)
        write_report(options.output, options.table, imputer, part, plain, options.regress, options.arguments)
    print(f"{options.output}: report on {options.table}")
    return 0


def _sensitivity(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.sensitivity_command import along, conclusion, moved_rows, moves, said
    from pyro_mnar.results.sensitivity_plots import plot_tipping
    from pyro_mnar.tables import check_ending, check_writable, read_table, split, write_table

    torch.set_num_threads(1)
    check_ending(options.output)
    for path in (options.output, options.figure):
        if path is not None:
            check_writable(path)
    if options.draws is not None and options.draws < 2:
        raise ValueError(f"--draws: got {options.draws}, expected at least 2")
    table = read_table(options.table)
    with _naming(options.table):
        imputer, schema = _imputer(options, table)
        part = table[[column.name for column in schema.columns]]
        given = moves(options, schema, split(part, schema, allow_empty=options.model is not None)[1])
        (estimate_of, about), rows = conclusion(options, schema), moved_rows(options, table)
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
    print(*said(path, given, about), sep="\n")
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.imputer import MNARImputer
    from pyro_mnar.results.plots import plot_mask_check
    from pyro_mnar.tables import check_writable, read_table

    torch.set_num_threads(1)
    if options.figure is not None:
        check_writable(options.figure)
    imputer = MNARImputer.load(options.model)
    imputer.n_jobs = _jobs(options.jobs)
    table = read_table(options.table)
    imputer.schema_.check(table)
    found = imputer.diagnose(table[[column.name for column in imputer.schema_.columns]])
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


def _imputer(options: argparse.Namespace, table: Any) -> tuple[MNARImputer, Schema]:
    from pyro_mnar.faces.imputer import MNARImputer
    from pyro_mnar.tables import Schema

    if options.model is not None:
        for name in ("mechanism", "direction", "order", "ignorable", "kind", "columns", "save", "steps"):
            if getattr(options, name, None) is not None:
                raise ValueError(f"--{name}: got one with --model, expected it only when fitting (the model has its own)")
        imputer = MNARImputer.load(options.model)
        imputer.schema_.check(table)
        if options.seed is not None:
            imputer.random_state = options.seed
        imputer.point = getattr(options, "point", None) or imputer.point
        imputer.n_jobs = _jobs(options.jobs)
        return imputer, imputer.schema_
    names = None if options.columns is None else _names(options.columns)
    kinds = _kinds(options.kind)
    schema = Schema.of(table, names, kinds)
    if options.steps is not None and options.steps < 1:
        raise ValueError(f"--steps: got {options.steps}, expected at least 1")
    settings = {"steps": options.steps, "mechanism": options.mechanism, "random_state": options.seed}
    settings["point"] = getattr(options, "point", None)
    given = {name: value for name, value in settings.items() if value is not None}
    if kinds:
        given["kinds"] = kinds
    if options.order is not None:
        given["order"] = _names(options.order)
    if options.ignorable is not None:
        given["ignorable"] = _names(options.ignorable)
    return MNARImputer(direction=_direction(options.direction), n_jobs=_jobs(options.jobs), **given), schema


def _names(words: str) -> list[str]:
    return [name.strip() for name in words.split(",")]


def _jobs(wanted: int | None) -> int:
    from joblib import cpu_count

    if wanted is not None and wanted < 1:
        raise ValueError(f"--jobs: got {wanted}, expected at least 1")
    return wanted or cpu_count()


def _kinds(words: list[str] | None) -> dict[str, str]:
    pairs = [word.partition("=") for word in words or []]
    for (name, equals, _), word in zip(pairs, words or [], strict=True):
        if not (name and equals):
            raise ValueError(f"--kind: got {word!r}, expected COLUMN=KIND")
    return {name: word for name, _, word in pairs}


def _direction(words: list[str] | None) -> str | dict[str, str] | None:
    if not words:
        return None
    pairs = [word.rpartition("=") for word in words]
    if all(equals for _, equals, _ in pairs):
        return {name: word for name, _, word in pairs}
    if len(words) > 1:
        raise ValueError(f"--direction: got {' and '.join(words)}, expected one word for all columns, or COLUMN=WORD for each")
    return words[0]


def _say(imputer: MNARImputer, result: Imputation, mask: np.ndarray, output: Path) -> None:
    from pyro_mnar.faces.points import POINTS
    from pyro_mnar.faces.reasons import doubts
    from pyro_mnar.faces.words import assumptions, estimates, kinds_of, shifts

    print(f"{output}: {int((~mask).sum())} of {mask.size} cells imputed")
    print(*kinds_of(imputer.schema_), sep="\n")
    print(*assumptions(imputer), sep="\n")
    print(f"Filled with {POINTS[imputer.point]}.")
    for lines in (shifts(imputer, result, mask), estimates(imputer, result, mask)):
        if lines:
            print(*lines, sep="\n")
    for doubt in doubts(imputer.reasons_):
        print(f"Doubtful: {doubt}")
    poor = int(result.unreliable.sum())
    if poor:
        print(f"Importance weights of {poor} of {len(mask)} rows are unreliable (Pareto k above threshold): trust them less.")
    if len(imputer.histories_) < imputer.members or imputer.histories_[-1].stopped == "interrupted":
        print(f"Training was interrupted: {len(imputer.histories_)} of {imputer.members} models, the last perhaps in part.")
