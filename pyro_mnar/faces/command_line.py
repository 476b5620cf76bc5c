"""The command line: ``pyro-mnar impute``, ``pyro-mnar report`` and ``pyro-mnar diagnose``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_mnar.faces.declaration import MECHANISMS

if TYPE_CHECKING:
    import numpy as np

    from pyro_mnar.faces.imputer import MNARImputer

_EXAMPLES = """\
examples:
  pyro-mnar impute table.csv --output completed.csv --direction high
      large values of every column with holes are thought to go missing
  pyro-mnar impute t.parquet --output c.parquet --direction income=high --direction weight=low --save model
      one word for each column; columns left out are free; the fitted model is kept
  pyro-mnar impute new.csv --model model --output c.csv --draws 20 --draws-output draws.nc
      new rows with that model, and 20 draws of each missing value
  pyro-mnar report table.csv --output report.html --direction income=high --regress income=education,age
      what was assumed and how far the coefficient of education moves, as one HTML file
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("pyro-mnar", description="Impute tables whose values are missing because of what they are.")
    commands = parser.add_subparsers(dest="command", required=True)
    impute = commands.add_parser(
        "impute",
        help="fill the holes of a table",
        description="Fill the holes of a table of numbers, under a stated reason why values are missing. Tables are CSV or Parquet, "
        "by file ending. Observed values come back unchanged; holes get posterior means.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    impute.add_argument("table", help="the table to impute (.csv, .parquet); empty cells are holes")
    impute.add_argument("--output", required=True, metavar="FILE", help="where the completed table goes (.csv, .parquet)")
    _model_options(impute)
    impute.add_argument("--save", metavar="FOLDER", help="keep the fitted model here")
    impute.add_argument("--draws", type=int, metavar="M", help="draws of each missing value (with --draws-output)")
    impute.add_argument("--draws-output", metavar="FILE", help="where the draws go, as netCDF (.nc); 20 of them without --draws")
    impute.add_argument("--report", metavar="FILE", help="write a report as well (.html; see pyro-mnar report)")
    report = commands.add_parser(
        "report",
        help="write what was assumed, what follows and how far it moves, as one HTML file",
        description="Impute a table and write a report to attach, one HTML file: the assumption, training, what was learned of "
        "missingness, observed and imputed values beside those under ignorable missingness, rows to distrust, sensitivity, and what "
        "reproduces it.",
    )
    report.add_argument("table", help="the table (.csv, .parquet); empty cells are holes")
    report.add_argument("--output", required=True, metavar="FILE", help="where the report goes (.html)")
    _model_options(report)
    for command in (impute, report):
        command.add_argument(
            "--regress",
            metavar="Y=X,A,B",
            help="the conclusion that the report moves until it tips: the coefficient of X in the regression of Y on X, A and B",
        )
    diagnose = commands.add_parser(
        "diagnose",
        help="say what is wrong with a saved model on a table",
        description="Say in words what is wrong with a saved model and its imputation of a table, and what to do: rows whose "
        "importance weights fail, masks that the mechanism does not explain, imputed values implausibly far out.",
    )
    diagnose.add_argument("table", help="the table (.csv, .parquet); empty cells are holes")
    diagnose.add_argument("--model", required=True, metavar="FOLDER", help="the model, as impute --save left it")
    diagnose.add_argument("--figure", metavar="FILE", help="where a figure of the mask check goes (.png, .pdf, .svg)")
    return parser


def _model_options(impute: argparse.ArgumentParser) -> None:
    impute.add_argument(
        "--mechanism",
        metavar="WORD",
        help="why values are missing: "
        + "; ".join(f"{word}: {meaning}" for word, meaning in MECHANISMS.items())
        + " (default: self-masking)",
    )
    impute.add_argument(
        "--direction",
        action="append",
        metavar="WORD | COLUMN=WORD",
        help="for self-masking: high (large values go missing), low, or free (learned; the default), for all columns, or repeated "
        "for one column each",
    )
    impute.add_argument(
        "--covariates",
        metavar="A,B | complete | none | auto",
        help="for self-masking: columns without holes that masks depend on as well; complete, all of them; none; or auto, all or none "
        "as the data have it (the default)",
    )
    impute.add_argument("--columns", metavar="A,B", help="columns to use (default: all); the others are passed through untouched")
    impute.add_argument("--model", metavar="FOLDER", help="impute with this saved model instead of fitting one")
    impute.add_argument("--steps", type=int, metavar="N", help="training updates of each model (default: 1000)")
    impute.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same result (default: 0)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after one line on standard error.

    Example:
        >>> main(["impute", "no-such-file.csv", "--output", "completed.csv"])
        2
    """
    options = _parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return {"impute": _impute, "report": _report, "diagnose": _diagnose}[options.command](options)
    except (ValueError, FloatingPointError) as error:
        print(f"pyro-mnar: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pyro-mnar: interrupted, nothing written", file=sys.stderr)
        return 130


def _impute(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.report import ignorable_of, write_report
    from pyro_mnar.results.draws import check_draws_path, write_draws
    from pyro_mnar.results.model_files import check_model_folder
    from pyro_mnar.results.page import check_page_path
    from pyro_mnar.tables import Schema, check_ending, check_writable, read_table, split, write_table

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
    try:
        imputer, columns = _imputer(options, table)
        part = table[columns]
        schema = Schema.of(part)
        _, mask = split(part, schema, allow_empty=options.model is not None)
        if options.model is None and mask.all() and options.save is None:
            write_table(table, options.output)
            print(f"Nothing is missing in {options.table}; {options.output} is a copy.")
            return 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # said in words below
            if options.model is None:
                imputer.fit(part)
        draws = 0 if options.draws_output is None else options.draws or 20
        result = imputer.impute(part, draws=draws)
        plain = ignorable_of(imputer, part) if options.model is None or options.report is not None else None
    except ValueError as error:
        # The library's messages name the column; the command line adds the file.
        message = str(error)
        raise ValueError(message if options.table in message else f"{options.table}: {message}") from None
    from pyro_mnar.tables import join

    completed = table.copy()
    filled = join(part, result.completed.numpy(), mask, schema)
    for name in part.columns:
        completed[name] = filled[name]
    if options.draws_output is not None:
        write_draws(options.draws_output, result.draws.numpy(), mask, list(part.index), list(part.columns))
    if options.save is not None:
        imputer.save(options.save)
    if options.report is not None:
        write_report(options.report, options.table, imputer, part, plain, options.regress, options.arguments)
    write_table(completed, options.output)
    _say(imputer, result, mask, None if plain is None else plain.impute(part).completed.numpy(), Path(options.output))
    return 0


def _report(options: argparse.Namespace) -> int:
    import torch

    from pyro_mnar.faces.report import ignorable_of, write_report
    from pyro_mnar.results.page import check_page_path
    from pyro_mnar.tables import read_table

    torch.set_num_threads(1)
    check_page_path(options.output)
    table = read_table(options.table)
    options.save = None
    try:
        imputer, columns = _imputer(options, table)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the report says it
            if options.model is None:
                imputer.fit(table[columns])
            plain = ignorable_of(imputer, table[columns])
        write_report(options.output, options.table, imputer, table[columns], plain, options.regress, options.arguments)
    except ValueError as error:
        message = str(error)
        raise ValueError(message if options.table in message else f"{options.table}: {message}") from None
    print(f"{options.output}: report on {options.table}")
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
    table = read_table(options.table)
    imputer.schema_.check(table)
    found = imputer.diagnose(table[[column.name for column in imputer.schema_.columns]])
    if options.figure is not None:
        if found.mask_check is None:
            raise ValueError("--figure: got one for a model without a mechanism, expected one with (there is no mask to check)")
        plot_mask_check(found.mask_check).savefig(options.figure, dpi=150)
    print(found)
    return 0


def _imputer(options: argparse.Namespace, table: Any) -> tuple[MNARImputer, list]:
    from pyro_mnar.faces.imputer import MNARImputer
    from pyro_mnar.tables import Schema

    if options.model is not None:
        for name in ("mechanism", "direction", "covariates", "columns", "save", "steps"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name}: got one with --model, expected it only when fitting (the model has its own)")
        imputer = MNARImputer.load(options.model)
        imputer.schema_.check(table)
        if options.seed is not None:
            imputer.random_state = options.seed
        return imputer, [column.name for column in imputer.schema_.columns]
    names = None if options.columns is None else [name.strip() for name in options.columns.split(",")]
    columns = [column.name for column in Schema.of(table, names).columns]
    if options.steps is not None and options.steps < 1:
        raise ValueError(f"--steps: got {options.steps}, expected at least 1")
    settings = {"steps": options.steps, "mechanism": options.mechanism, "random_state": options.seed}
    given = {name: value for name, value in settings.items() if value is not None}
    if options.covariates is not None:
        words: dict[str, Any] = {"auto": "auto", "complete": "complete", "none": []}
        named = [name.strip() for name in options.covariates.split(",")]
        given["covariates"] = words.get(options.covariates, named)
    return MNARImputer(direction=_direction(options.direction), **given), columns


def _direction(words: list[str] | None) -> str | dict[str, str]:
    if not words:
        return "free"
    pairs = [word.rpartition("=") for word in words]
    if all(equals for _, equals, _ in pairs):
        return {name: word for name, _, word in pairs}
    if len(words) > 1:
        raise ValueError(f"--direction: got {' and '.join(words)}, expected one word for all columns, or COLUMN=WORD for each")
    return words[0]


def _say(imputer: MNARImputer, result: object, mask: np.ndarray, plain: np.ndarray | None, output: Path) -> None:
    from pyro_mnar.faces.words import assumptions, shifts
    from pyro_mnar.results.imputation import Imputation

    assert isinstance(result, Imputation)
    print(f"{output}: {int((~mask).sum())} of {mask.size} cells imputed")
    print(*assumptions(imputer), sep="\n")
    if plain is not None:
        print(*shifts(imputer, result.completed.numpy(), plain, mask), sep="\n")
    poor = int(result.unreliable.sum())
    if poor:
        print(f"Importance weights of {poor} of {len(mask)} rows are unreliable (Pareto k above threshold): trust them less.")
    if imputer.histories_[-1].stopped == "interrupted":
        print(f"Training was interrupted: {len(imputer.histories_)} of {imputer.members} models, the last as far as it came.")
