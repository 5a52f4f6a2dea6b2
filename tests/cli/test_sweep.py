"""`amsbench sweep`: costs, failures at the end, and nothing twice."""

import signal
import subprocess
import sys
import time

import pytest

PLAN = """
[[runs]]
methods = ["amshortcut", "material-ode"]
datasets = "asi"
protocols = "quick"
steps = [1, 2]
count = 3
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_a_dry_run_prints_the_costs_and_writes_nothing(amsbench, plan, tmp_path):
    code, out, err = amsbench("sweep", "plan.toml", "--dry-run", "--cores", "1")
    assert code == 0, err
    rows = out.splitlines()
    assert rows[0].split("  ")[0] == "run"
    assert [row.split("  ")[0] for row in rows[2:]] == [
        "amshortcut on asi, quick",
        "material-ode on asi, quick",
    ]
    assert [row.split()[4:7] for row in rows[2:]] == [["2", "0", "6"]] * 2
    assert "4 results, 0 of them there already" in err
    assert list(tmp_path.iterdir()) == [plan]


def test_all_runs_are_computed_once(amsbench, plan, tmp_path):
    command = ("sweep", "plan.toml", "--cores", "1")
    code, _, err = amsbench(*command)
    assert code == 0, err
    paths = sorted((tmp_path / "results" / "asi").glob("*.json"))
    assert len(paths) == 4
    stamps = [path.stat().st_mtime_ns for path in paths]
    code, _, err = amsbench(*command)
    assert code == 0
    assert "4 results, 4 of them there already" in err
    assert [path.stat().st_mtime_ns for path in paths] == stamps


def test_one_that_fails_is_said_at_the_end_and_the_others_go_on(amsbench, plan, tmp_path, monkeypatch):
    from amsbench.errors import AmsbenchError
    from amsbench.methods.amshortcut import AMShortcut

    def fails(*arguments, **options):
        raise AmsbenchError("the structures are too large; give a smaller cell")

    monkeypatch.setattr(AMShortcut, "sample", fails)
    monkeypatch.setattr("amsbench.benchmark.sweep.runs.estimate_seconds", lambda *arguments: (1.0, 1.0))
    code, _, err = amsbench("sweep", "plan.toml", "--cores", "1")
    assert code == 3
    last = err.strip().splitlines()[-2:]
    assert last[0] == "failed: amshortcut on asi, quick: the structures are too large; give a smaller cell"
    assert last[1].startswith("amsbench: 1 of 2 runs failed")
    assert len(list((tmp_path / "results" / "asi").glob("material-ode-*.json"))) == 2


def test_mistakes_end_it_before_the_first_run(amsbench, plan, tmp_path):
    (tmp_path / "plan.toml").write_text(
        PLAN + '\n[[runs]]\nmethods = "cdvae"\ndatasets = "asi"\nplans = "moduli"\n'
    )
    code, _, err = amsbench("sweep", "plan.toml", "--cores", "1")
    assert code == 2
    assert "cdvae on asi, standard: unknown plan 'moduli'" in err
    (tmp_path / "plan.toml").write_text(PLAN + 'metrics = "rings"\n')
    code, _, err = amsbench("sweep", "plan.toml", "--cores", "1")
    assert code == 2
    assert "rings" in err
    assert list((tmp_path / "results").rglob("*.json")) == []


def test_a_sweep_that_is_killed_goes_on(plan, tmp_path):
    main = [sys.executable, "-c", "from amsbench.cli.main import main; main()"]
    command = [*main, "sweep", "plan.toml", "--cores", "1"]
    log = tmp_path / "log"
    with log.open("wb") as output, subprocess.Popen(command, cwd=tmp_path, stderr=output) as process:
        until = time.monotonic() + 300
        while len(list(tmp_path.rglob("results/asi/*.json"))) < 1 and time.monotonic() < until:
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("results/asi/*.json")}
    assert 1 <= len(kept) < 4
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.rglob("results/asi/*.json"))) == 4
    assert {path: path.read_bytes() for path in kept} == kept
    assert not list(tmp_path.rglob("*.partial"))
