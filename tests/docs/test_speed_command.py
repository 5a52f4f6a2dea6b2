"""The command by which docs/speed.md compares implementations measures them, with the options of the whole suite."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SPEED = "tests/speed/test_speed_network.py"


def test_the_documented_command_measures():
    """The options of the suite, which distribute tests over processes, do not keep pytest-benchmark from measuring."""
    command = [sys.executable, "-m", "pytest", SPEED, "-k", "neighbour_graph", "--benchmark-enable"]
    # this process may itself be one of many, whose variables would tell pytest-benchmark so
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Operations Per Second" in done.stdout
