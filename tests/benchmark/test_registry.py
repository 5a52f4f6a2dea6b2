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
