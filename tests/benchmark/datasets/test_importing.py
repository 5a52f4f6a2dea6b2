"""Imported datasets: round trip, and input that is refused before anything is written."""

import math
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from amsbench.benchmark.api import evaluate
from amsbench.benchmark.datasets import inspection
from amsbench.benchmark.datasets.dataset import task_of
from amsbench.benchmark.datasets.definition import SimulationFailed
from amsbench.benchmark.datasets.imported import NO_CALCULATOR
from amsbench.benchmark.datasets.importing import import_structures
from amsbench.benchmark.datasets.storage import load_dataset, load_dataset_file
from amsbench.benchmark.system.structure_files import read_structures
from amsbench.errors import AmsbenchError
from amsbench.testing import check_dataset, synthetic_dataset


@pytest.fixture
def frames():
    """Eight structures of silicon and oxygen with a label."""
    dataset = synthetic_dataset(8)
    made = [dataset.atoms(k) for k in range(len(dataset))]
    for k, atoms in enumerate(made):
        atoms.info = {"toughness": 1.0 + 0.25 * k, "source": "nowhere"}
    return made


@pytest.fixture
def importing(tmp_path):
    """Function that writes frames to a file, imports it, and loads the dataset from its own file."""

    def call(frames, **options):
        write(tmp_path / "own.extxyz", frames, format="extxyz")
        output = tmp_path / "own.npz"
        import_structures(
            read_structures(tmp_path / "own.extxyz"), output, **({"name": "own-glass"} | options)
        )
        return load_dataset("own-glass", output)

    return call


def test_structures_and_labels_come_back(frames, importing, tmp_path):
    frames[2].info["toughness"] = math.nan
    dataset = importing(frames, properties=("toughness",), ghost_density=0.11)
    assert dataset.definition.elements == ("O", "Si")
    assert dataset.definition.ghost_density == 0.11
    for k, atoms in enumerate(frames):
        found = dataset.atoms(k)
        assert found.get_chemical_symbols() == atoms.get_chemical_symbols()
        np.testing.assert_allclose(found.cell.array, atoms.cell.array, atol=1e-5)
        apart = atoms.cell.scaled_positions(found.positions - atoms.positions)
        assert np.abs((apart - apart.round()) @ atoms.cell.array).max() < 1e-3
    assert np.isnan(dataset.properties[2, 0])
    labels = [atoms.info["toughness"] for atoms in frames]
    np.testing.assert_allclose(dataset.properties[:, 0], labels, equal_nan=True)
    assert task_of(dataset, ("toughness",)).properties == ("toughness",)
    assert dataset.provenance["recipe"] == "imported"
    assert dataset.provenance["file"] == "own.extxyz"
    assert inspection.info(dataset)["title"] == "imported structures of O, Si"
    assert inspection.verify(tmp_path / "own.npz")["samples"] == 8


def test_an_imported_dataset_is_a_sound_one(frames, importing):
    results = check_dataset(importing(frames, properties=("toughness",), ghost_density=0.11))
    assert [item.name for item in results if item.outcome != "passed"] == [
        "energies_finite",
        "simulations_repeat",
    ]


def test_what_cannot_be_measured_has_a_reason(frames, importing):
    definition = pickle.loads(pickle.dumps(importing(frames, properties=("toughness",)).definition))
    assert definition.measure(frames[0]).failures == {"toughness": NO_CALCULATOR}
    assert definition.measure(frames[0], ()).failures == {}
    with pytest.raises(AmsbenchError, match="no property 'hardness'"):
        definition.measure(frames[0], ("hardness",))
    with pytest.raises(SimulationFailed, match="own-glass"):
        definition.simulate("reduced", 0, 1)


def test_elements_in_the_order_asked_for(frames, importing):
    frames[1] = Atoms("Si20", positions=frames[1].positions[:20], cell=frames[1].cell, pbc=True)
    dataset = importing(frames, elements=("Si", "O"))
    assert dataset.definition.elements == ("Si", "O")
    assert set(dataset.subset(np.array([1])).species) == {0}


def test_left_handed_cells(frames, importing, tmp_path):
    for atoms in frames:
        atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    assert np.linalg.det(importing(frames).cells).max() < 0
    assert inspection.verify(tmp_path / "own.npz")["samples"] == 8


def no_cell(frames):
    frames[3].set_cell(np.zeros((3, 3)))


def open_boundary(frames):
    frames[3].pbc = (True, True, False)


def another_element(frames):
    symbols = frames[3].get_chemical_symbols()
    frames[3].set_chemical_symbols(["Ge", *symbols[1:]])


def no_element(frames):
    for atoms in frames:
        atoms.numbers[0] = 0


def one_structure(frames):
    del frames[1:]


def five_structures(frames):
    del frames[5:]


def lost_atom(frames):
    frames[3].positions[2, 1] = math.nan


def lost_cell(frames):
    frames[3].cell[1, 1] = math.nan


def no_label(frames):
    del frames[3].info["toughness"]


def label_of_text(frames):
    frames[3].info["toughness"] = "high"


def three_labels(frames):
    frames[3].info["toughness"] = np.array([1.0, 2.0, 3.0])


def infinite_label(frames):
    frames[3].info["toughness"] = math.inf


def one_label(frames):
    for atoms in frames[1:]:
        atoms.info["toughness"] = math.nan


def yes_as_a_label(frames):
    frames[3].info["toughness"] = True


def label_beyond_float32(frames):
    frames[3].info["toughness"] = -1e308


def a_copy(frames):
    frames[5] = frames[2].copy()


def atoms_at_one_place(frames):
    frames[3].positions[4] = frames[3].positions[9] + 1e-12


def lengths_in_nanometres(frames):
    for atoms in frames:
        atoms.set_cell(atoms.cell.array / 10, scale_atoms=True)


def equal_labels(frames):
    for atoms in frames:
        atoms.info["toughness"] = 3.0


def nothing(frames):
    pass


LABELLED = {"properties": ("toughness",)}


@pytest.mark.parametrize(
    ("harm", "options", "words"),
    [
        (no_cell, {}, "structure 3 in .*own.extxyz has no periodic cell"),
        (open_boundary, {}, "structure 3 in .* is periodic along 2 of its 3 lattice vectors only"),
        (another_element, {}, "structure 3 .* Ge, O, Si, structure 0 O, Si; .* --elements"),
        (another_element, {"elements": ("Si", "O")}, "structure 3 .* has Ge, which --elements Si,O does not"),
        (no_element, {}, r"no element \(X\)"),
        (one_structure, {}, "has 1 structure; 6 are needed"),
        (five_structures, {}, "has 5 structures; 6 are needed"),
        (lost_atom, {}, "structure 3 .* not finite"),
        (lost_cell, {}, "structure 3 .* a cell that are not finite numbers"),
        (no_label, LABELLED, "structure 3 .* has no 'toughness' in its info, which holds source; write nan"),
        (label_of_text, LABELLED, "structure 3 .* that is no number: 'high'"),
        (three_labels, LABELLED, "structure 3 .* that is no number"),
        (infinite_label, LABELLED, "structure 3 .* an infinite 'toughness'"),
        (yes_as_a_label, LABELLED, "structure 3 .* that is no number: .*True"),
        (label_beyond_float32, LABELLED, "structure 3 .* an infinite 'toughness'"),
        (
            a_copy,
            LABELLED,
            r"structure 5 in .* is the same as structure 2 in .* \(1 of 8 are copies\); leave one",
        ),
        (atoms_at_one_place, {}, "structure 3 in .* has two atoms closer than 0.5 A"),
        (lengths_in_nanometres, {}, "give .* in angstrom"),
        (
            nothing,
            {"group": "melt"},
            "structure 0 .* has no 'melt' in its info, which holds toughness, source; give",
        ),
        (nothing, {"group": "source"}, "has 1 group by 'source'; 3 are needed"),
        (one_label, LABELLED, "'toughness' has [01] labels in the training split"),
        (equal_labels, LABELLED, "'toughness' is 3 in all of the training split"),
        (nothing, {"name": "asio2"}, "'asio2' is taken"),
        (nothing, {"name": "My Glass"}, "'My Glass' cannot be the name"),
        (nothing, {"name": "../glass"}, "'../glass' cannot be the name"),
        (nothing, {"properties": ("density",)}, "'density' is what amsbench calls a column of its own"),
        (nothing, {"properties": ("target_hardness",)}, "'target_hardness' is what"),
        (nothing, {"properties": ("a-b",)}, "'a-b' cannot be the name of a property"),
        (nothing, {"properties": ("toughness", "toughness")}, "twice: toughness, toughness"),
        (nothing, {"elements": ("Si", "O", "Na")}, "no structure .* has Na"),
        (nothing, {"elements": ("Si", "Oxygen")}, "'Oxygen' is no chemical symbol"),
        (nothing, {"elements": ("Si", "O", "O")}, "an element twice"),
        (nothing, {"ghost_density": 0.05}, "no room for ghosts at 0.05; raise --ghost-density"),
        (nothing, {"ghost_density": math.nan}, "a ghost density is above 0"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_could_not_be_trained_on_is_refused(frames, importing, tmp_path, harm, options, words):
    harm(frames)
    with pytest.raises(AmsbenchError, match=words):
        importing(frames, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["own.extxyz"]


@pytest.mark.parametrize("melts", [3, 4, 5, 6])
def test_frames_of_one_simulation_come_into_one_split(importing, melts):
    dataset = synthetic_dataset(24)
    frames = [dataset.atoms(k) for k in range(24)]
    for k, atoms in enumerate(frames):
        atoms.info = {"melt": f"melt {k % melts}"}
    imported = importing(frames, group="melt")
    assert imported.provenance["group"] == "melt"
    assert set(imported.splits) == {0, 1, 2}
    assert len(set(imported.groups)) == melts
    for melt in range(melts):
        rows = np.arange(24) % melts == melt
        assert len(set(imported.groups[rows])) == len(set(imported.splits[rows])) == 1


def test_a_folder_of_files_is_one_dataset(frames, tmp_path):
    folder = tmp_path / "glasses"
    folder.mkdir()
    for k, atoms in enumerate(frames):
        write(folder / f"{k}.extxyz", atoms)
    dataset = import_structures(read_structures(folder), tmp_path / "own.npz", name="own-glass")
    assert len(dataset) == 8
    assert dataset.provenance["file"] == "glasses"
    before = dataset.provenance["sha256"]
    frames[0].positions[0] += 0.1
    write(folder / "0.extxyz", frames[0])
    (tmp_path / "own.npz").unlink()
    changed = import_structures(read_structures(folder), tmp_path / "own.npz", name="own-glass")
    assert changed.provenance["sha256"] != before


def test_no_property_has_the_name_of_a_column_or_key_of_the_benchmark(tmp_path):
    """Reserved are the columns of an evaluation's table and the keys of exported structures."""
    dataset = synthetic_dataset(8, formal_charges={"Si": 4, "O": -2})
    frames = [dataset.atoms(k) for k in range(2)]
    write(tmp_path / "own.extxyz", frames, format="extxyz")
    structures = read_structures(tmp_path / "own.extxyz")
    names = dataset.property_names
    table = evaluate(
        frames, dataset, targets={name: [1.0, 2.0] for name in names}, metrics=("coordination",)
    ).table
    columns = {*table.columns, *frames[0].info, "structure"} - set(names)
    expected = {
        "charge",
        "energy_per_atom",
        "group",
        "coordination_Si_O",
        f"target_{names[0]}",
        f"{names[0]}_failure",
    }
    assert expected <= columns
    for column in columns:
        with pytest.raises(AmsbenchError, match=f"'{column}' is what amsbench calls a column of its own"):
            import_structures(structures, tmp_path / "own.npz", name="own-glass", properties=(column,))
    assert not (tmp_path / "own.npz").exists()


def test_nothing_is_overwritten(frames, importing, tmp_path):
    importing(frames)
    before = (tmp_path / "own.npz").read_bytes()
    with pytest.raises(AmsbenchError, match=r"own\.npz is there already"):
        importing(frames, properties=("toughness",))
    assert (tmp_path / "own.npz").read_bytes() == before


def test_files_that_hold_no_structures(tmp_path):
    for name, text in (("none.extxyz", None), ("prose.extxyz", "once upon a time\n"), ("empty.extxyz", "")):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(AmsbenchError, match=name):
            import_structures(read_structures(tmp_path / name), tmp_path / "own.npz", name="own-glass")
    assert not (tmp_path / "own.npz").exists()


def test_names_of_files_and_datasets(frames, importing, tmp_path):
    importing(frames)
    with pytest.raises(AmsbenchError, match="holds the dataset 'own-glass', not 'asi'"):
        load_dataset("asi", tmp_path / "own.npz")
    with pytest.raises(AmsbenchError, match=r"unknown dataset 'own-glass' .*--data"):
        load_dataset("own-glass")


def test_a_definition_of_another_version(frames, importing, tmp_path, monkeypatch):
    from amsbench.benchmark.datasets.imported import ImportedStructures

    data = importing(frames).definition.to_json()
    monkeypatch.setattr(ImportedStructures, "to_json", lambda self: data | {"colour": "green"})
    (tmp_path / "own.npz").unlink()
    with pytest.raises(AmsbenchError, match="'own-glass' was imported by another version"):
        importing(frames)
    with pytest.raises(AmsbenchError, match="import it again"):
        load_dataset_file(tmp_path / "own.npz")
