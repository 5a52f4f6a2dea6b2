"""A picture of one structure: its atoms in the cell, and what they are."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...benchmark.system.files import write_bytes
from ...errors import AmsbenchError
from .plot_style import new_figure

if TYPE_CHECKING:
    from ase import Atoms

VIEW = "-78x,-14y,-4z"
"""From a little above and beside, as ASE writes rotations."""
RADIUS = 0.55
"""Of the balls, over the covalent radius: bonds stay visible as near contacts, and what is behind is not hidden."""
SUFFIXES = (".png", ".svg", ".pdf")


def check_picture_suffix(path: Path) -> None:
    """Raise AmsbenchError for the name of an output file that is not one of a picture."""
    if path.suffix not in SUFFIXES:
        raise AmsbenchError(
            f"a picture is written as {', '.join(SUFFIXES)}, not '{path.suffix}' ({path}); rename the output"
        )


def write_picture(atoms: Atoms, path: Path) -> None:
    """Draw a structure into a .png, .svg or .pdf; AmsbenchError for another suffix or a structure without atoms."""
    check_picture_suffix(path)
    if not len(atoms):
        raise AmsbenchError(f"the structure for {path} has no atoms to draw; choose another with --index")
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors
    from ase.visualize.plot import plot_atoms
    from matplotlib.lines import Line2D

    drawn = atoms.copy()
    drawn.wrap()
    figure = new_figure(6.4, 5.2)
    axes = figure.subplots()
    plot_atoms(drawn, axes, radii=RADIUS * covalent_radii[drawn.numbers], rotation=VIEW, show_unit_cell=2)
    axes.set_axis_off()
    counts = atoms.symbols.formula.count()
    marks = [
        Line2D(
            [],
            [],
            marker="o",
            ls="",
            mec="k",
            mfc=jmol_colors[atomic_numbers[symbol]],
            ms=9,
            label=f"{symbol} {n}",
        )
        for symbol, n in sorted(counts.items(), key=lambda item: -item[1])
    ]
    axes.legend(handles=marks, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    targets = [
        f"{name} {value:.3g}"
        for name, value in atoms.info.items()
        if str(name).startswith("target_") and isinstance(value, int | float)  # files may have text there
    ]
    edges = " x ".join(f"{edge:.3g}" for edge in atoms.cell.lengths())
    axes.set_title(f"{len(atoms)} atoms in {edges} A" + "".join(f", {item}" for item in targets), fontsize=9)
    content = BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=200)
    write_bytes(path, content.getvalue())
