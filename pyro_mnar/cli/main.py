"""The command line: ``pyro-mnar impute``, ``report``, ``sensitivity`` and ``diagnose``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_mnar.cli.interruption import interruptible
from pyro_mnar.cli.options import parser

if TYPE_CHECKING:
    import numpy as np

    from pyro_mnar.imputation.impute import Imputation
    from pyro_mnar.imputer.imputer import MNARImputer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after one line on standard error; 128 and a signal's number after that.

    Example:
        >>> main(["impute", "no-such-file.csv", "--output", "completed.csv"])
        2
    """
    options = parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    with interruptible() as interruption:
        options.interruption = interruption
        try:
            return COMMANDS[options.command](options)
        except KeyboardInterrupt:
            print("pyro-mnar: interrupted, nothing written", file=sys.stderr)
            return options.interruption.code
        except (ValueError, FloatingPointError) as error:
            print(f"pyro-mnar: {' '.join(str(error).split())}", file=sys.stderr)
            return 2


def _impute(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.cli.reading import asked_for, opened, read_holes, refuse_inside, refuse_same, told
    from pyro_mnar.data.files import check_ending, check_writable
    from pyro_mnar.data.masking import split
    from pyro_mnar.imputation.netcdf import check_draws_path, write_draws
    from pyro_mnar.imputer.model_files import check_model_folder
    from pyro_mnar.imputer.validation import complete
    from pyro_mnar.report.html import check_page_path
    from pyro_mnar.report.report import MOST_CELLS, ignorable_of, write_report

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
    others = [("draws-output", options.draws_output), ("save", options.save), ("report", options.report)]
    if options.save is not None:
        check_model_folder(options.save)
        refuse_inside(options.save, [("output", options.output), *others])
    if options.report is not None:
        check_page_path(options.report)
    elif options.regress is not None:
        raise ValueError("--regress: got no --report, expected a file for the report")
    refuse_same(options.table, [("output", options.output), *others])
    source = opened(options)
    with _naming(options.table):
        imputer, part, notes = asked_for(options, source)
        if options.model is None and not part.isna().to_numpy().any() and options.save is None:
            source.write(options.output, part.iloc[:, :0], part.isna())
            _notes(notes)
            _print(options, [f"Nothing is missing in {options.table}; {options.output} is a copy.", *read_holes(source, part)])
            return 0
        doubts: list[str] = []
        if options.model is None:
            doubts = told(imputer.fit, part)[1]
        # Where none are asked for, five of each model for the estimates that are printed, unless they would fill the memory.
        few = 5 * len(imputer.members_)
        draws = (few if part.size * few <= MOST_CELLS else 0) if options.draws_output is None else options.draws or 20
        result, far = told(imputer.impute, part, draws)
        (filled,), more = told(complete, imputer, part, [result.completed])
        plain = ignorable_of(imputer, part) if options.report is not None else None
        known = imputer.layout_.part(part)
        _, mask = split(known, imputer.schema_, allow_empty=True)
    holes = part[filled.columns].isna()
    with _placed(options) as new:
        if options.draws_output is not None:
            levels = {str(column.name): list(column.levels) for column in imputer.schema_.columns if column.levels}
            names = [column.name for column in imputer.schema_.columns]
            write_draws(new(options.draws_output), result.draws.numpy(), mask, list(part.index), names, levels)
        if options.save is not None:
            imputer.save(new(options.save))
        if options.report is not None:
            write_report(str(new(options.report)), options.table, imputer, part, plain, options.regress, options.arguments)
        source.write(options.output if options.output == "-" else str(new(options.output)), filled, holes)
        if options.save is not None:
            check_model_folder(options.save)
    _notes(notes)
    lines = [f"{options.output}: {int(holes.to_numpy().sum())} of {part.size} cells imputed", *read_holes(source, part)]
    lines += [f"Note: {sentence}" for sentence in [*doubts, *far, *more]]
    _print(options, [*lines, *_said(imputer, result, mask)])
    return 0


@contextmanager
def _placed(options: argparse.Namespace) -> Iterator[Callable[[str], Path]]:
    """Give what returns another path for each output; what is written there takes the outputs' places at the end, all or none."""
    from pyro_mnar.data.replacement import replacement

    with ExitStack() as outputs:
        yield lambda path: outputs.enter_context(replacement(Path(path)))
        options.interruption.held = True


def _notes(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        print(f"pyro-mnar: {sentence}", file=sys.stderr)


def _print(options: argparse.Namespace, lines: Sequence[str]) -> None:
    """Print what is said, on standard error where the table goes to standard output."""
    print(*lines, sep="\n", file=sys.stderr if options.output == "-" else sys.stdout)


def _report(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.cli.reading import asked_for, opened, refuse_same
    from pyro_mnar.report.html import check_page_path
    from pyro_mnar.report.report import ignorable_of, write_report

    torch.set_num_threads(1)
    check_page_path(options.output)
    refuse_same(options.table, [("output", options.output)])
    source = opened(options)
    with _naming(options.table):
        imputer, part, notes = asked_for(options, source)
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

    from pyro_mnar.cli.reading import asked_for, opened, refuse_same
    from pyro_mnar.cli.sensitivity import along, conclusion, moved_rows, moves, said
    from pyro_mnar.data.files import check_ending, check_writable, write_table
    from pyro_mnar.data.masking import split
    from pyro_mnar.data.schema import Schema
    from pyro_mnar.plots.sensitivity import plot_tipping

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
        imputer, part, notes = asked_for(options, source)
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
        figure = plot_tipping(path, labels, about)
    frame = path.table()
    with _placed(options) as new:
        if options.figure is not None:
            figure.savefig(new(options.figure), dpi=150)
        write_table(frame.set_axis([*labels, *frame.columns[len(labels) :]], axis=1), new(options.output))
    _notes(notes)
    print(*said(path, given, about), sep="\n")
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.cli.reading import asked_for, opened
    from pyro_mnar.data.files import check_writable
    from pyro_mnar.plots.model import plot_mask_check

    torch.set_num_threads(1)
    if options.figure is not None:
        check_writable(options.figure)
    imputer, part, _ = asked_for(options, opened(options))
    found = imputer.diagnose(part)
    if options.figure is not None:
        if found.mask_check is None:
            raise ValueError("--figure: got one for a model without a mechanism, expected one with (there is no mask to check)")
        with _placed(options) as new:
            plot_mask_check(found.mask_check).savefig(new(options.figure), dpi=150)
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


def _said(imputer: MNARImputer, result: Imputation, mask: np.ndarray) -> list[str]:
    from pyro_mnar.imputer.points import POINTS
    from pyro_mnar.imputer.summary import assumptions, estimates, kinds_of, shifts

    lines = [*kinds_of(imputer.schema_), *assumptions(imputer), f"Filled with {POINTS[imputer.point]}."]
    lines += [*shifts(imputer, result, mask), *estimates(imputer, result, mask)]
    poor = int(result.unreliable.sum())
    if poor:
        lines.append(f"Importance weights of {poor} of {len(mask)} rows are unreliable (Pareto k above threshold): trust them less.")
    return lines
