"""Structures of which nothing can be measured: counted failures, whatever is wrong with them."""

import numpy as np
import pytest

from amsbench.benchmark.datasets.definition import Measurement, RelaxedStructure
from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.errors import AmsbenchError


def lost_position(atoms):
    atoms.positions[1, 2] = np.nan


def lost_cell(atoms):
    atoms.cell[1, 1] = np.inf


def flat_cell(atoms):
    atoms.cell[2] = atoms.cell[1]


def no_cell(atoms):
    atoms.set_cell(np.zeros((3, 3)))


def open_boundary(atoms):
    atoms.pbc = (True, True, False)


def other_element(atoms):
    atoms.symbols[3] = "Na"


def no_element(atoms):
    atoms.numbers[3] = 0


FAULTS = {
    lost_position: "has positions or a cell that are not finite numbers",
    lost_cell: "has positions or a cell that are not finite numbers",
    flat_cell: "has a cell without a sensible volume",
    no_cell: "has no periodic cell",
    open_boundary: "is periodic along 2 of its 3",
    other_element: "has Na, which dataset 'asio2' does not; its elements are Si, O",
    no_element: "has an atom of no element",
}


def unrelaxed(self, atoms):
    """Stands for a relaxation, which takes long."""
    return RelaxedStructure(atoms=atoms, energy_per_atom=-6.5)


@pytest.fixture
def frames(tiny_asio2):
    return [tiny_asio2.atoms(k) for k in range(4)]


@pytest.fixture
def measured(tiny_asio2, monkeypatch):
    """The dataset with a ring size of 5 for every structure, and without its potential, which takes long."""
    definition = type(tiny_asio2.definition)
    ring_size = Measurement(values={"ring_size": 5.0})
    monkeypatch.setattr(
        definition, "measure", lambda self, atoms, names: ring_size if names else Measurement()
    )
    monkeypatch.setattr(definition, "energy", lambda self, atoms: (-6.5, 0.1))
    monkeypatch.setattr(definition, "relax", unrelaxed)
    return Reference(tiny_asio2)


@pytest.mark.parametrize("harm", FAULTS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("kind", [list, iter])
def test_a_bad_structure_is_a_failure_and_the_others_are_scored(frames, measured, harm, kind):
    sound = evaluate_structures([frames[0], *frames[2:]], measured, properties=("ring_size",))
    harm(frames[1])
    targets = {"ring_size": np.full(4, 5.5)}
    evaluation = evaluate_structures(kind(frames), measured, targets=targets)
    assert evaluation.structural == sound.structural
    # with targets there are also those of the relaxed structures
    assert {name: evaluation.descriptors[name] for name in sound.descriptors} == sound.descriptors
    ((reason, number),) = evaluation.failures["structure"].items()
    assert number == 1
    assert reason.startswith(FAULTS[harm])
    table = evaluation.table
    assert table["structure_failure"].notna().tolist() == [False, True, False, False]
    assert table["ring_size_failure"][1] == reason
    assert np.isnan(table["ring_size"][1])
    assert np.isnan(table["density"][1])
    errors = evaluation.inverse_design["ring_size"]
    assert (errors.requested, errors.measured) == (4, 3)
    assert errors.mae == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [list, iter])
def test_bad_structures_alone_are_refused(frames, measured, kind):
    for frame in frames:
        frame.positions[0, 0] = np.nan
    with pytest.raises(AmsbenchError, match="structure 0 has positions or a cell that are not finite"):
        evaluate_structures(kind(frames), measured)


def test_an_empty_cell_is_a_failure_that_counts_in_the_curves(frames, measured):
    """It has g(r) = 0, so that a model that leaves every second cell empty does not score as if it had not."""
    evaluation = evaluate_structures([frames[0], frames[1][:0]], measured)
    assert evaluation.failures["structure"] == {"has no atoms": 1}
    assert evaluation.descriptors["atoms"] == len(frames[0]) / 2
    alone = evaluate_structures([frames[0]], measured)
    rdf, of_one = (item.structural.curves["rdf"] for item in (evaluation, alone))
    assert rdf.rmsd > of_one.rmsd


def test_sound_structures_have_no_column_of_failures(frames, measured):
    assert "structure_failure" not in evaluate_structures(frames, measured).table
