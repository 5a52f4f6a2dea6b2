"""Classes of elements: one for each, and those of the bundled materials."""

import numpy as np
import pytest
from ase.build import bulk
from ase.data import chemical_symbols

from amsbench.benchmark.datasets.meg_compositions import FORMERS, MODIFIERS
from amsbench.errors import AmsbenchError
from amsbench.metrics.neighbours.packed import PackedStructures
from amsbench.metrics.network.element_classes import atoms_of, classes_in, element_class, symbols_of


def test_every_element_has_one_class():
    classes = [symbols_of(name) for name in ("anion", "former", "modifier")]
    assert sum(map(len, classes)) == len(chemical_symbols) - 1
    assert frozenset().union(*classes) == set(chemical_symbols[1:])


def test_the_classes_are_those_of_the_recipe_of_meg():
    assert {element_class(symbol) for symbol in FORMERS} == {"former"}
    assert {element_class(symbol) for symbol in MODIFIERS} == {"modifier"}
    assert element_class("O") == "anion"


def test_a_material_has_the_classes_of_its_elements():
    assert classes_in(("Si",)) == {"former"}
    assert classes_in(("Si", "O")) == {"former", "anion"}
    assert classes_in(("Mg", "O")) == {"modifier", "anion"}


def test_atoms_are_selected_by_element():
    packed = PackedStructures.from_atoms([bulk("NaCl", "rocksalt", a=5.64), bulk("Si")])
    assert atoms_of(packed, {"Cl", "Si"}).tolist() == [False, True, True, True]


def test_points_without_species_have_no_classes():
    points = PackedStructures(positions=np.zeros((1, 3)), cells=np.eye(3)[None] * 5, counts=np.array([1]))
    with pytest.raises(AmsbenchError, match="without atomic numbers"):
        atoms_of(points, {"Si"})
