"""The page of the reference: every public name once, where users import it from."""

import inspect
from importlib import import_module

import pyro_mnar

#: Namespaces, of which the reference shows their own lists of names.
NAMESPACES = {
    "networks": "Networks",
    "mechanisms": "Mechanisms",
    "distributions": "Distributions",
    "model": "The model",
    "energy": "Energy tilts",
    "mcmc": "Markov chains",
    "analysis": "Analyses",
    "data": "Data",
}
#: Modules whose public functions and classes users meet beside these, by the part that they are shown in.
MODULES = {
    "Files of draws": ("imputation.netcdf",),
    "Spark": ("imputer.shards.spark",),
    "Imputation": ("imputation.impute", "imputation.importance", "imputation.ensemble", "imputation.predict"),
    "Bounds, training and weights": (
        "infer.bound",
        "infer.training",
        "infer.schedule",
        "infer.history",
        "infer.ensembles",
        "infer.shared",
        "infer.weights",
    ),
    "Checkpoints": ("infer.checkpoints",),
    "Scores": ("analysis.scores",),
    "Diagnostics": ("diagnostics.findings", "diagnostics.diagnosis", "diagnostics.mask_check", "diagnostics.arviz"),
    "Figures": ("plots.model", "plots.sensitivity", "plots.tipping"),
}


def public(module: str) -> list[str]:
    """Return the full names of the documented public functions and classes that a module defines."""
    home = import_module(f"pyro_mnar.{module}")
    return [
        f"{home.__name__}.{name}"
        for name, member in vars(home).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or inspect.isclass(member))
        and member.__module__ == home.__name__
        and member.__doc__
    ]


def table(names: list[str]) -> list[str]:
    return [".. autosummary::", "   :toctree: generated", "   :nosignatures:", "", *(f"   {name}" for name in sorted(names)), ""]


def identity(name: str) -> object:
    home, last = name.rsplit(".", 1)
    return getattr(import_module(home), last)


def section(title: str, introduction: str, names: list[str], seen: dict[int, str]) -> list[str]:
    """Return a part of the reference; what stands above already gets a link. ``seen`` takes up what is new."""
    new = {name: id(identity(name)) for name in names}
    above = sorted(name for name, key in new.items() if key in seen)
    links = ", ".join(f":obj:`{name.rsplit('.', 1)[1]} <{seen[new[name]]}>`" for name in above)
    lines = [title, "-" * len(title), "", introduction, "", *([f"Also here: {links}.", ""] if above else [])]
    lines += table([name for name, key in new.items() if key not in seen])
    seen |= {key: name for name, key in new.items() if key not in seen}
    return lines


def reference() -> tuple[str, dict[int, str]]:
    """Return the page, and the full name under which each object stands there, by its ``id``."""
    shapes = "Shapes: N rows, D columns, K particles, L latents. ``mask`` is True where a value is observed."
    lines = ["API reference", "=============", "", shapes, ""]
    seen: dict[int, str] = {}
    lines += section("pyro_mnar", "Imported from the package itself.", [f"pyro_mnar.{name}" for name in pyro_mnar.__all__], seen)
    for space, title in NAMESPACES.items():
        home = import_module(f"pyro_mnar.{space}")
        first = (home.__doc__ or "").strip().split("\n\n")[0]
        lines += section(title, f"``{home.__name__}``. {first}", [f"{home.__name__}.{name}" for name in home.__all__], seen)
    for title, modules in MODULES.items():
        homes = ", ".join(f"``pyro_mnar.{module}``" for module in modules)
        lines += section(title, f"{homes}.", [name for module in modules for name in public(module)], seen)
    return "\n".join(lines), seen
