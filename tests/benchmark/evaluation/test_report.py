"""What ``amsbench evaluate`` prints about properties, copies and failures."""

import numpy as np
import pytest

from amsbench.benchmark.datasets.definition import Measurement
from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.evaluation.report import (
    FAILURES_SHOWN,
    failure_lines,
    report_lines,
    reservations,
    write_table,
)
from amsbench.benchmark.system.structure_files import read_structures, write_frames
from amsbench.errors import AmsbenchError


@pytest.fixture
def scored(tiny_asio2, monkeypatch, tmp_path):
    """Function that reads and scores structures whose ring size is 4, 5, 6, ... in their order."""
    definition = type(tiny_asio2.definition)

    def measure(self, atoms, names):
        return Measurement(values=dict.fromkeys(names, 4.0 + atoms.info["number"]))

    monkeypatch.setattr(definition, "measure", measure)
    monkeypatch.setattr(definition, "energy", lambda self, atoms: (-6.5, 0.1))

    def score(frames):
        for k, frame in enumerate(frames):
            frame.info = {"number": k}
        write_frames(tmp_path / "a.extxyz", frames)
        structures = read_structures(tmp_path / "a.extxyz")
        return structures, evaluate_structures(
            structures, Reference(tiny_asio2), properties=("ring_size",), curves=()
        )

    return score


def test_a_requested_property_has_its_mean_and_unit(scored, tiny_asio2):
    _, evaluation = scored([tiny_asio2.atoms(k) for k in range(3)])
    lines = list(report_lines(evaluation, ("ring_size",)))
    assert lines[0] == "3 structures against dataset 'asio2' (data 000000000000)"
    assert "ring_size: mean 5 +- 1 Si atoms, 3 of 3 measured" in lines


def test_the_distance_of_environments_stands_beside_that_of_held_out_structures(scored, tiny_asio2):
    _, evaluation = scored([tiny_asio2.atoms(k) for k in tiny_asio2.indices("test")])
    held_out = evaluation.reference.material(relaxed=False).limits.held_out_environment_distance
    (line,) = (line for line in report_lines(evaluation) if line.startswith("distance of environments"))
    assert line.endswith(f"held-out structures {held_out:.3f} Å")
    # these are the held-out structures
    assert evaluation.descriptors["environment_distance"] == pytest.approx(held_out, rel=0.1)


def test_every_failure_is_named_up_to_a_number_of_them(scored, tiny_asio2):
    frames = [tiny_asio2.atoms(k) for k in range(FAILURES_SHOWN + 4)]
    for frame in frames[1:]:
        frame.positions[0, 0] = np.nan
    structures, evaluation = scored(frames)
    lines = list(failure_lines(structures, evaluation))
    assert len(lines) == FAILURES_SHOWN + 1
    assert lines[0].startswith("Failed: structure 1 in ")
    assert lines[0].endswith("a.extxyz has positions or a cell that are not finite numbers")
    assert lines[-1].startswith("Failed: 3 more")
    assert "1 of 14 measured" in "".join(report_lines(evaluation, ("ring_size",)))


def test_copies_are_a_reservation(scored, tiny_asio2):
    structures, _ = scored([tiny_asio2.atoms(0), tiny_asio2.atoms(1)])
    assert not list(reservations(structures))
    structures, _ = scored([tiny_asio2.atoms(0), tiny_asio2.atoms(0), tiny_asio2.atoms(0)])
    (line,) = reservations(structures)
    assert line.startswith("Warning: only 1 of the 3 structures are different")


def test_a_table_has_the_format_of_its_name(scored, tiny_asio2, tmp_path):
    _, evaluation = scored([tiny_asio2.atoms(0)])
    write_table(evaluation.table, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().startswith("structure,atoms")
    with pytest.raises(AmsbenchError, match=r"as \.csv or \.parquet, not '\.json'"):
        write_table(evaluation.table, tmp_path / "t.json")
