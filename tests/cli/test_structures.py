"""Commands that read and write structure files: refusals before any work."""

import numpy as np
import pytest
from ase.io import write

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.testing import synthetic_dataset


@pytest.fixture
def frames():
    dataset = synthetic_dataset(12)
    structures = [dataset.atoms(k) for k in range(len(dataset))]
    for k, atoms in enumerate(structures):
        atoms.info = {"melt": k // 4}
    return structures


def test_names_of_outputs_that_cannot_be_written_are_refused_at_once(amsbench, mistake, frames, tmp_path):
    write(tmp_path / "a.extxyz", frames)
    before = sorted(path.name for path in tmp_path.iterdir())
    mistake(
        amsbench("generate", "-m", "amshortcut", "-d", "asi", "-o", "new/g.cif"),
        "'.cif'",
        "written as .extxyz",
    )
    mistake(amsbench("data", "export", "asi", "-o", "g.cif"), "'.cif'")
    mistake(
        amsbench("evaluate", "a.extxyz", "-d", "asio2", "-o", "t.xlsx"), "as .csv or .parquet, not '.xlsx'"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_import_with_types_and_groups(amsbench, mistake, frames, tmp_path):
    write(tmp_path / "a.data", frames[0], format="lammps-data", specorder=["Si", "O"])
    mistake(amsbench("evaluate", "a.data", "-d", "asio2"), "numbers its atoms by type", "--types Si,O")
    mistake(amsbench("picture", "a.data", "-o", "a.png"), "--types Si,O")
    assert amsbench("picture", "a.data", "-o", "a.png", "--types", "Si,O")[0] == 0
    mistake(amsbench("data", "import", "a.data", "--name", "own"), "--types Si,O")

    write(tmp_path / "a.extxyz", frames)
    code, _, err = amsbench("data", "import", "a.extxyz", "--name", "own", "--group", "melt")
    assert code == 0, err
    assert "12 structures in 3 groups by 'melt' of O, Si in own.npz, density" in err
    assert "Warning" not in err
    assert sorted(set(load_dataset("own", tmp_path / "own.npz").splits)) == [0, 1, 2]


def test_a_structure_with_lost_positions_is_not_drawn(amsbench, mistake, frames, tmp_path):
    frames[1].positions[2] = np.nan
    write(tmp_path / "a.extxyz", frames)
    mistake(
        amsbench("picture", "a.extxyz", "--index", 1, "-o", "a.png"), "structure 1 in a.extxyz", "not finite"
    )
    assert amsbench("picture", "a.extxyz", "--index", 0, "-o", "a.png")[0] == 0


def test_differences_of_recipes_have_the_units_of_the_dataset(amsbench):
    code, out, _ = amsbench("data", "info", "asio2")
    assert code == 0
    lines = {line.split(":")[0].strip(): line for line in out.splitlines() if " reduced, " in line}
    for name, unit in {"mass_density": "g/cm^3", "shear_modulus": "GPa", "ring_size": "Si atoms"}.items():
        assert f" {unit}, standard error" in lines[name]
