"""Settings of the documentation; `make docs` builds it into docs/_build/html."""

from pathlib import Path

import pyro_mnar

project = "pyro_mnar"
author = "the authors of pyro_mnar"
version = release = pyro_mnar.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "tables"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = "pyro_mnar"
# Headings of three levels can be linked to, as on GitHub.
myst_heading_anchors = 3
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "set_fit_request, set_score_request"}

LAYERS = {
    "tables": "Tables",
    "models": "Models",
    "infer": "Inference",
    "results": "Results",
    "faces": "Faces",
}


def write_reference(*_: object) -> None:
    """Write the reference's page: every public name, by layer."""
    lines = [
        "API reference",
        "=============",
        "",
        "All of these are imported from ``pyro_mnar``; imports go from a layer to those before it.",
        "",
    ]
    for layer, title in LAYERS.items():
        names = [name for name, home in pyro_mnar._HOMES.items() if home.split(".")[1] == layer]
        lines += [title, "-" * len(title), "", ".. autosummary::", "   :toctree: generated", "   :nosignatures:", ""]
        lines += [f"   pyro_mnar.{name}" for name in sorted(names)] + [""]
    path = Path(__file__).with_name("api.rst")
    text = "\n".join(lines)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app) -> None:
    app.connect("config-inited", write_reference)
