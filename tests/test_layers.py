"""Imports point downwards: every package has a rank, no circle is anywhere, and no underscore name crosses a file."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pyro_mnar"
#: From the bottom to the top: a package imports from itself and from those before it.
RANKS = [
    "data",
    "distributions",
    "infer",
    "analysis",
    "networks",
    "mechanisms",
    "model",
    "mcmc",
    "energy",
    "imputation",
    "diagnostics",
    "plots",
    "imputer",
    "report",
    "cli",
]
#: ``infer`` and ``analysis`` are for any model and any imputation: of what stands before them they use these alone.
ALONE = {"distributions": set(), "infer": {"data", "distributions"}, "analysis": {"data", "distributions"}}
HEAVY = {"arviz", "matplotlib", "pandas", "pooch", "sklearn", "torchvision", "xarray"}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE)


def module_name(path: Path) -> str:
    return ".".join(("pyro_mnar", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


NAMES = {module_name(path) for path in MODULES}


def imported(source: str) -> list[str]:
    """Return the modules and names that a source imports anywhere, functions' inner imports included."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def modules_of(source: str) -> set[str]:
    """Return the modules of this package that a source imports."""
    return {name if name in NAMES else name.rpartition(".")[0] for name in imported(source) if name.startswith("pyro_mnar.")}


def backward(source: str, package: str) -> list[str]:
    used = {name.split(".")[1] for name in modules_of(source) if "." in name} - {package}
    before = ALONE.get(package, set(RANKS[: RANKS.index(package)]))
    return sorted(used - before)


def private(source: str) -> list[str]:
    return [name for name in imported(source) if name.startswith("pyro_mnar.") and name.rpartition(".")[2].startswith("_")]


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def import_graph() -> dict[str, set[str]]:
    # A package's own list of names is for others; inside, each file imports from files.
    return {module_name(path): modules_of(path.read_text()) for path in MODULES if path.name != "__init__.py"}


def test_every_package_has_a_rank():
    assert {path.relative_to(PACKAGE).parts[0] for path in MODULES} == set(RANKS)


def test_the_map_for_contributors_is_that_of_the_folders():
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    folders = {path.parent: ast.get_docstring(ast.parse(path.read_text())) for path in MODULES if path.name == "__init__.py"}
    told = re.findall(r"^\| `(\S+)/` \| (.+) \|$", page, re.M)
    said = {
        str(folder.relative_to(PACKAGE)): " ".join(text.split("\n\n")[0].split()).replace("``", "`") for folder, text in folders.items()
    }
    assert dict(told) == said
    assert [name for name, _ in told if "/" not in name] == RANKS


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    source = path.read_text()
    package = path.relative_to(PACKAGE).parts[0]
    if path.name != "__init__.py":
        assert backward(source, package) == []
    assert private(source) == []


def test_there_is_no_circle():
    assert circle(import_graph()) == []


def folded(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the graph with each folder inside a package as one."""
    homes = {name: name.rpartition(".")[0] if name.count(".") > 2 else name for name in graph}
    folders: dict[str, set[str]] = {home: set() for home in homes.values()}
    for name, others in graph.items():
        folders[homes[name]] |= {homes.get(other, other) for other in others} - {homes[name]}
    return folders


def test_folders_inside_a_package_stand_in_no_circle():
    assert circle(folded(import_graph())) == []


def test_a_planted_circle_of_folders_is_found():
    graph = import_graph()
    graph["pyro_mnar.data.kinds.evidence"] = graph["pyro_mnar.data.kinds.evidence"] | {"pyro_mnar.data.rules.rule_parts"}
    assert circle(graph) == []
    assert {"pyro_mnar.data.kinds", "pyro_mnar.data.rules"} <= set(circle(folded(graph)))


def test_a_planted_backward_import_is_found():
    assert backward("def f():\n    from pyro_mnar.imputer.imputer import MNARImputer", "model") == ["imputer"]
    assert backward("from pyro_mnar.networks.layers import mlp", "infer") == ["networks"]


def test_a_planted_circle_is_found():
    graph = import_graph()
    graph["pyro_mnar.infer.weights"] = graph["pyro_mnar.infer.weights"] | modules_of("def f():\n    import pyro_mnar.infer.training")
    graph["pyro_mnar.infer.training"] = graph["pyro_mnar.infer.training"] | {"pyro_mnar.infer.weights"}
    assert {"pyro_mnar.infer.weights", "pyro_mnar.infer.training"} <= set(circle(graph))


def test_a_planted_private_name_is_found():
    assert private("from pyro_mnar.plots.panels import _WIDTH") == ["pyro_mnar.plots.panels._WIDTH"]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 250


@pytest.mark.parametrize("module", ["pyro_mnar", "pyro_mnar.model", "pyro_mnar.infer.training", "pyro_mnar.imputation.impute"])
def test_the_core_imports_no_heavy_library(module):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & {name.split(".")[0] for name in loaded} == set()


#: Classes of the packages whose objects are to be asked, and torch's laws that become cells.
ASKED = {
    node.name
    for package in ("distributions", "networks", "mechanisms", "model")
    for path in (PACKAGE / package).glob("*.py")
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.ClassDef)
} | {"Normal", "StudentT", "Bernoulli", "Categorical", "Laplace", "Poisson"}


def asked_what_they_are(source: str) -> list[str]:
    """Return the laws, mechanisms and decoders of which a source asks by ``isinstance`` what they are."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    classes = [call.args[1] for call in calls if getattr(call.func, "id", "") in ("isinstance", "issubclass")]
    named = [[getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(given)] for given in classes]
    return [name for names in named for name in names if name in ASKED]


def test_laws_mechanisms_and_decoders_are_hardly_asked_what_they_are():
    found = {module_name(path): asked_what_they_are(path.read_text()) for path in MODULES}
    assert sum(len(names) for names in found.values()) <= 10, {name: names for name, names in found.items() if names}
    # What a law or a mechanism does is its own affair.
    assert not any(names for name, names in found.items() if name.split(".")[1] in ("distributions", "mechanisms", "networks"))


def test_a_planted_question_is_found():
    assert asked_what_they_are("if isinstance(cells, (Normal, mixed.MixedCells, Tensor)): pass") == ["Normal", "MixedCells"]
