"""Settings of the documentation; `make docs` builds it into docs/_build/html."""

import sys
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pyro_mnar

sys.path.insert(0, str(Path(__file__).parent))
from reference import reference

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
exclude_patterns = ["_build", "reference.py"]
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


def write_reference(*_: object) -> None:
    path = Path(__file__).with_name("api.rst")
    text, _ = reference()
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app) -> None:
    app.connect("config-inited", write_reference)
