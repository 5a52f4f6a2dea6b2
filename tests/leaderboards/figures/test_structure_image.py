"""A picture shows the atoms that are there, in the colours of their elements."""

import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_numbers
from ase.data.colors import jmol_colors
from matplotlib.image import imread

from amsbench.errors import AmsbenchError
from amsbench.leaderboards.figures.structure_image import write_picture


def pixels(image, symbol):
    """How many are of an element's colour."""
    return int((np.abs(image[..., :3] - jmol_colors[atomic_numbers[symbol]]) < 0.02).all(-1).sum())


def test_elements_have_their_colours(tmp_path):
    places = np.random.default_rng(0).uniform(0, 10, (6, 3))
    glass = Atoms("Si2O4", positions=places, cell=[10, 11, 12], pbc=True, info={"target_shear_modulus": 25.0})
    write_picture(glass, tmp_path / "glass.png")
    image = imread(tmp_path / "glass.png")
    assert pixels(image, "O") > 1000
    assert pixels(image, "Si") > 1000
    assert pixels(image, "Li") == 0
    more = Atoms("Li", positions=[[15, 5, 5]], cell=glass.cell, pbc=True)
    write_picture(glass + more, tmp_path / "more.png")
    assert pixels(imread(tmp_path / "more.png"), "Li") > 1000


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_formats(tmp_path, suffix):
    write_picture(Atoms("Si", cell=[5] * 3, pbc=True), tmp_path / f"one.{suffix}")
    assert (tmp_path / f"one.{suffix}").read_bytes()[:5] in (b"<?xml", b"%PDF-")


def test_mistakes_write_nothing(tmp_path):
    with pytest.raises(AmsbenchError, match=r"\.png, \.svg, \.pdf, not '\.gif'"):
        write_picture(Atoms("Si", cell=[5] * 3, pbc=True), tmp_path / "one.gif")
    with pytest.raises(AmsbenchError, match="has no atoms"):
        write_picture(Atoms(cell=[5] * 3, pbc=True), tmp_path / "none.png")
    assert list(tmp_path.iterdir()) == []
