"""Broken and hostile input, drawn by Hypothesis: each ends in a right result or in one sentence of what is wrong.

Hypothesis draws the seed of each change. The suite draws few examples, always the same ones.
``AMSBENCH_EXAMPLES=2000 pytest tests/hostile`` draws as many of each kind, others every time.
"""

import json
import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, configuration, settings

from amsbench.errors import AmsbenchError

EXAMPLES = int(os.environ.get("AMSBENCH_EXAMPLES", "20"))
LONGEST = 60
"""Seconds of an example, in which a small file has to be read or refused."""
MOST_MEMORY = 8 << 30
"""Bytes of address space that the examples may take beyond what the tests have already."""

settings.register_profile(
    "amsbench",
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="AMSBENCH_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    # a seed has no simpler one
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("amsbench")

VALUES = [
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    0.0,
    0.5,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e308,
    1e-308,
    "",
    " ",
    "nan",
    "../../x",
    "a\nb",
    "\0",
    "\U0001d54a",
    "x" * 10_000,
    [],
    {},
    [[]],
    [None],
    {"": {}},
]
"""What a number, text, list or table of a file may be replaced by."""


def copied(value):
    """JSON data that share nothing with the given ones."""
    return json.loads(json.dumps(value))


def places(value, path=()):
    """Paths of all entries of JSON data."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed_json(random, value):
    """JSON data with one to three entries replaced, removed or added."""
    value = copied(value)
    for _ in range(random.randint(1, 3)):
        path = random.choice(list(places(value))[1:] or [()])
        if not path:
            return copied(random.choice(VALUES))
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        match random.choice(["replace", "replace", "replace", "remove", "add"]):
            case "replace":
                parent[path[-1]] = copied(random.choice(VALUES))
            case "remove":
                del parent[path[-1]]
            case "add" if isinstance(parent, dict):
                parent[random.choice(["", "x", "format", "\n"])] = copied(random.choice(VALUES))
            case "add":
                parent.append(copied(random.choice(VALUES)))
    return value


def changed_bytes(random, content):
    """Bytes of which some were flipped, removed, repeated, inserted or cut off; near the ends more often."""
    content = bytearray(content)
    for _ in range(random.randint(1, 4)):
        if not content:
            break
        near = random.randrange(min(len(content), 2_000))
        start = random.choice([near, len(content) - 1 - near, random.randrange(len(content))])
        stop = min(len(content), start + random.choice([1, 1, 4, 64, 4_096]))
        match random.choice(["flip", "flip", "zero", "remove", "repeat", "insert", "cut"]):
            case "flip":
                content[start] ^= 1 << random.randrange(8)
            case "zero":
                content[start:stop] = bytes(stop - start)
            case "remove":
                del content[start:stop]
            case "repeat":
                content[start:start] = content[start:stop]
            case "insert":
                content[start:start] = random.randbytes(random.randint(1, 16))
            case "cut":
                del content[start:]
    return bytes(content)


class Changes:
    """The functions above, since test files cannot import from this one."""

    values = VALUES
    json = staticmethod(changed_json)
    bytes = staticmethod(changed_bytes)


@pytest.fixture(scope="session")
def changes():
    return Changes


@pytest.fixture(autouse=True, scope="session")
def no_files_of_hypothesis(tmp_path_factory):
    """Hypothesis keeps nothing in the folder that the tests are run from."""
    configuration.set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))


@pytest.fixture(autouse=True, scope="module")
def little_memory():
    """No example takes gigabytes, whatever sizes a file states; tested where the system says what is used."""
    status = Path("/proc/self/status")
    if not status.exists():
        yield
        return
    lines = status.read_text().splitlines()
    used = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmSize"))
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def in_time():
    """Fails a block that does not end."""

    def late(*_):
        raise AssertionError(f"not finished after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def right_or_refused():
    """Calls a function: what it returned, or None if it was refused in one sentence that names ``name``.

    Every other error fails the test, as does a call that does not end.
    """

    def call(function, name=""):
        with in_time():
            try:
                return function()
            except AmsbenchError as error:
                message = str(error)
        assert name in message, message
        return None

    return call


@pytest.fixture
def ends_well(amsbench, monkeypatch):
    """Calls the command line in a folder; it has to succeed, or to end in one sentence with exit code 2."""

    def call(*arguments, codes=(0, 2), folder=None):
        if folder is not None:
            monkeypatch.chdir(folder)
        with in_time():
            code, output, messages = amsbench(*arguments)
        assert code in codes, (code, output, messages)
        assert "Traceback" not in messages
        if code == 2:
            assert messages.strip(), "no message"
        return code, output, messages

    return call
