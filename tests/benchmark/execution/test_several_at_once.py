"""Tasks that an executor takes together: quick ones many at a time, long ones alone."""

from concurrent.futures import Future

import pytest

from amsbench.benchmark.execution.task_map import MOST_TOGETHER, TOGETHER_SECONDS, map_with_timeout


class Counted:
    """An executor that takes several tasks; ``seconds`` of a task is what it says that it took."""

    workers = 2

    def __init__(self, seconds):
        self.seconds = seconds
        self.sizes, self.names = [], []

    def submit_together(self, limit, task, function, jobs):
        self.sizes.append(len(jobs))
        self.names.append(task)
        done = Future()
        try:
            done.set_result([(function(*job), self.seconds(*job)) for job in jobs])
        except ZeroDivisionError as error:
            done.set_exception(error)
        return done


def squares(executor, count):
    found = list(
        map_with_timeout(lambda k: k * k, ((k,) for k in range(count)), executor, limit=None, task="it")
    )
    assert found == [k * k for k in range(count)]
    assert sum(executor.sizes) == count
    return executor.sizes


def test_quick_tasks_go_together_more_and_more():
    sizes = squares(Counted(lambda k: 1e-6), 1_000)
    # the first ones, of which nothing is known, are those of two workers and of as many that wait
    assert sizes[:4] == [1, 1, 1, 1]
    assert max(sizes) == MOST_TOGETHER
    assert all(after <= MOST_TOGETHER for after in sizes)
    assert len(sizes) < 40


def test_tasks_of_half_the_time_go_in_pairs():
    sizes = squares(Counted(lambda k: TOGETHER_SECONDS / 2), 100)
    assert set(sizes[4:-1]) == {2}


def test_long_tasks_are_alone():
    assert set(squares(Counted(lambda k: 1.5 * TOGETHER_SECONDS), 100)) == {1}


def test_a_start_that_takes_long_is_forgotten():
    """The first tasks take 1 s, in which libraries are loaded, and the others a hundredth of the time together."""
    sizes = squares(Counted(lambda k: 1.0 if k < 4 else TOGETHER_SECONDS / 100), 3_000)
    assert sizes[:8] == [1] * 8
    assert max(sizes) > 30


def test_one_long_task_among_quick_ones_sends_the_next_ones_alone():
    sizes = squares(Counted(lambda k: 30.0 if k == 500 else 1e-4), 1_000)
    assert sizes[4:].count(1) > 40
    assert sizes[5] > 10


def test_messages_name_the_tasks_by_number():
    executor = Counted(lambda k: 1e-6)
    squares(executor, 10)
    assert executor.names[:5] == [f"it (number {k})" for k in range(4)] + ["it (numbers 4 to 9)"]


def test_a_mistake_of_the_program_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(map_with_timeout(lambda k: 1 // k, [(1,), (0,)], Counted(lambda k: 1e-6), limit=None))
