"""The pool of workers: one thread each, whatever the user's environment says."""

import os

import numpy as np

from amsbench.benchmark.execution import ONE_THREAD, local_pool


def thread_settings(names: tuple[str, ...]) -> list[str | None]:
    assert float(np.linalg.norm(np.eye(3))) > 1  # the libraries are loaded
    return [os.environ.get(name) for name in names]


def test_workers_have_one_thread_each_and_the_environment_is_given_back(monkeypatch):
    monkeypatch.setenv(ONE_THREAD[0], "7")
    monkeypatch.delenv(ONE_THREAD[1], raising=False)
    with local_pool(1) as pool:
        assert pool.submit(thread_settings, ONE_THREAD).result() == ["1"] * len(ONE_THREAD)
    assert os.environ[ONE_THREAD[0]] == "7"
    assert ONE_THREAD[1] not in os.environ
