"""Threads for generation: order of results, errors, restored settings of torch and Python."""

import sys
import threading

import pytest
import torch

from amsbench.benchmark.generation.batches import samples_in_threads
from amsbench.benchmark.generation.generate import threads_for
from amsbench.benchmark.generation.threads import SharedThreads
from amsbench.methods.material_sde import MaterialSDE


@pytest.fixture(autouse=True)
def threads():
    """Sets torch's number of threads until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_results_come_in_order_from_several_threads(threads):
    threads(4)
    usual = sys.getswitchinterval()
    meeting = threading.Barrier(2, timeout=20)  # passed only if two are at work at once

    def work(k):
        if k < 2:
            meeting.wait()
        return k, torch.get_num_threads(), threading.get_ident()

    with SharedThreads(2) as shared:
        found = list(shared.map(work, range(20)))
    assert [k for k, _, _ in found] == list(range(20))
    assert {count for _, count, _ in found} == {2}
    assert threading.get_ident() not in {ident for _, _, ident in found}
    assert torch.get_num_threads() == 4
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_one_thread_is_the_callers_own():
    with SharedThreads(1) as shared:
        assert set(shared.map(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}


def test_an_error_drops_what_has_not_begun(threads):
    threads(2)
    begun = []

    def work(k):
        begun.append(k)
        if k == 0:
            raise RuntimeError("the first")

    with pytest.raises(RuntimeError, match="the first"), SharedThreads(2) as shared:
        list(shared.map(work, range(1000)))
    assert len(begun) < 20
    assert torch.get_num_threads() == 2


def test_only_methods_that_allow_it_are_shared_out(threads, silicon):
    threads(3)
    method = MaterialSDE(silicon, MaterialSDE.default_config("standard", silicon))
    assert threads_for(method) == 3
    assert not samples_in_threads(method, "cuda")
    method.concurrent = False
    assert threads_for(method) == 1
