"""The time of a thousand workers is that of a schedule computed by hand, and the page has it."""

import pytest


@pytest.fixture
def study(script):
    return script("studies/thousand_workers.py")


def test_the_last_task_begins_when_the_others_keep_all_workers_busy(study, monkeypatch):
    """1,000 tasks of 2 s on 100 workers are 20 s, and the longest one, of 9 s, may begin at their end."""
    monkeypatch.setattr(study, "HOURS_BETWEEN_LOSSES", float("inf"))
    assert study.Stage(1_000, 2.0, 9.0).seconds(100, overhead=0.001, loss=5.0) == pytest.approx(29.0)


def test_short_tasks_take_as_long_as_the_program_needs_to_hand_them_out(study, monkeypatch):
    monkeypatch.setattr(study, "HOURS_BETWEEN_LOSSES", float("inf"))
    assert study.Stage(1_000, 0.01, 0.01).seconds(100, overhead=0.01, loss=5.0) == pytest.approx(10.01)


def test_tasks_that_are_handed_out_together_share_the_time_of_it(study):
    """10 ms alone and 1 ms in a group of 64: 0.2 s hold 20 tasks of 10 ms, one of 0.15 s, and no more than 64."""
    times = {"alone": 0.01, "together": 0.001}
    own = 0.001 - 0.01 / 64
    assert study.overhead(0.01, times) == pytest.approx(own + 0.01 / 20)
    assert study.overhead(0.15, times) == pytest.approx(0.01)
    assert study.overhead(300.0, times) == pytest.approx(0.01)
    assert study.overhead(1e-6, times) == pytest.approx(0.001)


def test_a_lost_worker_costs_its_task_again(study, monkeypatch):
    """29 s of 100 workers that are lost every 29 s x 100 on average: one loss, of 5 s and a task of 9 s."""
    monkeypatch.setattr(study, "HOURS_BETWEEN_LOSSES", 29.0 * 100 / 3600)
    assert study.Stage(1_000, 2.0, 9.0).seconds(100, overhead=0.001, loss=5.0) == pytest.approx(29.0 + 14.0)


def test_results_are_computed_one_after_another(study, monkeypatch):
    """The steps 1 and 3 of 10 structures in batches of 4: three shards of 4 and of 12 s; ten measurements each."""
    plan = study.EvaluationPlan(
        name="p",
        kind="structural",
        protocol="paper",
        version=1,
        count=10,
        steps=(1, 3),
        targets={},
        cube=None,
    )
    monkeypatch.setattr(study, "paper_plans", lambda dataset: [plan])
    times = {"seconds_per_step": 1.0, "structures_per_batch": 4}
    found = {"asi": {"generation": {"cdvae p": times}, "measurement": {"p": [1.0, 3.0]}}}
    generated, measured = study.stages("asi", found)
    assert [(one.tasks, one.mean) for one in generated] == [(3, 4.0), (3, 12.0)]
    assert [(one.tasks, one.mean, one.longest) for one in measured] == [(10, 2.0, 6.0)] * 2


def test_the_page_has_the_table_of_the_stored_times(study):
    assert study.STORED.is_on_page(study.table(study.stored())), (
        "run: python docs/studies/thousand_workers.py table"
    )
