"""The commands for people who bring something of their own: methods and their cards, structures, new methods."""

import tomllib
from pathlib import Path

import pytest

from amsbench.methods.amshortcut import AMShortcut
from amsbench.testing import check_method, synthetic_dataset

SMALL = 'network={"hidden":16,"layers":1,"channels":2,"cutoff":4.0}'


@pytest.fixture
def own_structures(tmp_path):
    """A file of 16 structures of silicon and oxygen with a label each."""
    from ase.io import write

    dataset = synthetic_dataset(16)
    frames = [dataset.atoms(k) for k in range(16)]
    for k, atoms in enumerate(frames):
        atoms.info = {"toughness": 1.0 + 0.1 * k}
    write(tmp_path / "own.extxyz", frames, format="extxyz")
    return Path("own.extxyz")


@pytest.mark.parametrize("width", [60, 100])
def test_a_method_shows_its_card(amsbench, monkeypatch, width):
    """Everything that the card says is there, in lines that fit."""
    from amsbench.cli.plugins import method_lines

    monkeypatch.setattr("amsbench.cli.plugins.terminal_width", lambda: width)
    code, out, _ = amsbench("methods", "amshortcut")
    assert code == 0
    assert max(map(len, out.splitlines())) <= width
    text = " ".join(out.split())
    card = AMShortcut.card
    for said in (card.reference, card.original, *card.kept, *card.replaced, *card.declared):
        assert " ".join(said.split()) in text
    for name, value in (*card.evaluations.items(), *card.hyperparameters.items()):
        assert f"{name} {value}" in text
    for name in AMShortcut.networks:
        assert name in text

    class Own(AMShortcut):
        card = None

    lines = list(method_lines(Own))
    assert any("no card" in line for line in lines)
    assert [line.split()[0] for line in lines[-len(Own.samplers) :]] == [
        sampler.name for sampler in Own.samplers
    ]
    code, out, _ = amsbench("methods")
    assert code == 0
    assert len([line for line in out.splitlines() if line.startswith(("  amshortcut", "  material-"))]) == 3
    baselines = out.split("\nnon-learned baselines\n")[1]
    assert [line.split()[0] for line in baselines.splitlines()] == [
        *("nearest-training", "random-relax", "simulation", "training-mean"),
    ]


@pytest.mark.parametrize("ghosts", [False, True])
def test_own_structures_from_import_to_table(amsbench, own_structures, tmp_path, ghosts):
    from ase.io import read

    more = ("--properties", "toughness", "--ghost-density", "0.11") if ghosts else ()
    code, _, err = amsbench("data", "import", own_structures, "--name", "own-glass", *more)
    assert code == 0, err
    assert "16 structures of O, Si in own-glass.npz" in err
    assert "--dataset own-glass --data own-glass.npz" in err
    data = ("--dataset", "own-glass", "--data", "own-glass.npz")
    small = ("--samples", 16, "--cores", 1, "--set", SMALL)
    code, _, err = amsbench("train", "--method", "material-sde", *data, *small)
    assert code == 0, err
    trained = ("--method", "material-sde", "--checkpoint", "runs/material-sde-own-glass/best.safetensors")
    short = ("--protocol", "quick", "--steps", "1,2", "--count", 4, "--cores", 1)
    code, out, err = amsbench("run", *trained, *data, *short)
    assert code == 0, err
    assert "Structure: own-glass" in out
    assert len(list((tmp_path / "results" / "own-glass").glob("*.json"))) == 2, (
        "the strongest sampler at two step counts"
    )
    target = ("--target", "toughness=1.5") if ghosts else ()
    made = ("--count", 2, "--steps", 2, "--output-file", "made.extxyz", "--cores", 1)
    code, _, err = amsbench("generate", *trained, *data, *target, *made)
    assert code == 0, err
    asked = ("--target-keys", "target_toughness") if ghosts else ()
    code, out, err = amsbench("evaluate", "made.extxyz", *data, *asked, "--cores", 1)
    assert code == 0, err
    assert "RDF RMSD" in out
    assert "energy not measured on 2 of 2: no potential made these data" in out
    assert ("toughness not measured on 2 of 2: imported property: no calculator" in out) == ghosts
    counts = [len(frame) for frame in read(tmp_path / "own.extxyz", index=":")]
    if not ghosts:
        assert {len(frame) for frame in read(tmp_path / "made.extxyz", index=":")} <= set(counts)
    code, out, err = amsbench("data", "info", "own-glass", "--data", "own-glass.npz")
    assert code == 0, err
    assert "16 samples" in out
    assert amsbench("data", "verify", "own-glass.npz")[0] == 0
    assert amsbench("table", "--detail")[0] == 0


def test_mistakes_with_own_structures(amsbench, mistake, own_structures, tmp_path):
    """Each is one sentence; nothing is written."""
    named = ("data", "import", own_structures, "--name")
    mistake(amsbench(*named, "asio2"), "'asio2' is taken")
    mistake(amsbench(*named, "Own Glass"), "'Own Glass'", "my-glass")
    mistake(amsbench(*named, "own-glass", "--properties", "hardness"), "'hardness'", "which holds toughness")
    mistake(amsbench(*named, "own-glass", "--ghost-density", "0.01"), "0.01", "--ghost-density")
    mistake(amsbench(*named, "own-glass", "--elements", "Si"), "structure 0", "has O", "--elements Si")
    mistake(amsbench("data", "import", "none.extxyz", "--name", "own-glass"), "none.extxyz")
    assert [path.name for path in tmp_path.iterdir()] == ["own.extxyz"]
    assert amsbench(*named, "own-glass")[0] == 0
    mistake(amsbench(*named, "own-glass"), "own-glass.npz is there already")
    run = ("run", "--method", "amshortcut", "--dataset")
    mistake(amsbench(*run, "own-glass"), "unknown dataset 'own-glass'", "--data")
    mistake(amsbench(*run, "asi", "--data", "own-glass.npz"), "'own-glass'", "'asi'")


def test_a_new_method_keeps_to_the_contract(amsbench, tmp_path):
    import importlib.util

    code, _, err = amsbench("new-method", "my-first-try", "--output-dir", "packages/own")
    assert code == 0, err
    folder = tmp_path / "packages" / "own"
    names = ("README.md", "amsbench_my_first_try.py", "pyproject.toml", "test_my_first_try.py")
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert [path.name for path in (tmp_path / "packages").iterdir()] == ["own"]
    assert not any("$" in path.read_text() for path in folder.iterdir())
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    entry = project["project"]["entry-points"]["amsbench.methods"]
    assert entry == {"my-first-try": "amsbench_my_first_try:MyFirstTryMethod"}
    spec = importlib.util.spec_from_file_location(
        "amsbench_my_first_try", folder / "amsbench_my_first_try.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    method_class = module.MyFirstTryMethod
    assert method_class.name == "my-first-try"
    results = check_method(method_class, config={"network": {"hidden": 16}}, tasks=["ghosts and properties"])
    assert {result.name for result in results if result.outcome != "passed"} == {
        "concurrent_samples",  # not claimed
        "many_steps_approach_the_data",  # of one element
        "rotation_equivariance",  # its three species would be taken for a vector
    }
    check_method(
        method_class, tasks=["one element"], only=["rotation_equivariance", "training_lowers_the_loss"]
    )


def test_a_new_method_overwrites_nothing_and_takes_no_name(amsbench, mistake, tmp_path):
    for name in ("Mine", "my_method", "3d", "-x", "a--b", "../own", "", "a" * 41):
        mistake(amsbench("new-method", "--", name), f"'{name}' cannot be the name of a method")
    mistake(amsbench("new-method", "amshortcut"), "'amshortcut' is taken")
    (tmp_path / "mine").mkdir()
    mistake(amsbench("new-method", "mine"), "mine is there already", "--output-dir")
    (tmp_path / "file").write_text("")
    mistake(amsbench("new-method", "mine", "--output-dir", "file/mine"), "cannot write", "--output-dir")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "class_name"),
    [("list", "ListMethod"), ("method", "MethodMethod"), ("my-method", "MyMethod"), ("class", "ClassMethod")],
)
def test_names_of_new_methods_hide_nothing(amsbench, tmp_path, name, class_name):
    assert amsbench("new-method", name)[0] == 0
    module = tmp_path / name / f"amsbench_{name.replace('-', '_')}.py"
    assert f"\nclass {class_name}(Method):\n" in module.read_text()
    compile(module.read_text(), module.name, "exec")
