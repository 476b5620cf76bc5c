"""What figures share: their width, colors, panels and axes of values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.writing import check_writable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches, for letters of 6 to 9 points: on a telephone, a third as wide as a page, they can still be read.
WIDTH = 5.2
#: Panels beside each other.
ACROSS = 2
OBSERVED, IMPUTED, TRUE = "#444444", "#D55E00", "#0072B2"  # Okabe and Ito's colors, told apart by the color-blind


def check_figure_path(path: str | os.PathLike[str]) -> None:
    """Raise an error, before any work is done, when a figure could not be drawn and written at ``path``."""
    check_writable(path)
    with extra("plots"):
        from matplotlib.backend_bases import FigureCanvasBase

    ending = os.path.splitext(path)[1].lower()
    if ending[1:] not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(f"{os.fspath(path)}: got ending {ending!r}, expected one of a figure, such as .png, .pdf or .svg")


def panels(count: int) -> tuple[Figure, list[Axes]]:
    with extra("plots"):
        from matplotlib.figure import Figure

    across = min(ACROSS, count)
    down = -(-count // across)
    figure = Figure(figsize=(WIDTH, 0.4 + 2.0 * down), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).ravel())
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def name_values(axis: Axes, levels: Sequence[object] | None) -> None:
    """Label the axis of values: of ``levels``, where there are such, with their names."""
    if levels is None:
        axis.set_xlabel("value", fontsize=8)
        return
    long = max(len(str(level)) for level in levels) * len(levels) > 20
    names = [text_of(str(level)[:10]) for level in levels]
    axis.set_xticks(range(len(levels)), names, fontsize=7, rotation=60 if long else 0, ha="right" if long else "center")
    if long:
        for label in axis.get_xticklabels():
            label.set_rotation_mode("anchor")


def text_of(name: object) -> str:
    """Return a name of a user's as Matplotlib shows it, in which dollars would make it a formula.

    Example:
        >>> print(text_of("US$"))
        US\\$
    """
    return str(name).replace("$", r"\$")
