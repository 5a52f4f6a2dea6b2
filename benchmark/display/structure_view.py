"""Structures that show themselves in a notebook: turned by the mouse, one at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import AmsbenchError
from .structure_data import MOST_ATOMS, SCALE, elements_data, is_drawable, structure_data

if TYPE_CHECKING:
    from ase import Atoms
    from plotly.graph_objects import Figure

PLOTLY_TYPE = "application/vnd.plotly.v1+json"
MOST_STRUCTURES = 20
"""Most structures of a view: all of them are in the notebook's file."""
_PIXELS_PER_ANGSTROM = 18.0
_CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
_EDGES = [(a, b) for a in range(8) for b in range(a) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1]


class StructureView:
    """A view of structures with atoms, bonds between network formers and anions, and the cell.

    frames: those that can be drawn, at most ``MOST_STRUCTURES``
    total: number of structures that the view is of
    """

    def __init__(self, frames: Sequence[Atoms]) -> None:
        drawable = [atoms for atoms in frames if is_drawable(atoms)]
        if not drawable:
            raise AmsbenchError(
                f"none of the {len(frames)} structures can be drawn; give structures with atoms at finite positions, "
                f"at most {MOST_ATOMS} of them, in a cell"
            )
        self.frames = drawable[:MOST_STRUCTURES]
        self.total = len(frames)

    def __repr__(self) -> str:
        return f"StructureView of {len(self.frames)} of {self.total} structures"

    def figure(self) -> Figure:
        """The view as a plotly figure, with a list to choose a structure from; AmsbenchError without plotly."""
        try:
            from plotly.graph_objects import Figure
        except ImportError as error:
            raise AmsbenchError(
                "views of structures need the package plotly, which is not installed; run: pip install 'amsbench[page]'"
            ) from error
        data = [structure_data(atoms) for atoms in self.frames]
        colours = elements_data({symbol for item in data for symbol in item["symbols"]})
        traces: list[dict[str, Any]] = []
        owners: list[int] = []
        for number, item in enumerate(data):
            own = _traces(item, colours)
            traces += [{**trace, "visible": number == 0} for trace in own]
            owners += [number] * len(own)
        titles = [
            f"{number + 1} of {self.total}: {item['formula']}, {item['density']} g/cm³{_values(atoms)}"
            for number, (item, atoms) in enumerate(zip(data, self.frames, strict=True))
        ]
        hidden = {"visible": False}
        buttons = [
            {
                "label": title,
                "method": "update",
                "args": [{"visible": [owner == number for owner in owners]}],
            }
            for number, title in enumerate(titles)
        ]
        layout: dict[str, Any] = {
            "height": 460,
            "margin": {"l": 0, "r": 0, "t": 40, "b": 0},
            "scene": {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
            "updatemenus": [{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.09, "yanchor": "top"}],
        }
        return Figure({"data": traces, "layout": layout})

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **kwargs: Any) -> dict[str, Any]:
        try:
            figure = self.figure()
        except AmsbenchError as error:
            return {"text/plain": f"{self!r}: {error}"}
        # notebooks that know plotly draw the JSON; for all others plotly adds its HTML where a notebook runs
        own = {PLOTLY_TYPE: json.loads(figure.to_json()), "text/plain": repr(self)}
        return {**figure._repr_mimebundle_(include, exclude, **kwargs), **own}


def _traces(item: dict[str, Any], colours: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The cell, the bonds and the atoms of each element as plotly's traces."""
    positions = np.array(item["positions"]).reshape(-1, 3) / SCALE
    species = np.array(item["species"])
    bonds = np.array(item["bonds"]).reshape(-1, 5)
    ends = positions[bonds[:, 0]]
    cell = np.array(item["cell"]).reshape(3, 3) / SCALE
    corners = _CORNERS @ cell
    lines: dict[str, Any] = {"type": "scatter3d", "mode": "lines", "hoverinfo": "skip"}
    traces = [
        {
            **lines,
            **_segments(corners[[a for a, _ in _EDGES]], corners[[b for _, b in _EDGES]]),
            "name": "cell",
        },
        {**lines, **_segments(ends, ends + bonds[:, 2:] / SCALE), "name": "bonds"},
    ]
    for trace, colour, width in zip(traces, ("#777777", "#aaaaaa"), (2, 4), strict=True):
        trace |= {"line": {"color": colour, "width": width}, "showlegend": False}
    for place, symbol in enumerate(item["symbols"]):
        x, y, z = positions[species == place].T.tolist()
        size = _PIXELS_PER_ANGSTROM * colours[symbol]["radius"] / 2
        marker = {
            "size": size,
            "color": colours[symbol]["colour"],
            "line": {"color": "#333333", "width": 0.5},
            "opacity": 1,
        }
        name = f"{symbol} ({len(x)})"
        traces.append(
            {"type": "scatter3d", "mode": "markers", "x": x, "y": y, "z": z, "marker": marker, "name": name}
        )
    return traces


def _segments(starts: np.ndarray, ends: np.ndarray) -> dict[str, list[float | None]]:
    """Coordinates of unconnected lines: None stands between them."""
    return {
        axis: [
            value
            for a, b in zip(starts[:, k], ends[:, k], strict=True)
            for value in (float(a), float(b), None)
        ]
        for k, axis in enumerate("xyz")
    }


def _values(atoms: Atoms) -> str:
    """Targets of a structure, as generation writes them into its ``info``."""
    return "".join(
        f", {name.removeprefix('target_')} {value:.3g}"
        for name, value in atoms.info.items()
        if str(name).startswith("target_") and isinstance(value, int | float)
    )
