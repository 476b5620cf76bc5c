"""What only some uses need: the error names the extra, and imports of the package agree with setup.cfg."""

import ast
import re
import sys
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pyro_mnar import MNARImputer
from pyro_mnar.cli.main import main
from pyro_mnar.data.extras import MissingExtraError, extra

ROOT = Path(__file__).parents[2]
#: Where imports and requirements have different names.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "pyro": "pyro-ppl"}
#: Imported only where they must be there: of a polars frame, of an Arrow table, of a fetched table, and once ArviZ's version is known.
ELSEWHERE = {
    ("arrow.py", "pyarrow"),
    ("batches.py", "pyarrow"),
    ("labels.py", "pyarrow"),
    ("member_rows.py", "pyarrow"),
    ("parquet_fit.py", "pyarrow"),
    ("shard_fit.py", "pyarrow"),
    ("shards.py", "pyarrow"),
    ("streamed_sample.py", "pyarrow"),
    ("layout.py", "polars"),
    ("datasets.py", "pooch"),
    ("trees.py", "arviz"),
    ("trees.py", "xarray"),
}


def test_only_a_missing_module_becomes_the_extra_s_error():
    with (
        pytest.raises(
            MissingExtraError, match=r"^no_such: not installed, expected the extra 'plots' \(pip install 'pyro-mnar\[plots\]'\)$"
        ),
        extra("plots"),
    ):
        import no_such  # noqa: F401
    with pytest.raises(ValueError, match="its own"), extra("plots"):
        raise ValueError("its own")


@pytest.mark.parametrize(
    ("name", "modules", "words"),
    [
        ("parquet", ["pyarrow", "pyarrow.parquet"], ["impute", "t.csv", "--output", "c.parquet"]),
        ("netcdf", ["h5netcdf"], ["impute", "t.csv", "--output", "c.csv", "--draws-output", "d.nc"]),
        ("report", ["jinja2"], ["impute", "t.csv", "--output", "c.csv", "--report", "r.html"]),
        ("report", ["jinja2"], ["report", "t.csv", "--output", "r.html"]),
        (
            "plots",
            ["matplotlib"],
            ["sensitivity", "t.csv", "--mean", "a", "--shift", "a=0:1:2", "--output", "p.csv", "--figure", "f.png"],
        ),
    ],
    ids=["parquet", "draws", "with a report", "report", "figure"],
)
def test_the_command_line_names_the_extra_before_any_work(name, modules, words, tmp_path, monkeypatch, capsys):
    pd.DataFrame({"a": [1.0, np.nan, 2.5, 0.5], "b": [2.0, 1.0, 0.5, 3.0]}).to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MNARImputer, "fit", lambda *args, **named: pytest.fail("work was done first"))
    # What another test has imported of them is gone, too.
    for module in [*modules, *(loaded for loaded in sys.modules if loaded.partition(".")[0] in modules)]:
        monkeypatch.setitem(sys.modules, module, None)
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and f"pip install 'pyro-mnar[{name}]'" in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def requirements() -> dict[str, set[str]]:
    """Return the distributions of each extra, those of extras within it too; those of everybody under ''."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = {"": config["options"]["install_requires"]} | dict(config["options.extras_require"])

    def of(name: str) -> set[str]:
        found = set()
        for line in lines[name].split():
            inner = re.match(r"pyro-mnar\[(.*)\]", line)
            found |= set().union(*map(of, inner[1].split(","))) if inner else {re.split(r"[><=,]", line)[0]}
        return found

    return {name: of(name) for name in lines}


def imports(tree: ast.AST, within: str = "", typing: bool = False):
    """Yield each imported module that is run, and the extra in whose ``with`` it stands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        inner = within
        if (
            isinstance(node, ast.With)
            and isinstance(call := node.items[0].context_expr, ast.Call)
            and ast.unparse(call.func) == "extra"
        ):
            inner = ast.literal_eval(call.args[0])
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], within) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0], within
        yield from imports(node, inner)


def test_every_import_is_required_by_all_or_by_the_extra_that_its_error_names():
    held, used = requirements(), set()
    for path in (ROOT / "pyro_mnar").rglob("*.py"):
        for module, name in imports(ast.parse(path.read_text())):
            if module in sys.stdlib_module_names or module == "pyro_mnar" or (not name and (path.name, module) in ELSEWHERE):
                continue
            distribution = DISTRIBUTIONS.get(module, module)
            assert distribution in held[name], f"{path.name}: {module} is not in {name or 'install_requires'}"
            used.add(distribution)
    assert held[""] <= used, "required by all, imported nowhere"
    assert held["cli"] == held["netcdf"] | held["parquet"] | held["report"]
    assert held["cli"] | held["arviz"] <= held["test"] & held["docs"] | held["arviz"]
