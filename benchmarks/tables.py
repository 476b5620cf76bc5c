"""Fill the tables of the pages from the results in benchmarks/published.

    python -m benchmarks.tables            # rewrites README.md and docs/**/*.md
    python -m benchmarks.tables --check    # names what differs, and exits with 1

A table stands in a page between two comments, ``<!-- begin table NAME -->`` and ``<!-- end table -->``, where NAME is

- ``gaussian``, or any other example: ``benchmarks/published/examples/NAME.json``, as ``make examples`` leaves it;
- ``accuracy MASK SCORE``: methods by tables, from ``benchmarks/published/imputation.json``, which
  ``python -m benchmarks.imputation publish`` writes;
- ``accuracy MASK SCORE of METHOD,METHOD,...``: these methods alone;
- ``scores METHOD MASK,MASK,...``: masks by tables, RMSE / CRPS / coverage of one method, from the same file;
- ``columns MASK``: methods by tables, squared correlation / RMSE / Wasserstein distance, means over columns, / CRPS;
- ``times MASK``: methods by tables, seconds / CRPS, from ``benchmarks/published/times.json``, which
  ``python -m benchmarks.imputation times`` writes;
- ``regret``: what it costs to state nothing, from the same file;
- ``regret MASK,MASK,...``: CRPS of the cells with these masks, means over seeds.

A table whose file has not been committed is left as it stands, and named.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.imputation.committed import BY_COLUMN, committed
from benchmarks.imputation.masks import MASKS
from benchmarks.imputation.regret import PAPER, lines, regrets, summary
from examples.shared import rendered

ROOT = Path(__file__).parents[1]
PUBLISHED = Path(__file__).with_name("published")
MARKED = re.compile(r"(<!-- begin table ([^\n]*?) -->\n)(.*?)(<!-- end table -->)", re.S)
#: What pages call the methods of the grid, in the order of their rows.
TITLES = {
    "mean": "mean of the observed",
    "zero": "zero (the true mean, by the protocol)",
    "knn": "k nearest neighbors",
    "missforest": "missForest",
    "mice": "MICE",
    "normal": "multivariate normal, Gibbs",
    "constant": "2 max - mean",
    "censored-normal": "multivariate normal, censored at the largest seen",
    "miwae": "MIWAE, as published",
    "not-miwae": "not-MIWAE, as published",
    "not-miwae-ppca": "its PPCA form, as published",
    "notmiwae-pytorch": "not-MIWAE of notmiwae-pytorch",
    "hyperimpute": "hyperimpute",
    "hyperimpute-miwae": "MIWAE of hyperimpute",
    "unmasking-trees": "unmasking trees",
    "ours-none": "pyro_mnar, at random",
    "ours": "**pyro_mnar, nothing stated**",
    "ours-told": "**pyro_mnar, what is true stated**",
    "ours-free": "pyro_mnar, direction free",
    "ours-limited": "pyro_mnar, told where values are cut",
}
SCORES = {"rmse": "RMSE", "crps": "CRPS", "coverage_90": "90 % coverage"}


def filled(text: str, published: Path = PUBLISHED) -> tuple[str, list[str]]:
    """Return a page with its tables as the results have them, and the names of the tables that have no results.

    Raises:
        ValueError: for a name that no rule knows, or a table of results that holds no such cell.

    Example:
        >>> filled("No table.")
        ('No table.', [])
    """
    absent: list[str] = []

    def table(match: re.Match[str]) -> str:
        begin, name, old, end = match.groups()
        kind, *words = name.split()
        path = published / (FILES.get(kind, "imputation.json") if kind in OF_SCORES else f"examples/{kind}.json")
        if not path.is_file():
            if path.parent != published:
                raise ValueError(f"table {name}: no file {path}")
            absent.append(name)
            return match.group()
        new = OF_SCORES[kind](_of(path, kind), words) if kind in OF_SCORES else rendered(json.loads(path.read_text()))
        return f"{begin}\n{new}\n\n{end}"

    return MARKED.sub(table, text), absent


def _of(path: Path, kind: str) -> pd.DataFrame:
    """Return the committed scores: of the not-MIWAE paper's tables, but for ``columns``, which is of others."""
    runs = committed(path)
    return runs if kind == "columns" else runs[runs["table"].isin(PAPER)]


def accuracy(runs: pd.DataFrame, words: list[str]) -> str:
    """Return methods by tables of MASK SCORE [of METHODS]: means over seeds, and how many there are."""
    if len(words) not in (2, 4) or words[0] not in MASKS or words[1] not in SCORES or words[2:3] not in ([], ["of"]):
        raise ValueError(f"table accuracy {' '.join(words)}: expected MASK SCORE, or MASK SCORE of METHOD,METHOD,...")
    mask, score = words[:2]
    wanted = words[3].split(",") if len(words) == 4 else list(TITLES)
    here = runs[(runs["mask"] == mask) & runs["method"].isin(wanted)].dropna(subset=score)
    if not len(here):
        raise ValueError(f"table accuracy {' '.join(words)}: no such cell in the results")
    methods = [method for method in TITLES if method in set(here["method"])]
    tables = [table for table in dict.fromkeys(runs["table"]) if table in set(here["table"])]
    means = here.groupby(["method", "table"])[score].mean()
    seeds = here.groupby("method")["seed"].nunique()
    shown = [[_short(means.get((method, table))) for table in tables] for method in methods]
    head = f"| {SCORES[score]}, `{mask}` | {' | '.join(tables)} | seeds |"
    rule = "|---" * (len(tables) + 2) + "|"
    body = [f"| {TITLES[m]} | {' | '.join(cells)} | {seeds[m]} |" for m, cells in zip(methods, shown, strict=True)]
    return "\n".join([head, rule, *body])


def scores(runs: pd.DataFrame, words: list[str]) -> str:
    """Return masks by tables of METHOD MASK,MASK,...: RMSE / CRPS / 90 % coverage, means over seeds."""
    method, masks = (words[0], words[1].split(",")) if len(words) == 2 else ("", [])
    here = runs[(runs["method"] == method) & runs["mask"].isin(masks)]
    if method not in TITLES or not set(masks) <= set(here["mask"]):
        raise ValueError(f"table scores {' '.join(words)}: expected METHOD MASK,MASK,... of which there are cells")
    tables = [table for table in dict.fromkeys(runs["table"]) if table in set(here["table"])]
    means = here.groupby(["mask", "table"])[list(SCORES)].mean().map(_short).agg(" / ".join, axis=1)
    body = [f"| {mask} | {' | '.join(means.get((mask, table), '') for table in tables)} |" for mask in masks]
    return "\n".join([f"| {TITLES[method]} | {' | '.join(tables)} |", "|---" * (len(tables) + 1) + "|", *body])


def columns(runs: pd.DataFrame, words: list[str]) -> str:
    """Return methods by tables of MASK: what is scored by column, and the CRPS, means over seeds."""
    here = runs[runs["mask"] == (words[0] if len(words) == 1 else "")].dropna(subset="r2")
    if not len(here):
        raise ValueError(f"table columns {' '.join(words)}: expected MASK of which there are cells scored by column")
    tables = [table for table in dict.fromkeys(runs["table"]) if table in set(here["table"])]
    means = here.groupby(["method", "table"])[[*BY_COLUMN, "crps"]].mean().map(_short).agg(" / ".join, axis=1)
    return _methods_by_tables(f"`{words[0]}`", tables, means)


def times(runs: pd.DataFrame, words: list[str]) -> str:
    """Return methods by tables of MASK: seconds to fit, complete and draw, and the CRPS."""
    here = runs[runs["mask"] == (words[0] if len(words) == 1 else "")]
    if not len(here):
        raise ValueError(f"table times {' '.join(words)}: expected MASK of which there are cells")
    means = here.groupby(["method", "table"])[["seconds", "crps"]].mean()
    cells = means["seconds"].map("{:.0f}".format) + " / " + means["crps"].map(_short)
    return _methods_by_tables(f"seconds / CRPS, `{words[0]}`", list(dict.fromkeys(here["table"])), cells)


def _methods_by_tables(title: str, tables: list[str], cells: pd.Series) -> str:
    """Return ``cells``, by method and table, as methods by ``tables``; empty where there is none."""
    methods = [method for method in TITLES if method in cells.index.get_level_values("method")]
    body = [f"| {TITLES[method]} | {' | '.join(cells.get((method, table), '') for table in tables)} |" for method in methods]
    return "\n".join([f"| {title} | {' | '.join(tables)} |", "|---" * (len(tables) + 1) + "|", *body])


def regret(runs: pd.DataFrame, words: list[str]) -> str:
    """Return the summary of regrets, as a list, and the median and the largest by mask; of ``words``, masks, their cells."""
    cells = regrets(runs)
    if words:
        return _cells(cells[cells["mask"].isin(words[0].split(","))].groupby(["table", "mask"], as_index=False).mean())
    by_mask = cells.groupby("mask")["regret"].agg(["count", "median", "max"]).reindex([m for m in MASKS if m in set(cells["mask"])])
    body = [f"| {mask} | {row['count']:.0f} | {row['median']:.3f} | {row['max']:.3f} |" for mask, row in by_mask.iterrows()]
    return "\n".join([lines(summary(cells)), "", "| mask | cells | median regret | largest |", "|---|---|---|---|", *body])


def _cells(cells: pd.DataFrame) -> str:
    """Return a line for each of ``cells``: a table and a mask."""
    shown = {"crps": "nothing stated", "ours-none": "no mechanism", "ours-told": "the truth stated", "regret": "regret", "rmse": "RMSE"}
    shown |= {"column mean's rmse": "RMSE of the column mean", "coverage_90": "90 % coverage"}
    head = [f"| CRPS | {' | '.join(shown.values())} |", "|---" * (len(shown) + 1) + "|"]
    numbers = cells.reindex(columns=list(shown)).itertuples(index=False)
    names = zip(cells["table"], cells["mask"], strict=True)
    return "\n".join(head + [f"| {t}, {m} | {' | '.join(map(_short, row))} |" for (t, m), row in zip(names, numbers, strict=True)])


#: The tables made of the grid's scores, by the word that they begin with.
OF_SCORES = {"accuracy": accuracy, "scores": scores, "columns": columns, "times": times, "regret": regret}
#: Where their scores are, if not in imputation.json.
FILES = {"times": "times.json"}


def pages(root: Path = ROOT) -> Iterator[Path]:
    """Return the pages that may hold tables: README and every Markdown file of docs that is not built."""
    yield root / "README.md"
    yield from sorted(path for path in (root / "docs").rglob("*.md") if not {"_build", "generated", "gallery"} & set(path.parts))


def _short(value: float | None) -> str:
    """Return three decimals without a leading zero, nothing where there is no value."""
    return "" if value is None or pd.isna(value) else f"{value:.3f}".removeprefix("0")


def main(arguments: list[str] | None = None) -> int:
    """Fill the pages, or say which differ; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page differs from the results")
    options = parser.parse_args(arguments)
    differ = []
    for path in pages():
        old = path.read_text()
        new, absent = filled(old)
        name = path.relative_to(ROOT)
        for table in absent:
            print(f"{name}: no results committed for table {table}, left as it stands")
        if new != old:
            differ.append(name)
            if not options.check:
                path.write_text(new)
    for name in differ:
        print(f"{name}: {'differs from the results' if options.check else 'rewritten'}")
    return int(options.check and bool(differ))


if __name__ == "__main__":
    raise SystemExit(main())
