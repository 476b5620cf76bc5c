"""What the command line takes."""

from __future__ import annotations

import argparse

from pyro_mnar.cli.design import add_design_options
from pyro_mnar.data.kinds.table import KINDS
from pyro_mnar.imputer.points import POINTS
from pyro_mnar.imputer.words import MECHANISMS

#: Ways to move imputed values, with what their grids hold.
MOVES = {
    "shift": "added to imputed values, in the column's units (days, of dates)",
    "scale": "factor of imputed values",
    "odds": "factor of a level's odds among imputed values",
    "strength": "factor of the fitted mechanism's log odds (0: missing at random)",
}

_EXAMPLES = """\
examples:
  pyro-mnar impute table.csv --output completed.csv
      nothing is declared: for each column the data say what they can of why values are missing
  pyro-mnar impute table.csv --output completed.csv --direction high
      large values of every column with holes are known to go missing
  pyro-mnar impute t.parquet --output c.parquet --direction income=high --direction weight=low --save model
      what is known of two columns; of the others the data decide; the fitted model is kept
  pyro-mnar impute t.csv --output c.csv --kind visits=count --kind score=bounded:0:100 --kind grade=ordinal:low:mid:high
      what columns are, where numbers and text do not say it
  pyro-mnar impute t.csv --output c.csv --kind lead=positive --limit 'lead<lead_lod' --limit 'income>150000'
      holes of lead lie below the limit that column lead_lod has for each row, those of income above a top code
  pyro-mnar impute t.csv --output c.csv --rule 'systolic >= diastolic' --not-applicable "births: sex == 'male'"
      no imputed value breaks the rule, and births of men stay empty
  pyro-mnar impute t.csv --output c.csv --margin income:mean=26499:300 --margin smoker:share:yes=.24
      a census has the mean of incomes, with its standard error, and the share of smokers
  pyro-mnar impute new.csv --model model --output c.csv --draws 20 --draws-output draws.nc
      new rows with that model, and 20 draws of each missing value
  pyro-mnar impute parts/ --label id --output completed/
      a table larger than memory; the same command again goes on where it stopped
  pyro-mnar report table.csv --output report.html --direction income=high --regress income=education,age
      what was assumed and how far the coefficient of education moves, as one HTML file
  pyro-mnar sensitivity trial.csv --mechanism none --regress score=drug,base --shift score=0:12:13 --rows drug=1 --output path.csv
      how much worse imputed scores of the treated must be before the effect of the drug is gone
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    Example:
        >>> parser().parse_args(["impute", "t.csv", "--output", "c.csv"]).table
        't.csv'
    """
    whole = argparse.ArgumentParser("pyro-mnar", description="Impute tables whose values are missing because of what they are.")
    commands = whole.add_subparsers(dest="command", required=True)
    impute = commands.add_parser(
        "impute",
        help="fill the holes of a table",
        description="Fill the holes of a table, under a stated reason why values are missing. Tables are CSV or Parquet, by file "
        "ending. Observed values come back unchanged; holes get what --point says.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    impute.add_argument(
        "table",
        help="the table to impute (.csv, .parquet; - for a CSV from standard input; a folder of .parquet); empty cells are holes",
    )
    impute.add_argument(
        "--output", required=True, metavar="FILE", help="where the completed table goes (.csv, .parquet; - for standard output)"
    )
    _model_options(impute)
    impute.add_argument(
        "--point",
        choices=list(POINTS),
        help="what holes are filled with: " + "; ".join(f"{word}: {meaning}" for word, meaning in POINTS.items()) + " (default: mean)",
    )
    impute.add_argument(
        "--label",
        metavar="COLUMN",
        help="fit to Parquet files that need not fit into memory, or take --model, and impute them row group by row group into the "
        "folder --output; the column names the rows, each another, and is what their randomness hangs on; needed for a folder of files",
    )
    impute.add_argument(
        "--escape-formulas",
        action="store_true",
        help="put ' before texts of a CSV that a spreadsheet would take for formulas, those that begin with = + - @ (default: every "
        "text comes back as it stands)",
    )
    impute.add_argument("--save", metavar="FOLDER", help="keep the fitted model here")
    impute.add_argument("--draws", type=int, metavar="M", help="draws of each missing value (with --draws-output)")
    impute.add_argument(
        "--draws-output",
        metavar="FILE",
        help="where the draws go: netCDF (.nc), or one long table (.csv, .parquet) with .imp and .id, which R and Stata read; 20 of "
        "them without --draws",
    )
    impute.add_argument("--report", metavar="FILE", help="write a report as well (.html; see pyro-mnar report)")
    impute.add_argument(
        "--keep-partial",
        action="store_true",
        help="when training is interrupted (Ctrl-C, SIGTERM), impute with what was fitted so far, and say so (default: nothing is "
        "written)",
    )
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
    sensitivity = commands.add_parser(
        "sensitivity",
        help="move one assumption or two and say where a conclusion tips",
        description="Move imputed values, or the mechanism, over a grid and say where a conclusion tips, all from one fit: as a "
        "table, a figure and a sentence.",
    )
    sensitivity.add_argument("table", help="the table (.csv, .parquet); empty cells are holes")
    sensitivity.add_argument(
        "--output", required=True, metavar="FILE", help="where the path goes, a row for each point (.csv, .parquet)"
    )
    _model_options(sensitivity)
    for how, meaning in MOVES.items():
        form = {"strength": "LOW:HIGH:COUNT", "odds": "COLUMN:LEVEL=LOW:HIGH:COUNT"}.get(how, "COLUMN=LOW:HIGH:COUNT")
        sensitivity.add_argument(f"--{how}", action="append", metavar=form, help=f"{meaning}; one or two of these")
    sensitivity.add_argument("--rows", metavar="COLUMN=VALUE", help="move imputed values of these rows alone (shift, scale, odds)")
    sensitivity.add_argument("--mean", metavar="COLUMN[=LEVEL]", help="the conclusion: a column's mean, or a level's share")
    sensitivity.add_argument("--null", type=float, default=0.0, metavar="VALUE", help="what it is compared with (default: 0)")
    sensitivity.add_argument("--draws", type=int, metavar="M", help="completed tables to analyze (default: 160)")
    sensitivity.add_argument("--figure", metavar="FILE", help="where a figure goes (.png, .pdf, .svg)")
    for command in (impute, report, sensitivity):
        command.add_argument(
            "--regress",
            metavar="Y=X,A,B",
            help="the conclusion that is moved until it tips: the coefficient of X in the regression of Y on X, A and B; each is a "
            "column, log(COLUMN), C(COLUMN) for a factor, or COLUMN:LEVEL for one level; logit(Y)=... or logit(Y:LEVEL)=... for a "
            "logit model",
        )
        add_design_options(command)
    diagnose = commands.add_parser(
        "diagnose",
        help="say what is wrong with a saved model on a table",
        description="Say in words what is wrong with a saved model and its imputation of a table, and what to do: rows whose "
        "importance weights fail, masks that the mechanism does not explain, imputed values implausibly far out.",
    )
    diagnose.add_argument("table", help="the table (.csv, .parquet); empty cells are holes")
    diagnose.add_argument("--model", required=True, metavar="FOLDER", help="the model, as impute --save left it")
    diagnose.add_argument("--figure", metavar="FILE", help="where a figure of the mask check goes (.png, .pdf, .svg)")
    for command in (impute, report, sensitivity, diagnose):
        command.add_argument(
            "--missing",
            action="append",
            metavar="WORD | COLUMN=WORD",
            help="a further word that stands for a missing value, such as -99 or '?', in every column or in one; repeated for others",
        )
        command.add_argument("--separator", metavar="CHARACTER", help="between a CSV's cells: ';', tab, ... (default: a comma)")
        command.add_argument("--decimal", metavar="CHARACTER", help="the decimal mark of a CSV's numbers (default: a point)")
        command.add_argument("--encoding", metavar="NAME", help="of a CSV, such as cp1252 (default: UTF-8)")
        command.add_argument("--jobs", type=int, metavar="N", help="processes, which change nothing but the time (default: all cores)")
    return whole


def _model_options(impute: argparse.ArgumentParser) -> None:
    impute.add_argument(
        "--mechanism",
        metavar="WORD",
        help="why values are missing: " + "; ".join(f"{word}: {meaning}" for word, meaning in MECHANISMS.items()) + " (default: auto)",
    )
    impute.add_argument(
        "--direction",
        action="append",
        metavar="WORD | COLUMN=WORD",
        help="what is known of a column's own values: high (large ones go missing), low, free (one of these), middle, tails, or none "
        "(its value has no part in it), for all columns, or repeated for one column each; of columns not named nothing is known, and "
        "the data choose",
    )
    impute.add_argument(
        "--order",
        metavar="A,B,C",
        help="columns in the order in which their holes came about, such as visits: whether a value goes missing then depends on the "
        "columns before, as far as these are seen (default: the data choose whether, and in which order)",
    )
    impute.add_argument(
        "--ignorable", metavar="A,B", help="columns whose holes are known to say nothing of their values (missing at random)"
    )
    impute.add_argument(
        "--shadow",
        metavar="A,B",
        help="columns known to be related to those with holes, and to have no part in their going missing but through their values",
    )
    words = "complete columns known to move whether values are missing, and to have no part in the values"
    impute.add_argument("--instrument", metavar="A,B", help=words)
    impute.add_argument(
        "--kind",
        action="append",
        metavar="COLUMN=KIND",
        help="what a column is, where its dtype does not say it: " + ", ".join(kind.form for kind in KINDS.values()) + " (what is in "
        "brackets may be left out, of ordinal text not; levels from lowest to highest); repeated for one column each",
    )
    impute.add_argument(
        "--limit",
        action="append",
        metavar="COLUMN<END",
        help="what is known of a column's holes: COLUMN<END, or with <=, > or >=, or COLUMN:LOW..HIGH, where an end is a value, a "
        "column that has one for each row, or largest or smallest (seen); COLUMN alone says that its cells hold limits such as <0.5 or "
        "[2,5); repeated for one column each",
    )
    impute.add_argument(
        "--rule",
        action="append",
        metavar="RULE",
        help="what every row obeys, and so every imputed value: 'systolic >= diastolic', 'a + b == total', 'start <= end', "
        "\"if smoker == 'no': cigarettes == 0\"; names with other marks in backquotes; repeated for others",
    )
    impute.add_argument(
        "--not-applicable",
        action="append",
        metavar="COLUMN: CONDITION | COLUMN=CODE",
        help="cells that do not exist and come back as they stand, neither observed nor missing: \"births: sex == 'male'\", or a code "
        "such as births=-8; repeated for others",
    )
    impute.add_argument(
        "--margin",
        action="append",
        metavar="COLUMN:WHAT=NUMBER",
        help="what is known of a whole column, missing values included: COLUMN:mean=NUMBER, COLUMN:share:LEVEL=NUMBER or "
        "COLUMN:quantile:SHARE=NUMBER, where NUMBER:ERROR has a standard error; missing values are moved until it holds; repeated for "
        "others",
    )
    impute.add_argument(
        "--columns", metavar="A,B", help="columns to use (default: all that can be); the others are passed through untouched"
    )
    impute.add_argument("--model", metavar="FOLDER", help="impute with this saved model instead of fitting one")
    impute.add_argument(
        "--device",
        metavar="WORD",
        help="where to compute: cpu, cuda, or auto, a GPU where there is one and the table is large (default: cpu)",
    )
    impute.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="keep the fit here while it goes on: killed at any moment, the same command goes on to the same result (yours to delete)",
    )
    impute.add_argument(
        "--steps", type=int, metavar="N", help="training updates of each model (default: while its bound rises, 1000 at most)"
    )
    impute.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same result (default: 0)")
