"""The tables that ``amsbench run`` prints at its end."""

from amsbench.benchmark import registry
from amsbench.testing import SyntheticGlass


def test_a_dataset_with_structure_and_inverse_design_shows_a_table_of_each(amsbench, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_LOCAL", {})
    registry.register("datasets", "synthetic", SyntheticGlass, "here")
    data = ("--dataset", "synthetic", "--data", "glass.npz")
    assert (
        amsbench("data", "build", "synthetic", "--samples", 16, "--output-file", "glass.npz", "--cores", 1)[0]
        == 0
    )
    small = ("--samples", 4, "--cores", 1, "--set", 'network={"hidden": 32, "layers": 1}')
    assert amsbench("train", "--method", "material-sde", *data, *small)[0] == 0
    short = ("--steps", "1", "--count", 2, "--samplers", "ode", "--cores", 1)
    code, out, err = amsbench("run", "--method", "material-sde", *data, *short)
    assert code == 0, err
    assert out.count("Structure: synthetic") == 1
    assert sum(line.startswith("Inverse design") for line in out.splitlines()) == 1
