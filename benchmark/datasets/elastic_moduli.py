"""Elastic moduli of glasses as labels, or the reasons why they cannot be measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ...metrics.potentials.potential import EvaluationFailed, Potential
from .definition import Measurement, RelaxationFailure, RelaxedStructure, relaxed_structure

if TYPE_CHECKING:
    from ase import Atoms

    from ...metrics.elasticity.finite_strain import ElasticConstants

STRAINS = {"shear_modulus": (3, 4, 5), "youngs_modulus": (0, 1, 2)}
"""The Voigt strains that each modulus needs."""


def moduli(atoms: Atoms, potential: Potential, names: set[str]) -> Measurement:
    """Named moduli (GPa) by finite strains: relax, strain, relax the atoms again; three strains for each modulus."""
    # imported here, because ASE's optimizers take a second to import and listing the datasets does not need them
    from ...metrics.elasticity.finite_strain import elastic_constants, relax
    from ...metrics.potentials.lammps_calculator import LammpsCalculator

    components = [axis for name, axes in STRAINS.items() if name in names for axis in axes]
    with LammpsCalculator(potential) as calculator:
        try:
            relaxation = relax(atoms, calculator)
            if not relaxation.converged:
                return not_relaxed(names, "relaxation did not converge")
            elastic = elastic_constants(relaxation.atoms, calculator, components=components)
        except EvaluationFailed as error:
            return not_relaxed(names, f"relaxation broke down: {error}")
    relaxed = relaxed_structure(relaxation)
    if not elastic.converged:
        return failed(names, "relaxation in a strained cell did not converge", relaxed)
    return moduli_of(elastic, names, relaxed)


def moduli_of(
    elastic: ElasticConstants, names: Iterable[str], relaxed: RelaxedStructure | None = None
) -> Measurement:
    """Named moduli (GPa) of elastic constants; failures where the constants are those of an unstable structure.

    relaxed: the structure that the constants are of
    """
    values, failures = {}, {}
    if "shear_modulus" in names:
        if np.all(np.diag(elastic.stiffness)[3:] > 0):
            values["shear_modulus"] = elastic.c44
        else:
            failures["shear_modulus"] = "shear constant is not positive"
    if "youngs_modulus" in names:
        if elastic.c11 > abs(elastic.c12):
            values["youngs_modulus"] = elastic.youngs_modulus
        else:
            failures["youngs_modulus"] = "C11 is not larger than C12"
    return Measurement(values=values, failures=failures, relaxed=relaxed)


def failed(names: Iterable[str], reason: str, relaxed: RelaxedStructure | None = None) -> Measurement:
    """Measurement without values: all named properties failed for one reason.

    relaxed: the relaxed structure, if the relaxation itself succeeded
    """
    return Measurement(failures=dict.fromkeys(names, reason), relaxed=relaxed)


def not_relaxed(names: Iterable[str], reason: str) -> Measurement:
    """Measurement without values, since the relaxation failed."""
    return Measurement(failures=dict.fromkeys(names, reason), relaxed=RelaxationFailure(reason=reason))
