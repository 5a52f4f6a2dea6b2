"""Plans of many runs: combinations of their lists, and one sentence for each mistake."""

from pathlib import Path

import pytest

from amsbench.benchmark.sweep import plan as module
from amsbench.benchmark.sweep.plan import PlannedRun, read_sweep
from amsbench.errors import AmsbenchError


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return path

    return write


def test_every_combination_of_the_lists_is_a_run(written):
    runs = read_sweep(
        written(
            '[[runs]]\nmethods = ["amshortcut", "cdvae"]\ndatasets = ["asi", "meg"]\nseeds = [0, 3]\nsteps = 5\n'
        )
    )
    assert len(runs) == 8
    assert {(r.method, r.dataset, r.seed) for r in runs} == {
        (m, d, s) for m in ("amshortcut", "cdvae") for d in ("asi", "meg") for s in (0, 3)
    }
    assert {(r.protocol, r.steps, r.samplers, r.count) for r in runs} == {("standard", (5,), None, None)}


def test_a_run_that_is_in_two_tables_is_done_once(written):
    table = '[[runs]]\nmethods = "amshortcut"\ndatasets = "asi"\n'
    assert read_sweep(written(table + table)) == (
        PlannedRun(method="amshortcut", dataset="asi", protocol="standard", seed=0),
    )


def test_files_are_relative_to_the_plan(written, tmp_path):
    (tmp_path / "mine.safetensors").touch()
    (tmp_path / "mine.npz").touch()
    (run,) = read_sweep(
        written(
            '[[runs]]\nmethods = "cdvae"\ndatasets = "asi"\ncheckpoints = "mine.safetensors"\ndata = "mine.npz"\n'
        )
    )
    assert (run.checkpoint, run.data) == (tmp_path / "mine.safetensors", tmp_path / "mine.npz")
    assert run.title == "cdvae on asi, standard, mine.safetensors"


def test_a_method_may_be_a_file(written, tmp_path):
    from amsbench.benchmark import registry

    (tmp_path / "swift.py").write_text(
        "from amsbench.benchmark import AMShortcut\n\n\nclass Swift(AMShortcut):\n    name = 'swift'\n"
    )
    before = dict(registry._LOCAL)
    try:
        (run,) = read_sweep(written('[[runs]]\nmethods = "swift.py"\ndatasets = "asi"\n'))
    finally:
        registry._LOCAL.clear()
        registry._LOCAL.update(before)
    assert run.method == "swift"


MINIMAL = '[[runs]]\nmethods = "amshortcut"\ndatasets = "asi"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["needs one or more tables [[runs]]"]),
        ("runs = 3", ["needs one or more tables [[runs]]"]),
        ("[[runs]", ["cannot be read", "write it as TOML"]),
        ('methods = "cdvae"', ["'methods' outside of a table"]),
        ('[[runs]]\ndatasets = "asi"\n', ["table 1 of", "has no 'methods'"]),
        (MINIMAL + "step = 5\n", ["has no 'step'", "did you mean 'steps'"]),
        (MINIMAL.replace("asi", "asio3"), ["'asio3' is no dataset of table 1", "asio2"]),
        (MINIMAL.replace("amshortcut", "amshortcuts"), ["'amshortcuts' is no method", "amshortcut"]),
        (MINIMAL + 'protocols = "standards"\n', ["'standards' is no protocol", "standard"]),
        (MINIMAL + "steps = [1, 0]\n", ["steps of table 1", "1 or more, not 0"]),
        (MINIMAL + "steps = []\n", ["'steps' of table 1", "is []"]),
        (MINIMAL + "seeds = [-1]\n", ["seeds of table 1", "0 or more, not -1"]),
        (MINIMAL + "seeds = [true]\n", ["'seeds' of table 1", "[True]"]),
        (MINIMAL + 'count = "many"\n', ["count of table 1", "many"]),
        (MINIMAL + 'checkpoints = "none.safetensors"\n', ["none.safetensors, which does not exist"]),
        (MINIMAL + "samplers = 5\n", ["'samplers' of table 1", "is 5"]),
        (MINIMAL + MINIMAL.replace('"asi"', "7"), ["'datasets' of table 2", "is 7"]),
    ],
)
def test_mistakes_are_named(written, text, words):
    with pytest.raises(AmsbenchError) as error:
        read_sweep(written(text))
    for word in words:
        assert word in str(error.value)


def test_checkpoints_belong_to_one_method_and_dataset(written, tmp_path):
    (tmp_path / "a.safetensors").touch()
    text = '[[runs]]\nmethods = ["cdvae", "graphite"]\ndatasets = "asi"\ncheckpoints = "a.safetensors"\n'
    with pytest.raises(AmsbenchError, match="checkpoints for 2 methods and 1 datasets"):
        read_sweep(written(text))


def test_a_plan_that_is_not_there_or_too_long(written, tmp_path, monkeypatch):
    with pytest.raises(AmsbenchError, match=r"there is no plan .*none\.toml"):
        read_sweep(tmp_path / "none.toml")
    monkeypatch.setattr(module, "MOST_RUNS", 3)
    with pytest.raises(AmsbenchError, match="more than 3 runs"):
        read_sweep(written(MINIMAL + "seeds = [0, 1, 2, 3]\n"))
