"""The table of the spread between trainings is that of the stored ones, with numbers that are known by hand."""

import numpy as np
import pytest


@pytest.fixture
def study(script):
    return script("studies/training_seeds.py")


def row(seed, rdf, half, energy):
    curves = {name: {"rmsd": rdf, "low": rdf - half, "high": rdf + half} for name in ("rdf", "adf")}
    place = {"method": "cdvae", "sampler": "langevin", "steps": 25, "seed": seed}
    return place | curves | {"energy_deviation": energy}


def test_a_cell_has_mean_and_spread_of_the_trainings_and_the_interval_of_one(study):
    """Mean of 0.1, 0.2 and 0.3, standard deviation 0.1; intervals of +- 0.02, 0.03 and 0.04."""
    rows = [row(0, 0.1, 0.02, 3.0), row(1, 0.2, 0.03, 1.0), row(2, 0.3, 0.04, 2.0)]
    (line,) = study.table(rows).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["`cdvae` langevin", "25", "3", "0.2000 \u00b1 0.1000 (0.0300)"]
    assert cells[-1] == "1.0 to 3.0"


def test_one_training_has_no_spread(study):
    assert "| 0.1000 (0.0200) " in study.table([row(0, 0.1, 0.02, 3.0)])


def test_the_page_has_the_table_of_the_stored_trainings(study):
    assert study.STORED.is_on_page(study.table(study.stored())), (
        "run: python docs/studies/training_seeds.py table"
    )


def test_every_method_is_trained_three_times(study):
    trainings = {(row["method"], row["seed"]) for row in study.stored()}
    assert trainings == {(method, seed) for method in study.RATES for seed in study.SEEDS}
    assert len({row["checkpoint"] for row in study.stored()}) == len(trainings)


def test_what_the_page_says_of_the_trainings(study):
    errors, energies = {}, []
    for row in study.stored():
        errors.setdefault((row["method"], row["steps"]), []).append(row["rdf"]["rmsd"])
        if row["steps"] == 25:
            energies.append((row["energy_deviation"], row["method"]))
    spreads = {key: np.std(values, ddof=1) / np.mean(values) for key, values in errors.items()}
    for method in study.RATES:
        for steps in (5, 25):
            if method in ("cdvae", "graphite"):
                assert spreads[method, steps] < 0.04
            else:
                assert 0.025 <= spreads[method, steps] < 0.225
    for method in ("material-ode", "mattergen"):
        assert 2.5 < max(errors[method, 1]) / min(errors[method, 1]) < 3.5
    others = [key for key in errors if key[0] != "amshortcut"]
    assert max(errors["amshortcut", 5]) < min(min(errors[key]) for key in others if key[1] == 5)
    means = {key[0]: np.mean(values) for key, values in errors.items() if key[1] == 25}
    assert min(means, key=means.get) == "amshortcut"
    assert max(errors["amshortcut", 25]) > min(errors["mattergen", 25])
    best = sorted(energies)[:3]
    assert {method for _, method in best} == {"mattergen"}
    assert 6.5 < best[0][0] < best[-1][0] < 8.5
