"""Structures and scores in notebooks: what is shown is what the objects hold, without scripts from a network."""

import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import amsbench
from amsbench.benchmark.display.structure_view import MOST_STRUCTURES, PLOTLY_TYPE
from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.errors import AmsbenchError


def diamond(**info):
    atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
    atoms.info |= info
    return atoms


def test_a_view_draws_every_atom_bond_and_edge_of_the_cell():
    figure = amsbench.view(diamond()).figure()
    cell, bonds, silicon = figure.data
    assert len(silicon.x) == 64
    assert silicon.name == "Si (64)"
    lengths = np.linalg.norm(
        np.diff(np.array([bonds.x, bonds.y, bonds.z], dtype=float).T.reshape(-1, 3, 3)[:, :2], axis=1), axis=2
    )
    assert len(lengths) == 128
    assert lengths == pytest.approx(5.43 * np.sqrt(3) / 4, abs=0.02)
    edges = np.array([cell.x, cell.y, cell.z], dtype=float).T.reshape(-1, 3, 3)
    assert len(edges) == 12
    assert np.linalg.norm(edges[:, 0] - edges[:, 1], axis=1) == pytest.approx(10.86)


def test_one_structure_is_shown_at_a_time_and_named_with_its_targets():
    view = amsbench.view([diamond(target_shear_modulus=30.0), diamond()])
    figure = view.figure()
    assert [trace.visible for trace in figure.data] == [True] * 3 + [False] * 3
    first, second = figure.layout.updatemenus[0].buttons
    assert first.label == "1 of 2: Si64, 2.33 g/cm³, shear_modulus 30"
    assert second.args[0]["visible"] == [False] * 3 + [True] * 3
    assert len(view._repr_mimebundle_()[PLOTLY_TYPE]["data"]) == 6


def test_a_view_has_few_structures_and_only_those_that_can_be_drawn():
    broken = diamond()
    broken.positions[3] = np.nan
    view = amsbench.view([broken, *[diamond() for _ in range(MOST_STRUCTURES + 5)]])
    assert repr(view) == f"StructureView of {MOST_STRUCTURES} of {MOST_STRUCTURES + 6} structures"
    with pytest.raises(AmsbenchError, match="none of the 2 structures can be drawn"):
        amsbench.view([broken, Atoms()])


def test_without_plotly_a_notebook_has_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    text = amsbench.view(diamond())._repr_mimebundle_()["text/plain"]
    assert "pip install 'amsbench[page]'" in text


def test_structures_of_a_file_show_themselves(tmp_path):
    diamond().write(tmp_path / "glass.extxyz")
    structures = amsbench.read_structures(tmp_path / "glass.extxyz")
    assert structures._repr_mimebundle_()["text/plain"] == "StructureView of 1 of 1 structures"


def test_an_evaluation_shows_its_scores_and_curves():
    evaluation = amsbench.evaluate([diamond(), diamond()], "asi")
    text = evaluation._repr_html_()
    assert f"RDF RMSD {evaluation.structural.curves['rdf'].rmsd:.5f}" in text
    svg = text[text.index("<svg") : text.index("</svg>") + 6]
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "<script" not in text
    assert "the noise of as many as these" in text


def test_an_evaluation_without_curves_has_no_chart(tiny_asio2):
    glass = tiny_asio2.split("test").atoms(0)
    reference = Reference(tiny_asio2)
    evaluation = evaluate_structures([glass], reference, targets={"ring_size": np.array([5.0])}, curves=())
    text = evaluation._repr_html_()
    assert "ring_size: MAE" in text
    assert "<svg" not in text
