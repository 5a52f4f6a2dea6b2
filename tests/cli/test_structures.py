"""Commands that read and write structure files: refusals before any work."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from amsbench.benchmark.datasets import storage
from amsbench.benchmark.datasets.storage import bundled_path, load_dataset
from amsbench.benchmark.evaluation.frozen_reference import frozen_path, read_reference
from amsbench.errors import AmsbenchError
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
    frames[0].info |= {"target_hardness": "high", "target_stress": np.arange(3.0)}
    write(tmp_path / "a.extxyz", frames)
    assert amsbench("picture", "a.extxyz", "--index", 0, "-o", "a.png")[0] == 0


def test_differences_of_recipes_have_the_units_of_the_dataset(amsbench):
    code, out, _ = amsbench("data", "info", "asio2")
    assert code == 0
    lines = {line.split(":")[0].strip(): line for line in out.splitlines() if " reduced, " in line}
    for name, unit in {"mass_density": "g/cm^3", "shear_modulus": "GPa", "ring_size": "Si atoms"}.items():
        assert f" {unit}, standard error" in lines[name]


@pytest.fixture
def own(amsbench, frames, tmp_path):
    """A dataset of the structures in ``own.npz``, with the label ``hardness``."""
    for k, atoms in enumerate(frames):
        atoms.info["hardness"] = 1.0 + k
    write(tmp_path / "own.extxyz", frames)
    code, _, err = amsbench("data", "import", "own.extxyz", "--name", "own", "--properties", "hardness")
    assert code == 0, err
    return ("-d", "own", "--data", "own.npz")


def test_import_without_groups_calls_nothing_independent(amsbench, own, tmp_path):
    err = amsbench("data", "import", "own.extxyz", "--name", "again")[2]
    assert "without --group every structure is a group of its own" in err
    assert "--group melt keeps them together" in err
    assert "independent" not in amsbench("data", "info", "own", "--data", "own.npz")[1]
    amsbench("data", "import", "own.extxyz", "--name", "grouped", "--group", "melt")
    assert "3 groups by 'melt'" in amsbench("data", "info", "grouped", "--data", "grouped.npz")[1]


def test_groups_of_files(amsbench, mistake, frames, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    for run in range(3):
        write(folder / f"{run}.extxyz", frames[4 * run : 4 * run + 4])
    code, _, err = amsbench("data", "import", "runs", "--name", "own", "--group", "file")
    assert code == 0, err
    assert "12 structures in 3 groups by 'file'" in err
    dataset = load_dataset("own", tmp_path / "own.npz")
    assert dataset.groups.reshape(3, 4).tolist() == [[g] * 4 for g in dataset.groups[::4]]
    mistake(
        amsbench("data", "import", "runs/0.extxyz", "--name", "one", "--group", "file"), "1 group by 'file'"
    )


def test_a_bad_structure_is_named_and_the_others_are_scored(amsbench, own, frames, tmp_path):
    frames[1].positions[2] = np.nan
    frames[2].symbols[0] = "Na"
    write(tmp_path / "a.extxyz", [*frames[:3], *frames[2:4], frames[3]])
    code, out, err = amsbench("evaluate", "a.extxyz", *own, "-o", "t.csv", "--cores", 1)
    assert code == 0, err
    assert "Failed: structure 1 in a.extxyz has positions or a cell that are not finite numbers" in err
    assert "Failed: structure 2 in a.extxyz has Na, which dataset 'own' does not" in err
    assert "Failed: structure 3 in a.extxyz has Na" in err
    assert "1 cannot be measured" in err
    assert "Warning: only 4 of the 6 structures are different; intervals" in " ".join(err.split())
    assert "structure not measured on 1 of 6: has positions" in out
    assert "structure not measured on 2 of 6: has Na" in out
    table = (tmp_path / "t.csv").read_text().splitlines()
    assert len(table) == 7


@pytest.fixture
def no_data(monkeypatch):
    """Makes every attempt to read a dataset file fail."""

    def read_packed(path):
        raise AmsbenchError(f"{path} was read")

    monkeypatch.setattr(storage, "read_packed", read_packed)


def test_structures_are_scored_without_the_data(amsbench, mistake, no_data, tmp_path):
    """Mean curves, a property with a target, its judgement and further curves: all of it from the frozen reference."""
    frozen = read_reference(frozen_path("meg"))
    atoms = typed_atoms(frozen.material.structures[0], frozen.elements)
    atoms.info = {"target_li_concentration": 10.0}
    write(tmp_path / "a.extxyz", atoms)
    command = ("evaluate", "a.extxyz", "-d", "meg", "--cores", 1)
    code, out, err = amsbench(
        *command, "--target-keys", "target_li_concentration", "--metrics", "sq,qn", "-o", "t.csv"
    )
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"1 structure against dataset 'meg' (frozen reference {frozen.content_hash[:12]})"
    assert [line.split(" RMSD")[0] for line in lines if " RMSD " in line] == ["RDF", "ADF", "S(q)", "Q^n"]
    assert "copies of training structures 100 %" in out
    mistake(amsbench(*command, "--data", "meg.npz"), "meg.npz was read")


def test_a_file_of_data_is_used_in_the_place_of_the_frozen_reference(amsbench, tmp_path):
    data = load_dataset("asi")
    write(tmp_path / "a.extxyz", data.atoms(0))
    shutil.copy(bundled_path("asi"), tmp_path / "mine.npz")
    code, out, err = amsbench("evaluate", "a.extxyz", "-d", "asi", "--data", "mine.npz", "--cores", 1)
    assert code == 0, err
    assert out.startswith(f"1 structure against dataset 'asi' (data {data.content_hash[:12]})")


def test_a_reference_is_made_again_with_the_limits_of_the_same_data_alone(amsbench, mistake, tmp_path):
    mistake(amsbench("data", "freeze", "asi", "-o", "a.zip"), "written as .npz, not '.zip'")
    command = ("data", "freeze", "meg", "--keep-limits", "-o", "m.npz")
    mistake(amsbench(*command), "there is no reference m.npz")
    before = read_reference(frozen_path("meg"))
    replace(before, dataset_hash="1" * 64).write(tmp_path / "m.npz")
    mistake(amsbench(*command), "those of other data (111111111111)", "without --keep-limits")
    replace(before, curves={}, labels={}).write(tmp_path / "m.npz")
    code, _, err = amsbench(*command)
    assert code == 0, err
    again = read_reference(tmp_path / "m.npz")
    assert again.limits == before.limits
    assert again.labels == before.labels
    assert {split: set(curves) for split, curves in again.curves.items()} == {
        split: set(curves) for split, curves in before.curves.items()
    }
    assert f"reference {again.content_hash[:12]} of 'meg'" in " ".join(err.split())


def typed_atoms(structure, elements):
    """ASE Atoms of a structure with numbers of elements."""
    symbols = [elements[k] for k in structure.species]
    return Atoms(symbols, positions=structure.positions, cell=structure.cell, pbc=True)


def test_structures_of_another_material_are_refused(amsbench, mistake, frames, tmp_path):
    write(tmp_path / "a.extxyz", frames)
    mistake(
        amsbench("evaluate", "a.extxyz", "-d", "asi"),
        "structure 0 in a.extxyz has O, which dataset 'asi' does not; its elements are Si",
        "none of the other 11",
    )


def test_requested_properties_are_printed_or_refused_at_once(amsbench, mistake, own):
    code, out, err = amsbench("evaluate", "own.extxyz", *own, "--properties", "hardness", "--cores", 1)
    assert code == 0, err
    assert "hardness: mean -, 0 of 12 measured" in out
    assert "hardness not measured on 12 of 12: imported property: no calculator" in out
    mistake(amsbench("evaluate", "nowhere.xyz", *own, "--properties", "softness"), "no property 'softness'")


def test_only_targets_are_taken_for_targets(amsbench, mistake, own, frames, tmp_path):
    command = ("evaluate", "a.extxyz", *own, "--target-keys")
    write(tmp_path / "a.extxyz", frames)
    mistake(amsbench(*command, "target_hardness"), "structure 0 in a.extxyz has no 'target_hardness'")
    mistake(amsbench(*command, "hardness"), "is the key of a measured value", "--target-keys target_hardness")
    for value, words in {
        "high": "structure 3 in a.extxyz has a 'target_hardness' that is no number: 'high'",
        True: "that is no number: 'True'",
        math.nan: "structure 3 in a.extxyz has no finite 'target_hardness'",
        -1e308: "an infinite 'target_hardness'",
    }.items():
        for k, atoms in enumerate(frames):
            atoms.info["target_hardness"] = value if k == 3 else 5.0
        write(tmp_path / "a.extxyz", frames)
        mistake(amsbench(*command, "target_hardness"), words)


def test_outputs_are_refused_before_anything_is_read(amsbench, mistake, tmp_path):
    mistake(amsbench("evaluate", "nowhere.xyz", "-d", "asio2", "-o", "t.xlsx"), "as .csv or .parquet")
    mistake(amsbench("picture", "nowhere.xyz", "-o", "a.bmp"), "written as .png, .svg, .pdf, not '.bmp'")
    mistake(amsbench("data", "import", "nowhere.xyz", "--name", "own", "-o", "own.zip"), "written as .npz")
    (tmp_path / "file").write_text("")
    mistake(amsbench("evaluate", "nowhere.xyz", "-d", "asio2", "-o", "file/t.csv"), "cannot write")
    mistake(amsbench("picture", "nowhere.xyz", "-o", "file/a.png"), "cannot write")
    (tmp_path / "f.extxyz").mkdir()
    generate = ("generate", "-m", "amshortcut", "-d", "asi", "-o")
    mistake(amsbench(*generate, "f.extxyz"), "cannot write f.extxyz: it is a folder")
    mistake(amsbench("data", "build", "asi", "--samples", 1, "-o", "asi.zip"), "written as .npz, not '.zip'")
    mistake(amsbench("evaluate", "nowhere.xyz", "-d", "asio2", "--metrics", "sqq"), "unknown metric 'sqq'")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.extxyz", "file"]


def test_the_format_can_be_named(amsbench, mistake, frames, tmp_path):
    write(tmp_path / "a.txt", frames, format="extxyz")
    mistake(amsbench("picture", "a.txt", "-o", "a.png", "--format", "vaps"), "unknown format 'vaps'")
    code, _, err = amsbench("picture", "a.txt", "-o", "a.png", "--format", "extxyz", "--index", 2)
    assert code == 0, err
    assert "Read 12 structures from a.txt as extxyz" in err
    assert "Picture of structure 2 in a.txt: a.png" in err
    mistake(
        amsbench("picture", "a.txt", "-o", "a.png", "--format", "extxyz", "--index", 12), "--index 0 to 11"
    )
