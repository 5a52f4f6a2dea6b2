"""Results with changed content are refused, or tables and pages are made of them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amsbench.benchmark.runs.results import ResultStore, content_hash, read_result
from amsbench.leaderboards.pages import pages_of
from amsbench.leaderboards.result_folders import PUBLISHED
from amsbench.leaderboards.tables.make_tables import tables_of
from amsbench.leaderboards.tables.text_table import render

RANDOM = st.randoms(use_true_random=True)


@pytest.fixture(scope="module")
def published():
    """Texts of one published result of each kind: curves, targets, a yardstick."""
    store = ResultStore(PUBLISHED)
    chosen = {}
    for result in store.results():
        kind = (result.key.kind, result.hits is None, result.key.steps == 0)
        chosen.setdefault(kind, store.path(result.key).read_text())
    return Texts(chosen.values())


class Texts(list):
    """Texts whose own text is short, because Hypothesis prints the arguments of an example."""

    def __repr__(self):
        return f"<{len(self)} texts>"


def stored(folder: Path, fields) -> Path:
    """A result file with a hash that fits its content, as somebody would write it on purpose."""
    folder.mkdir(exist_ok=True)
    if isinstance(fields, dict):
        fields = {
            **fields,
            "content_hash": content_hash({k: v for k, v in fields.items() if k != "content_hash"}),
        }
    path = folder / "result.json"
    path.write_text(json.dumps(fields))
    return path


@given(random=RANDOM)
def test_changed_bytes(random, published, changes, right_or_refused, tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(changes.bytes(random, random.choice(published).encode()))
    assert right_or_refused(lambda: read_result(path), str(path)) is None


@given(random=RANDOM)
def test_changed_values(random, published, changes, right_or_refused, tmp_path):
    fields = changes.json(random, json.loads(random.choice(published)))
    path = stored(tmp_path, fields)
    right_or_refused(lambda: read_result(path), str(path))


@given(random=RANDOM)
def test_tables_of_changed_values(random, published, changes, right_or_refused, tmp_path):
    """Entries of one field are changed, so that the result is read more often; such a one has tables and pages."""
    fields = json.loads(random.choice(published))
    name = random.choice([name for name in fields if name not in ("format", "content_hash")])
    fields[name] = changes.json(random, fields[name])
    path = stored(tmp_path, fields)

    def read():
        try:
            return read_result(path)
        except Exception as error:
            # the name of the file follows from its content
            if "was renamed" not in str(error):
                raise
            name = str(error).partition("belongs to ")[2].partition(";")[0]
            if "/" in name or len(name.encode()) > 200 or "\0" in name:
                raise
            path.rename(path.with_name(name))
            return read_result(path.with_name(name))

    result = right_or_refused(read)
    if result is not None:
        right_or_refused(lambda: [render(table, "pipe") for table in tables_of([result], detail=True)])
        right_or_refused(lambda: pages_of([result]))
