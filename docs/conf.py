"""Settings of the documentation; `make docs` builds it into docs/_build/html."""

import inspect
import pkgutil
import urllib.request
from importlib import import_module
from pathlib import Path
from urllib.error import URLError

import pyro_mnar

project = "pyro_mnar"
author = "The pyro_mnar authors"
copyright = f"2026, {author}"
version = release = pyro_mnar.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"pyro_mnar {version}"
# Headings of three levels can be linked to, as on GitHub.
myst_heading_anchors = 3
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "set_fit_request, set_score_request"}
# Prompts and outputs are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The scripts take minutes each: they are shown with the figures that they made (make examples), not run.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "plot_gallery": False,
    "filename_pattern": r"$^",
    "ignore_pattern": r"shared\.py|picture\.py",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": float("inf"),
    "write_computation_times": False,
}

INVENTORIES = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "sklearn": "https://scikit-learn.org/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
    "pyro": "https://docs.pyro.ai/en/stable/",
}


def reachable(address: str) -> bool:
    """Return whether the inventory of another package's pages can be read: a build without a network leaves these links out."""
    try:
        with urllib.request.urlopen(f"{address}objects.inv", timeout=3):
            return True
    except (URLError, OSError):
        return False


intersphinx_mapping = {name: (address, None) for name, address in INVENTORIES.items() if reachable(address)}

#: Parts of the reference: a namespace's own list of names, or the public functions and classes of modules.
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
MODULES = {
    "imputer": "Around the imputer",
    "imputation": "Imputation",
    "infer": "Bounds, training and weights",
    "diagnostics": "Diagnostics",
    "plots": "Figures",
    "report": "The report",
}


def public(package: str) -> list[str]:
    """Return the full names of the public functions and classes that the modules of a package define."""
    home = import_module(f"pyro_mnar.{package}")
    found = []
    for module in pkgutil.iter_modules(home.__path__, f"{home.__name__}."):
        members = vars(import_module(module.name)).items()
        found += [
            f"{module.name}.{name}"
            for name, member in members
            if not name.startswith("_")
            and (inspect.isfunction(member) or inspect.isclass(member))
            and member.__module__ == module.name
            and member.__doc__
        ]
    return found


def table(names: list[str]) -> list[str]:
    return [".. autosummary::", "   :toctree: generated", "   :nosignatures:", "", *(f"   {name}" for name in sorted(names)), ""]


def identity(name: str) -> object:
    home, last = name.rsplit(".", 1)
    return getattr(import_module(home), last)


def write_reference(*_: object) -> None:
    """Write the page of the reference: every public name once, where users import it from."""
    lines = ["API reference", "=============", "", "Shapes: N rows, D columns, K particles, L latents. ``mask`` is True where a value is observed.", ""]
    top = [f"pyro_mnar.{name}" for name in pyro_mnar.__all__]
    seen = {id(identity(name)): name for name in top}
    lines += ["pyro_mnar", "---------", "", "Imported from the package itself, when first used.", "", *table(top)]
    parts = {space: [f"pyro_mnar.{space}.{name}" for name in import_module(f"pyro_mnar.{space}").__all__] for space in NAMESPACES}
    parts |= {package: public(package) for package in MODULES}
    for package, title in (NAMESPACES | MODULES).items():
        summary = (import_module(f"pyro_mnar.{package}").__doc__ or "").strip().split("\n\n")[0]
        lines += [title, "-" * len(title), "", f"``pyro_mnar.{package}``{': ' if summary else ''}{summary}", ""]
        new = {name: id(identity(name)) for name in parts[package]}
        above = [name for name, key in new.items() if key in seen]
        if above:
            links = ", ".join(f":obj:`{name.rsplit('.', 1)[1]} <{seen[new[name]]}>`" for name in sorted(above))
            lines += [f"Also here: {links}.", ""]
        lines += table([name for name, key in new.items() if key not in seen])
        seen |= {key: name for name, key in new.items() if key not in seen}
    path = Path(__file__).with_name("api.rst")
    text = "\n".join(lines)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app) -> None:
    app.connect("config-inited", write_reference)
