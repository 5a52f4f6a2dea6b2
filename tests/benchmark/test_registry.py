"""Plug-ins by name: kinds, unknown names and names that are registered twice."""

from importlib.metadata import EntryPoint

import pytest

from amsbench.benchmark import registry
from amsbench.errors import AmsbenchError

COMPARED = ("methods", "non_learned")


@pytest.fixture
def registered(monkeypatch):
    """Registers ``module:attribute`` under names of a group for one test: ``registered(group=[(name, value)])``."""

    def register(**groups):
        def entry_points(group):
            pairs = groups.get(group.removeprefix("amsbench."), [])
            return [EntryPoint(name=name, value=value, group=group) for name, value in pairs]

        monkeypatch.setattr(registry, "entry_points", entry_points)
        registry._entry_points.cache_clear()

    yield register
    monkeypatch.undo()
    registry._entry_points.cache_clear()


def test_baselines_without_training_have_a_group_of_their_own():
    assert registry.kind_of("amshortcut", COMPARED) == "methods"
    assert registry.kind_of("simulation", COMPARED) == "non_learned"
    assert not set(registry.names("methods")) & set(registry.names("non_learned"))


def test_an_unknown_name_lists_near_matches_of_all_kinds():
    with pytest.raises(AmsbenchError, match=r"unknown method 'simulatoin'; did you mean 'simulation'\?"):
        registry.kind_of("simulatoin", COMPARED)


def test_a_name_of_a_method_and_of_a_baseline_is_an_error(registered):
    registered(methods=[("relax", "theirs:Relax")], non_learned=[("relax", "ours:Relax")])
    with pytest.raises(AmsbenchError) as error:
        registry.kind_of("relax", COMPARED)
    assert "'relax' is registered as method (theirs:Relax) and as non-learned baseline (ours:Relax)" in str(
        error.value
    )


def test_two_packages_with_one_name_are_an_error(registered):
    registered(non_learned=[("relax", "theirs:Relax"), ("relax", "ours:Relax")])
    with pytest.raises(
        AmsbenchError, match="two installed packages register the non-learned baseline 'relax'"
    ):
        registry.names("non_learned")
    registered(methods=[("same", "ours:Same"), ("same", "ours:Same")])
    assert registry.names("methods") == ["same"]


RDF = "amsbench.metrics.curve_metrics:RadialDistribution"
BROKEN = {
    "fails.py": "1 / 0\n",
    "exits.py": "raise SystemExit(0)\n",
    "lacks.py": "x = 1\n",
    "lies.py": "class Other:\n    name = 'another'\n",
    "number.py": "Other = 3\n",
}


def test_a_package_that_cannot_be_imported_is_named_and_spoils_no_other(registered, tmp_path, monkeypatch):
    for file, text in BROKEN.items():
        (tmp_path / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    modules = [file.removesuffix(".py") for file in BROKEN]
    registered(metrics=[*((name, f"{name}:Other") for name in modules), ("rdf", RDF)])
    assert list(registry.usable("metrics")) == ["rdf"]
    reasons = registry.unusable("metrics")
    assert sorted(reasons) == sorted(modules)
    assert (
        "the metric 'fails' (fails:Other) cannot be imported: ZeroDivisionError: division by zero"
        in reasons["fails"]
    )
    assert "cannot be imported: SystemExit: 0" in reasons["exits"]
    assert "is not a class with this name" in reasons["lies"]
    with pytest.raises(AmsbenchError, match="correct or uninstall its package"):
        registry.load("metrics", "lacks")


@pytest.mark.parametrize("command", ["methods", "metrics", "datasets"])
def test_lists_tell_what_cannot_be_used(amsbench, registered, tmp_path, monkeypatch, command):
    (tmp_path / "fails.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = list(registry._entry_points(command).values())
    registered(**{command: [*((point.name, point.value) for point in own), ("fails", "fails:Other")]})
    code, out, err = amsbench(command)
    assert code == 0
    assert all(point.name in out for point in own)
    assert "Warning: the" in err
    assert "'fails' (fails:Other) cannot be imported" in err
