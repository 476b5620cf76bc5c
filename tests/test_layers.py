"""Data flows one way: tables, models, infer, results, faces."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pyro_mnar"
LAYERS = ["tables", "models", "infer", "results", "faces"]
HEAVY = {"arviz", "matplotlib", "pandas", "pooch", "sklearn", "torchvision", "xarray"}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE)


def imported(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def backward(source: str, layer: str) -> list[str]:
    later = LAYERS[LAYERS.index(layer) + 1 :]
    return [n for n in imported(ast.parse(source)) if n.split(".")[0] == "pyro_mnar" and n.split(".")[1:2] and n.split(".")[1] in later]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_to_earlier_layers(path):
    assert backward(path.read_text(), path.relative_to(PACKAGE).parts[0]) == []


def test_a_planted_backward_import_is_found():
    assert backward("def f():\n    from pyro_mnar.imputer.imputer import MNARImputer", "models")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 290


@pytest.mark.parametrize("module", ["pyro_mnar", "pyro_mnar.models", "pyro_mnar.infer.training", "pyro_mnar.imputation.impute"])
def test_the_core_imports_no_heavy_library(module):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & {name.split(".")[0] for name in loaded} == set()
