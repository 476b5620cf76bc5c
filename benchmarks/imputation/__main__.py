"""Run the imputation benchmark, or report what has been run.

    python -m benchmarks.imputation [--tables banknote red] [--masks hard mar] [--methods ours mice] [--seeds 1] [--jobs 2]
    python -m benchmarks.imputation --tables banknote --quick
    python -m benchmarks.imputation report
    python -m benchmarks.imputation regret
    python -m benchmarks.imputation publish
    python -m benchmarks.imputation times

Each cell of tables x masks x methods x seeds is one file OUTPUT/TABLE/MASK/METHOD/SEED.json, skipped when present, so that a run that
was cut off goes on. ``report`` writes OUTPUT/report.md and OUTPUT/report.png from the files that are there, a run does so at its end.
``regret`` writes OUTPUT/regret.md and OUTPUT/regret.json: what it costs to state nothing (see :mod:`benchmarks.imputation.regret`);
with ``--our-steps`` those of a quick look.
``publish`` puts the scores of what was run into benchmarks/published/imputation.json, beside those of other cells; `make tables` makes
the pages' tables of them, regrets too. ``times`` puts seconds there, into times.json: of cells run with ``--jobs 1`` on one machine.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from benchmarks.imputation import peers
from benchmarks.imputation.committed import TIMES, publish
from benchmarks.imputation.grid import cells, failed, run
from benchmarks.imputation.masks import MASKS
from benchmarks.imputation.methods import METHODS
from benchmarks.imputation.regret import PAPER, regret
from benchmarks.imputation.report import report
from pyro_mnar.data import load
from pyro_mnar.data.datasets import BUNDLED, UCI

PUBLISHED = Path(__file__).parents[1] / "published" / "imputation.json"
#: The not-MIWAE paper's, then CACTI's; the first are the grid unless others are asked for.
TABLES = (*PAPER, "letter", "magic", "obesity", "spambase")


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.imputation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", nargs="?", choices=("run", "report", "regret", "publish", "times"), default="run")
    parser.add_argument("--tables", nargs="+", choices=TABLES, help=f"by default those of {', '.join(PAPER)} that the data home holds")
    parser.add_argument("--masks", nargs="+", choices=MASKS, default=list(MASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=_positive, help="at most so many of each method's seeds")
    parser.add_argument("--jobs", type=_positive, default=2, help="processes, of one thread each (default 2)")
    parser.add_argument("--rows", type=_positive, help="of longer tables, draw so many rows (letter and magic have twenty thousand)")
    parser.add_argument("--our-steps", type=_positive, help="a quick look: ours with so many steps and two members")
    parser.add_argument("--published-steps", type=_positive, help="shorten the published recipes to so many steps")
    parser.add_argument("--quick", action="store_true", help="one seed, published recipes for 2000 steps, no packages to install")
    parser.add_argument("--retry", action="store_true", help="run failed cells again")
    parser.add_argument("--data-home", default="../shared/data", help="folder that holds uci/*.csv")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/imputation"))
    options = parser.parse_args(arguments)
    if find_spec("tabulate") is None:
        # Said now, not hours later.
        parser.error("tabulate: got no such package, expected it for the report (pip install 'pyro-mnar[bench]')")
    try:
        if options.action == "run":
            print(_run(options))
        if options.action == "publish":
            written = [publish(options.output, PUBLISHED)]
        elif options.action == "times":
            written = [publish(options.output, PUBLISHED.with_name("times.json"), TIMES)]
        elif options.action == "regret":
            written = regret(options.output, options.our_steps)
        else:
            written = report(options.output)
        print(*written, sep="\n")
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "interrupted; the same command goes on\n")


def _run(options: argparse.Namespace) -> str:
    methods, seeds, steps = options.methods, options.seeds, options.published_steps
    if options.quick:
        seeds, steps = 1, steps or 2000
        methods = [name for name in methods if METHODS[name].function.__module__ != peers.__name__]
    present = [name for name in PAPER if name in BUNDLED or Path(options.data_home, "uci", UCI[name][0]).is_file()]
    # Before anything runs: an absent table is fetched where there is a network, and refused otherwise.
    lengths = {name: len(load(name, options.data_home)) for name in options.tables or present}
    tables = {name: options.rows if options.rows and options.rows < length else None for name, length in lengths.items()}
    grid = cells(tables, options.masks, methods, seeds, steps, options.our_steps)
    ran = run(grid, options.output, options.data_home, options.jobs, options.retry)
    failures = sum(failed(cell, options.output) for cell in grid)
    return f"{ran} cells run, {len(grid) - ran} were there; {failures} hold a failure"


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected at least 1")
    return number


if __name__ == "__main__":
    main()
