"""Where the command line prints to: terminals without Greek letters, full disks, pipes that nobody reads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amsbench.leaderboards.result_folders import PUBLISHED

TABLE = (
    "import sys; from amsbench.cli.main import main; "
    f"sys.argv[1:] = ['table', '--results', {str(PUBLISHED / 'asi')!r}]; main()"
)


def ended(encoding, output):
    """Exit code and messages of a command that prints a table with σ to a file."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-c", TABLE],
        stdout=output,
        stderr=subprocess.PIPE,
        env=environment,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_character_that_a_terminal_lacks_spoils_no_table(tmp_path, encoding):
    with (tmp_path / "out").open("wb") as output:
        code, messages = ended(encoding, output)
    assert (code, "Traceback" in messages) == (0, False), messages
    text = (tmp_path / "out").read_bytes().decode(encoding)
    assert "amshortcut" in text
    assert ("\u03c3" in text) == (encoding == "utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
def test_an_output_that_is_full_is_one_sentence():
    with open("/dev/full", "wb") as output:
        code, messages = ended("utf-8", output)
    assert code == 2
    assert "cannot write: No space left on device" in messages
    assert "Traceback" not in messages


RUN = (
    "import sys; from amsbench.cli.main import main; "
    "sys.argv[1:] = ['generate', '-m', 'amshortcut', '-d', 'asi', '--count', COUNT, '--steps', '1', "
    "'-o', OUTPUT]; main()"
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
def test_messages_that_cannot_be_written_end_no_work(tmp_path):
    """Nor do they change the exit code of an error."""
    output = tmp_path / "made.extxyz"
    with open("/dev/full", "wb") as messages:
        for count, expected in (("1", 0), ("-1", 2)):
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    RUN.replace("OUTPUT", repr(str(output))).replace("COUNT", repr(count)),
                ],
                stdout=subprocess.PIPE,
                stderr=messages,
                timeout=120,
                check=False,
            )
            assert done.returncode == expected
            assert output.read_text().splitlines()[0] == "256"
