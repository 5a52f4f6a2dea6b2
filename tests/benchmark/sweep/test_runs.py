"""Opening the runs of a plan, and their expected costs."""

import pytest

from amsbench.benchmark.generation.generate import Generated
from amsbench.benchmark.runs import estimate
from amsbench.benchmark.runs.results import ResultStore
from amsbench.benchmark.sweep.plan import PlannedRun
from amsbench.benchmark.sweep.runs import expected_cost, opened_runs
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.result_folders import PUBLISHED


def planned(method, **settings):
    return PlannedRun(**{"method": method, "dataset": "asi", "protocol": "quick", "seed": 0, **settings})


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path)


def test_samplers_plans_and_steps_of_a_run(store):
    every, default, chosen = (
        run
        for _, run in opened_runs(
            [
                planned("amshortcut", samplers=("all",)),
                planned("amshortcut"),
                planned(
                    "amshortcut",
                    dataset="asio2",
                    samplers=("guided",),
                    plans=("ring_size",),
                    steps=(3,),
                    count=5,
                ),
            ],
            store,
        )
    )
    assert len(every.samplers) > 5
    assert default.samplers == ("shortcut",)
    assert chosen.samplers == ("guided",)
    (trial,) = chosen.trials()
    assert (trial.plan.name, trial.steps, trial.plan.count) == ("ring_size", 3, 5)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (
            planned("random-relax", steps=(5,)),
            "random-relax on asi, quick: it is not trained and has no steps",
        ),
        (planned("amshortcut", samplers=("best",)), "amshortcut on asi, quick: .* has no sampler 'best'"),
        (planned("amshortcut", plans=("moduli",)), "unknown plan 'moduli'"),
        (planned("amshortcut", protocol="wide"), "has no plans under the protocol 'wide'"),
    ],
)
def test_a_run_that_cannot_be_opened_is_named(run, words, store):
    with pytest.raises(AmsbenchError, match=words):
        opened_runs([run], store)


def test_the_cost_of_a_baseline_is_that_of_its_earlier_results(store):
    published_results = list(ResultStore(PUBLISHED).results())
    ((_, run),) = opened_runs([planned("random-relax")], store)
    one, two = (expected_cost(run, published_results, workers=workers) for workers in (1, 2))
    assert one.generation > 0
    assert two.generation == pytest.approx(one.generation / 2)
    assert (one.results, one.stored, one.structures) == (1, 0, run.plans[0].count)
    unknown = expected_cost(run, [], workers=1)
    assert (unknown.generation, unknown.measurement, unknown.seconds) == (None, None, 0.0)


def test_the_cost_of_a_model_follows_from_one_evaluation(store, monkeypatch):
    """Steps with guidance have two evaluations."""
    once = Generated(frames=[], seconds=2.0, cpu_seconds=2.0, evaluations=1)
    monkeypatch.setattr(estimate, "generate_structures", lambda *arguments, **options: once)
    costs = [
        expected_cost(run, [], workers=1)
        for _, run in opened_runs(
            [
                planned("amshortcut", steps=(1,), count=8),
                planned("amshortcut", steps=(100,), count=8),
                planned("amshortcut", dataset="asio2", plans=("ring_size",), steps=(5,), count=8),
            ],
            store,
        )
    ]
    assert [cost.generation for cost in costs] == [16.0, 1600.0, 160.0]
    assert [cost.structures for cost in costs] == [8, 8, 8]
    assert min(cost.measurement for cost in costs) > 0
