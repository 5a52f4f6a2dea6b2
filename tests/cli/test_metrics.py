"""``amsbench metrics``, ``amsbench new-metric``, and metrics beside the standard ones."""

import importlib.util
import tomllib

import pytest
from ase.build import bulk
from ase.io import write

from amsbench.benchmark import registry
from amsbench.testing import check_metric


def test_all_metrics_are_listed_with_their_kind(amsbench):
    code, out, _ = amsbench("metrics")
    assert code == 0
    curves, numbers = out.split("numbers per structure:")
    assert "  sq " in curves
    assert "  density " in numbers
    for name in registry.names("metrics"):
        assert f"  {name} " in out


@pytest.mark.parametrize("name", ["sq", "energy", "ring_size"])
def test_a_metric_has_a_page(amsbench, name):
    code, out, _ = amsbench("metrics", name)
    metric = registry.load("metrics", name)
    assert code == 0
    flat = " ".join(out.split())
    for text in (metric.title, metric.rationale, metric.evidence, metric.direction, *metric.needs):
        assert " ".join(text.split()) in flat
    assert ("with --metrics sq" in flat) == (name == "sq")
    assert max(map(len, out.splitlines())) <= 100


def test_properties_of_datasets_have_the_unit_of_their_metric():
    for name in registry.names("datasets"):
        for item in registry.load("datasets", name).properties:
            assert registry.load("metrics", item.name).unit == item.unit


def test_structures_are_evaluated_with_further_metrics(amsbench, mistake, tmp_path):
    crystal = bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
    write(tmp_path / "crystal.extxyz", [crystal], format="extxyz")
    call = ("evaluate", "crystal.extxyz", "--dataset", "asi", "--cores", 1)
    code, out, err = amsbench(*call, "--metrics", "sq,coordination")
    assert code == 0, err
    assert "S(q) RMSD" in out
    assert "mean coordination_Si_Si: 4" in out
    mistake(
        amsbench(*call, "--metrics", "ring_size"), "'ring_size' is a property with targets", "--properties"
    )
    mistake(amsbench(*call, "--metrics", "sqq"), "unknown metric 'sqq'", "did you mean 'sq'")


def test_a_new_metric_keeps_to_the_contract(amsbench, mistake, tmp_path):
    code, _, err = amsbench("new-metric", "nearest-atom", "--output-dir", "own")
    assert code == 0, err
    folder = tmp_path / "own"
    assert not any("$" in path.read_text() for path in folder.iterdir())
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    entry = project["project"]["entry-points"]["amsbench.metrics"]
    assert entry == {"nearest-atom": "amsbench_nearest_atom:NearestAtomMetric"}
    spec = importlib.util.spec_from_file_location(
        "amsbench_nearest_atom", folder / "amsbench_nearest_atom.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.NearestAtomMetric.name == "nearest-atom"
    check_metric(module.NearestAtomMetric)
    mistake(amsbench("new-metric", "density"), "'density' is taken by a metric")
    mistake(amsbench("new-metric", "My metric"), "cannot be the name of a metric")
    mistake(amsbench("new-metric", "nearest-atom", "--output-dir", "own"), "is there already")
