"""The command line: ``pyro-mnar impute``, ``report``, ``sensitivity`` and ``diagnose``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from pyro_mnar.cli.interruption import interruptible, placed
from pyro_mnar.cli.options import parser
from pyro_mnar.cli.results import check_draws_output, copy, said_of, write_draws_of
from pyro_mnar.cli.saying import note, open_streams, say
from pyro_mnar.data.extras import MissingExtraError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after one line on standard error; 128 and a signal's number after that.

    Where nobody reads what it prints any more (``| head``), that is as if SIGPIPE had come, and it says no more.

    Example:
        >>> main(["impute", "no-such-file.csv", "--output", "completed.csv"])
        2
    """
    options = parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    from pyro_mnar.infer.progress import whole

    closed = sys.stdout is None
    with open_streams(), interruptible() as interruption:
        options.interruption = interruption
        try:
            if closed and getattr(options, "output", None) == "-":
                raise ValueError("output: got -, expected a file, since standard output is closed")
            with whole(options.command, True) as options.task:
                code = COMMANDS[options.command](options)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            # What is left to be printed goes nowhere, also at the end of Python.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13
        except KeyboardInterrupt:
            print("pyro-mnar: interrupted, nothing written", file=sys.stderr)
            return interruption.code
        except (ValueError, FloatingPointError, MissingExtraError, OSError) as error:
            print(f"pyro-mnar: {' '.join(str(error).split())}", file=sys.stderr)
            return 2


def _impute(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.cli.asked import asked_for
    from pyro_mnar.cli.reading import opened, read_holes, told
    from pyro_mnar.cli.rules import existing
    from pyro_mnar.cli.shards import impute_folder, is_sharded
    from pyro_mnar.data.files.long_tables import check_long
    from pyro_mnar.imputer.identification.instrument import instruments_in_words
    from pyro_mnar.imputer.identification.shadow import shadows_in_words
    from pyro_mnar.imputer.imputing import imputed
    from pyro_mnar.imputer.limited_reasons import limits_in_words
    from pyro_mnar.imputer.margins.margin_words import margins_in_words
    from pyro_mnar.imputer.rules.known_words import known_in_words
    from pyro_mnar.imputer.saving.model_files import check_model_folder
    from pyro_mnar.report.report import MOST_CELLS, draws_of, write_report

    # The networks are small: a second thread gains little, and stalls when the machine's cores are shared.
    torch.set_num_threads(1)
    if is_sharded(options):
        return impute_folder(options)
    _check_outputs(options)
    source = opened(options)
    if options.draws_output is not None and not options.draws_output.lower().endswith(".nc"):
        check_long(source.names)
    with _naming(options.table):
        asked = asked_for(options, source)
        imputer, part = asked.imputer, asked.part
        nothing = not asked.fitted and not (asked.holes.to_numpy().any() and asked.columns)
        if nothing and (options.save, options.draws_output, options.report) == (None, None, None):
            return copy(options, asked, source)
        options.task.expect(asked.work(options.report is not None))
        table, doubts = told(lambda: asked.fit(asked.learned(), options.checkpoint))
        # Where none are asked for, five of each model for the estimates that are printed, unless they would fill the memory.
        few = 5 * len(imputer.members_)
        draws = (few if part.size * few <= MOST_CELLS else 0) if options.draws_output is None else options.draws or 20
        found, far = told(imputed, imputer, table, draws_of(part.size) if options.report is not None else draws)
        (filled,), more = told(table.complete, [found.result.completed.numpy()])
    holes = existing(asked.holes[list(filled)], table)
    replicates = asked.replicates(table)
    said = said_of(asked, table, found.result, replicates)  # what cannot be said is an error before anything is written
    with placed(options.interruption) as new:
        if options.draws_output is not None:
            own, _ = (found, far) if options.report is None else told(imputed, imputer, table, draws)
            told(write_draws_of, new(options.draws_output), source, asked, table, own.result)
        if options.save is not None:
            imputer.save(new(options.save))
        if options.report is not None:
            about = (options.regress, options.arguments, options.checkpoint, asked.sample.design, replicates)
            told(write_report, str(new(options.report)), options.table, imputer, table, found, *about)
        source.write(options.output if options.output == "-" else str(new(options.output)), filled, holes, options.escape_formulas)
        if options.save is not None:
            check_model_folder(options.save)
    note(options, asked.notes)
    lines = [f"{options.output}: {int(holes.to_numpy().sum())} of {part.size} cells imputed", *read_holes(source, part)]
    lines += [f"Note: {sentence}" for sentence in [*doubts, *far, *more]]
    known = [*limits_in_words(table), *known_in_words(table), *shadows_in_words(imputer), *margins_in_words(imputer)]
    known += instruments_in_words(imputer) if imputer.instrument else []
    say(options, [*lines, *known, *said])
    return 0


def _check_outputs(options: argparse.Namespace) -> None:
    """Raise a ValueError, before any work, for whatever would fail at the end."""
    from pyro_mnar.cli.names import refuse_inside, refuse_same
    from pyro_mnar.data.files.writing import check_ending, check_writable
    from pyro_mnar.imputer.saving.model_files import check_model_folder
    from pyro_mnar.report.html import check_page_path

    if options.output != "-":
        check_ending(options.output)
        check_writable(options.output)
        if options.escape_formulas and not options.output.lower().endswith(".csv"):
            raise ValueError(f"--escape-formulas: got output {options.output}, expected a CSV (of Parquet no cell is a formula)")
    if options.draws_output is not None:
        check_draws_output(options.draws_output)
    elif options.draws is not None:
        raise ValueError("--draws: got no --draws-output, expected a file for the draws")
    if options.draws is not None and options.draws < 1:
        raise ValueError(f"--draws: got {options.draws}, expected at least 1")
    others = [(name, getattr(options, name.replace("-", "_"))) for name in ("draws-output", "save", "report", "checkpoint")]
    if options.save is not None:
        check_model_folder(options.save)
        refuse_inside(options.save, [("output", options.output), *others])
    if options.report is not None:
        check_page_path(options.report)
    elif options.regress is not None:
        raise ValueError("--regress: got no --report, expected a file for the report")
    refuse_same(options.table, [("output", options.output), *others])


def _report(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.cli.asked import asked_for
    from pyro_mnar.cli.names import refuse_same
    from pyro_mnar.cli.reading import opened, read_holes, told
    from pyro_mnar.imputer.imputing import imputed
    from pyro_mnar.report.html import check_page_path
    from pyro_mnar.report.report import draws_of, write_report

    torch.set_num_threads(1)
    check_page_path(options.output)
    refuse_same(options.table, [("output", options.output), ("checkpoint", options.checkpoint)])
    source = opened(options)
    with _naming(options.table):
        asked = asked_for(options, source)
        options.task.expect(asked.work(True))
        table, _ = told(lambda: asked.fit(asked.learned(), options.checkpoint))  # the report says what is to be doubted
        found, far = told(imputed, asked.imputer, table, draws_of(asked.part.size))
        about = (options.regress, options.arguments, options.checkpoint, asked.sample.design, asked.replicates(table))
        told(write_report, options.output, options.table, asked.imputer, table, found, *about)
    note(options, [*asked.notes, *read_holes(source, asked.part), *far])
    say(options, [f"{options.output}: report on {options.table}"])
    return 0


def _sensitivity(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.cli.asked import asked_for
    from pyro_mnar.cli.names import refuse_same
    from pyro_mnar.cli.reading import opened, read_holes, told
    from pyro_mnar.cli.sensitivity import along, conclusion, moved_rows, moves, said
    from pyro_mnar.data.files.writing import check_ending, check_writable, write_table
    from pyro_mnar.plots.panels import check_figure_path
    from pyro_mnar.plots.tipping import plot_tipping

    torch.set_num_threads(1)
    check_ending(options.output)
    others = [("output", options.output), ("figure", options.figure), ("checkpoint", options.checkpoint)]
    refuse_same(options.table, others)
    check_writable(options.output)
    if options.figure is not None:
        check_figure_path(options.figure)
    if options.draws is not None and options.draws < 2:
        raise ValueError(f"--draws: got {options.draws}, expected at least 2")
    source = opened(options)
    with _naming(options.table):
        asked = asked_for(options, source)
        read = read_holes(source, asked.part)  # before the whole table is read for its rows
        table, doubts = told(asked.learned)
        schema = table.codec.schema
        given = moves(options, schema, table.mask)
        (estimate_of, about), rows = conclusion(options, schema), moved_rows(options, source.frame(lenient=True))
        table, more = told(asked.fit, table, options.checkpoint)
        asking = (estimate_of, options.draws or 160, options.null, asked.sample.design, asked.replicates(table))
        (path, holds), far = told(along, asked.imputer, table, given, rows, *asking)
    labels = [move.label for move in given]
    figure = None if options.figure is None else plot_tipping(path, labels, about)
    frame = path.table()
    with placed(options.interruption) as new:
        if figure is not None:
            figure.savefig(new(options.figure), dpi=150)
        write_table(frame.set_axis([*labels, *frame.columns[len(labels) :]], axis=1), new(options.output))
    note(options, [*asked.notes, *read, *doubts, *more, *far])
    say(options, said(path, holds, given, about))
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.cli.asked import asked_for
    from pyro_mnar.cli.reading import opened, read_holes, told
    from pyro_mnar.plots.model import plot_mask_check
    from pyro_mnar.plots.panels import check_figure_path

    torch.set_num_threads(1)
    if options.figure is not None:
        check_figure_path(options.figure)
    source = opened(options)
    asked = asked_for(options, source)
    found, far = told(asked.imputer.diagnose, asked.part)
    if options.figure is not None:
        if found.mask_check is None:
            raise ValueError("--figure: got one for a model without a mechanism, expected one with (there is no mask to check)")
        with placed(options.interruption) as new:
            plot_mask_check(found.mask_check).savefig(new(options.figure), dpi=150)
    note(options, [*asked.notes, *read_holes(source, asked.part), *far])
    say(options, [str(found)])
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
