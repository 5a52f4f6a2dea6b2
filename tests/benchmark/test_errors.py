"""The one error of a user's mistake: one line of text, whatever is in it."""

import pickle

import pytest

from amsbench.errors import AmsbenchError


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("a.xyz is empty; copy it again", "a.xyz is empty; copy it again"),
        ("cannot be opened:\n  - not a zip\n  - no tar", "cannot be opened: - not a zip - no tar"),
        ("the file a\tb\0c \x1b[31m", r"the file a\tb\x00c \x1b[31m"),
        ("\udcff.xyz of 2.3 \u00c5", "\\udcff.xyz of 2.3 \u00c5"),
    ],
)
def test_a_message_is_one_line_that_every_terminal_shows(message, line):
    assert str(AmsbenchError(message)) == line
    assert str(pickle.loads(pickle.dumps(AmsbenchError(message)))) == line
