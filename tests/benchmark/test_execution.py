"""The pool of workers: one thread each, whatever the user's environment says."""

import os

from amsbench.benchmark.execution import ONE_THREAD, local_pool


def test_workers_have_one_thread_each_and_the_environment_is_given_back(monkeypatch):
    monkeypatch.setenv(ONE_THREAD[0], "7")
    monkeypatch.delenv(ONE_THREAD[1], raising=False)
    with local_pool(1) as pool:
        assert list(pool.map(os.getenv, ONE_THREAD)) == ["1"] * len(ONE_THREAD)
    assert os.environ[ONE_THREAD[0]] == "7"
    assert ONE_THREAD[1] not in os.environ
