"""A report as one HTML file: text, tables and figures that need no server, no script and no other file."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.writing import check_writable, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: Beyond so many bytes a drawing is kept as pixels: many thousand points make a vector file huge.
_LARGEST_DRAWING = 150_000
#: Of more rows a table is folded: what is read stands before and after it.
_MOST_ROWS = 40


@dataclass
class Section:
    """A heading and what stands below it, in the order in which it is added.

    Example:
        >>> section = Section("Columns").text("Two of them.").rows(["name", "missing"], [["age", 0], ["income", 12]])
        >>> [part["kind"] for part in section.parts]
        ['text', 'table']
    """

    title: str
    parts: list[dict[str, object]] = field(default_factory=list)

    def text(self, *paragraphs: str) -> Self:
        """Add paragraphs."""
        self.parts += [{"kind": "text", "text": text} for text in paragraphs]
        return self

    def warning(self, text: str) -> Self:
        """Add a paragraph that stands out."""
        self.parts.append({"kind": "warning", "text": text})
        return self

    def figure(self, figure: Figure, caption: str) -> Self:
        """Add a matplotlib figure; the caption is read aloud in its place."""
        self.parts.append({"kind": "figure", "source": _data_uri(figure), "caption": caption})
        return self

    def rows(self, header: Sequence[object], rows: Sequence[Sequence[object]], caption: str = "") -> Self:
        """Add a table; numbers are shown with five digits."""
        cells = [[_shown(cell) for cell in row] for row in rows]
        self.parts.append({"kind": "table", "header": [str(name) for name in header], "rows": cells, "caption": caption})
        return self

    def frame(self, frame: DataFrame, caption: str = "") -> Self:
        """Add a data frame with its index as the first column."""
        rows = [[index, *row] for index, row in zip(frame.index, frame.itertuples(index=False), strict=True)]
        return self.rows([frame.index.name or "", *frame.columns], rows, caption)


def render(title: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML. Whatever texts contain is shown as text.

    Example:
        >>> page = render("A <b> report", [Section("Columns").text("Two.")])
        >>> "A &lt;b&gt; report" in page, "<h2>Columns</h2>" in page
        (True, True)
    """
    with extra("report"):
        from jinja2 import Environment

    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(title=title, sections=sections, most_rows=_MOST_ROWS)


def write_page(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> None:
    """Write the page, whole or not at all.

    Raises:
        ValueError: naming the file, when its ending is not .html or it cannot be written.
    """
    check_page_path(path)
    text = render(title, sections)
    write_whole(Path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def check_page_path(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError, before any work is done, when a page could not be written at ``path``."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path}: got ending {Path(path).suffix!r}, expected .html")
    check_writable(path)
    with extra("report"):
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401


def _data_uri(figure: Figure) -> str:
    with extra("report"):
        from matplotlib import rc_context

    drawing = io.BytesIO()
    # Without a date and with a fixed salt for identifiers, the same figure is the same bytes.
    with rc_context({"svg.hashsalt": "pyro_mnar"}):
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    if len(drawing.getvalue()) <= _LARGEST_DRAWING:
        return "data:image/svg+xml;base64," + base64.b64encode(drawing.getvalue()).decode()
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=150, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(pixels.getvalue()).decode()


def _shown(cell: Any) -> str:
    if isinstance(cell, (bool, str)) or cell is None:
        return "" if cell is None else str(cell)
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return str(cell)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.5g}"
