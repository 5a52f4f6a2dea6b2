"""The elements of LAMMPS' atom types: by masses that only one element has, by labels, by the user, and by no guess."""

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from amsbench.benchmark.system.lammps_files import LIGHTEST, element_of_mass, element_table
from amsbench.errors import AmsbenchError


@pytest.mark.parametrize(
    ("mass", "symbol"),
    [
        *[(28.0855, "Si"), (28.085, "Si"), (28.06, "Si"), (15.999, "O"), (16.0, "O"), (26.98, "Al"), (27.0, "Al")],
        *[(6.94, "Li"), (6.941, "Li"), (10.81, "B"), (22.99, "Na"), (40.08, "Ca"), (39.1, "K"), (63.546, "Cu")],
        *[(58.933, "Co"), (58.69, "Ni"), (72.63, "Ge"), (127.6, "Te"), (126.9, "I"), (207.2, "Pb")],
    ],
)  # fmt: skip
def test_masses_as_people_write_them_name_their_element(mass, symbol):
    assert element_of_mass(mass) == atomic_numbers[symbol]


@pytest.mark.parametrize(
    "mass", [1.0, 1.008, 2.0, 4.0, 4.0026, 5.0, 40.0, 59.0, 0.0, -28.0855, 100.0, np.nan]
)
def test_masses_of_reduced_units_and_of_two_elements_name_none(mass):
    """1 and 4 are common in reduced units; 40 is argon as well as calcium, 59 cobalt as well as nickel."""
    assert element_of_mass(mass) == 0


def test_the_mass_of_every_element_names_it_or_none():
    named = [n for n in range(1, 104) if element_of_mass(float(atomic_masses[n]))]
    assert all(element_of_mass(float(atomic_masses[n])) == n for n in named)
    heavy = [n for n in range(3, 84) if atomic_masses[n] > LIGHTEST]
    missing = {chemical_symbols[n] for n in heavy if n not in named}
    assert missing <= {"Tc", "Pm", "Po"}  # whole numbers in the table, which other elements come close to


def test_what_names_a_type_has_to_agree():
    assert element_table(2, {}, {}, ("Si", "O"), "a").tolist() == [0, 14, 8]
    assert element_table(2, {1: 28.0855, 2: 15.999}, {}, (), "a").tolist() == [0, 14, 8]
    assert element_table(2, {1: 1.0, 2: 1.0}, {1: "Si", 2: "O"}, (), "a").tolist() == [0, 14, 8]
    assert element_table(2, {1: 28.0855}, {2: "O"}, (), "a").tolist() == [0, 14, 8]
    assert element_table(2, {1: 28.0855}, {1: "tetrahedral"}, ("Si", "O"), "a").tolist() == [0, 14, 8]
    for masses, labels, types, words in [
        ({1: 28.0855, 2: 15.999}, {}, ("O", "Si"), "type 1 in a is O and Si at once"),
        ({1: 28.0855, 2: 15.999}, {1: "Ge"}, (), "type 1 in a is Ge and Si at once"),
        ({1: 28.0855}, {}, (), "does not say which element type 2 is; name"),
        ({1: 28.0855, 2: 1.0}, {}, (), r"which element type 2 is \(a mass of 1 names none\)"),
        ({}, {}, ("Si",), "a has atoms of type 2, but --types Si names 1"),
        ({}, {}, ("Si", "Ox"), "'Ox' is no chemical symbol"),
    ]:
        with pytest.raises(AmsbenchError, match=words):
            element_table(2, masses, labels, types, "a")
