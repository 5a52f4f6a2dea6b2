"""Options of the cluster: what belongs together, and who works."""

import pytest
from distributed import LocalCluster

COMMAND = ("run", "-m", "amshortcut", "-d", "asi", "--samplers", "shortcut", "--steps", "1", "--count", "2")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--executor", "slurm"), ("unknown executor 'slurm'", "local, dask")),
        (("--workers", "2"), ("--workers belongs to --executor dask",)),
        (("--scheduler", "tcp://here:1"), ("--scheduler belongs to --executor dask",)),
        (("--executor", "dask"), ("--executor dask needs either --scheduler", "--workers 4")),
        (
            ("--executor", "dask", "--workers", "2", "--scheduler", "tcp://here:1"),
            ("--executor dask needs either",),
        ),
        (("--executor", "dask", "--scheduler", "here"), ("no Dask scheduler answers at 'here'",)),
    ],
)
def test_options_that_do_not_agree(mistake, amsbench, tmp_path, options, words):
    mistake(amsbench(*COMMAND, "--cores", "1", *options), *words)
    assert list(tmp_path.rglob("*.json")) == []


def test_the_workers_of_a_scheduler_are_counted(amsbench, tmp_path):
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        code, _, err = amsbench(*COMMAND, "--cores", "1", "--executor", "dask", "--scheduler", address)
    assert code == 0, err
    assert f"2 workers at {address}." in err
    assert len(list(tmp_path.rglob("results/asi/*.json"))) == 1
