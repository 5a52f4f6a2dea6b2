"""The script of CI that verifies submissions: the code of the base, data alone of the pull request."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amsbench.leaderboards.result_folders import PUBLISHED

SCRIPT = Path(__file__).parents[2] / ".ci" / "verify"
TRAP = "import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n"


def git(folder, *words):
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *author, *words], cwd=folder, check=True, capture_output=True, text=True)


def add_submission(folder, name, files):
    place = folder / "leaderboards" / "submissions" / name
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)


@pytest.fixture
def checkout(tmp_path):
    """A clone of a base branch with one published result and one submission, and its origin for pull requests."""
    origin = tmp_path / "origin"
    (origin / "leaderboards" / "results" / "asi").mkdir(parents=True)
    shutil.copy(sorted((PUBLISHED / "asi").glob("*.json"))[0], origin / "leaderboards" / "results" / "asi")
    add_submission(origin, "accepted", {"manifest.json": "{}"})
    git(origin, "init", "--quiet", "--initial-branch=main")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message=base")
    git(tmp_path, "clone", "--quiet", f"file://{origin}", "checkout")
    return tmp_path / "checkout"


def verify(checkout, change):
    """Exit code and output of the script for a pull request with this change."""
    origin = checkout.parent / "origin"
    git(origin, "checkout", "--quiet", "-B", "change", "main")
    change(origin)
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--allow-empty", "--message=change")
    git(origin, "update-ref", "refs/pull/1/head", "HEAD")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(
        ["bash", SCRIPT, "refs/pull/1/head"],
        cwd=checkout,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    return answer.returncode, answer.stdout + answer.stderr


def test_a_change_without_submissions_verifies_the_published_results(checkout):
    code, out = verify(checkout, lambda origin: (origin / "README.md").write_text("changed"))
    assert code == 0, out
    assert "accepted" not in out
    assert "1 results, 0 measured again: 1 agree, 0 differ" in out


def test_submissions_with_code_or_without_a_manifest_fail_and_nothing_of_them_runs(checkout):
    def change(origin):
        for name in ("amsbench.py", "sitecustomize.py", "conftest.py"):
            (origin / name).write_text(TRAP)
        add_submission(origin, "code", {"manifest.json": json.dumps({}), "methods/mine.py": TRAP})
        add_submission(origin, "bare", {"summary.md": "# Results\n"})
        add_submission(origin, "Two words", {"manifest.json": "{}"})

    code, out = verify(checkout, change)
    assert code == 1
    flat = " ".join(out.split())
    assert "methods/mine.py is no file of a submission" in flat
    assert "leaderboards/submissions/bare has no manifest.json" in flat
    assert "leaderboards/submissions/Two words: a submission is a folder" in flat
    assert "accepted" not in out
    assert not list(checkout.parent.rglob("executed"))
    assert git(checkout, "status", "--porcelain").stdout == ""
