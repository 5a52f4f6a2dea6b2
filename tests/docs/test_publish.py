"""Published results that are computed again and replaced."""

import shutil

import pytest

from amsbench.benchmark.registry import load
from amsbench.benchmark.runs.results import COMPACT, TABLE, ResultStore
from amsbench.cli import main
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.comparisons import budget_label


@pytest.fixture(scope="module")
def publish(script):
    return script("publish.py")


def test_the_arguments_of_a_published_result_compute_its_key(publish, monkeypatch):
    """One of every method, dataset, protocol and further metric."""
    planned = []

    def opened(**fields):
        planned.append(fields)
        raise SystemExit(0)

    monkeypatch.setattr("amsbench.benchmark.runs.runner.Run", opened)
    seen = set()
    for result in publish.PUBLISHED.results():
        key = result.key
        kind = key.method, key.dataset, key.protocol, key.kind, len(result.metric_code)
        if kind in seen:
            continue
        seen.add(kind)
        given = publish.arguments(result, load("datasets", key.dataset)())
        monkeypatch.setattr("sys.argv", ["amsbench", "run", *given, "-o", "unused"])
        monkeypatch.setattr("amsbench.benchmark.system.files.check_writable", lambda folder: None)
        with pytest.raises(SystemExit):
            main.main()
        fields = planned.pop()
        assert fields["source"].name == key.method
        assert fields["dataset"].definition.name == key.dataset
        (plan,) = fields["plans"]
        assert (plan.name, plan.protocol, plan.count, plan.cube) == (
            key.plan,
            key.protocol,
            key.count,
            key.cube,
        )
        assert {name: tuple(of) for name, of in plan.targets.items()} == key.targets
        assert fields["samplers"] == (key.sampler,)
        assert fields["seed"] == key.seed
        if fields["source"].trained_on:
            assert plan.steps == (key.steps,)
        assert set(fields["metrics"]) <= set(result.metric_code)
    assert len(seen) > 20


def test_a_result_replaces_those_of_the_same_conditions(publish, tmp_path):
    """A result of another checkpoint goes, with its structures; those of the new one are then published, too."""
    published, new = ResultStore(tmp_path / "published"), ResultStore(tmp_path / "new")
    compact = next(
        r for r in publish.PUBLISHED.results() if COMPACT in r.files and r.key.kind == "inverse-design"
    )
    plain = next(r for r in publish.PUBLISHED.results() if COMPACT not in r.files)
    for result in (compact, plain):
        for suffix in (".json", TABLE, COMPACT):
            source = publish.PUBLISHED.path(result.key, suffix)
            if source.is_file():
                target = published.path(result.key, suffix)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    key = compact.key.model_copy(update={"checkpoint_hash": "0" * 64})
    other = compact.model_copy(update={"key": key})
    for suffix in (TABLE, COMPACT):
        target = new.path(key, suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(publish.PUBLISHED.path(compact.key, suffix), target)
    new.write(other.model_copy(update={"files": new.file_hashes(key)}))
    assert publish.replace(new, list(new.results()), published) == 1
    assert {result.key.stem for result in published.results()} == {key.stem, plain.key.stem}
    assert published.path(key, COMPACT).is_file()
    assert not published.path(compact.key, COMPACT).is_file()
    assert not published.path(compact.key).is_file()
    for result in published.results():
        assert published.file_hashes(result.key) == result.files


def test_a_row_of_the_fixed_budget_stays_beside_that_of_a_longer_training(publish, tmp_path):
    published, new = ResultStore(tmp_path / "published"), ResultStore(tmp_path / "new")
    results = [r for r in publish.PUBLISHED.results() if r.key.dataset == "asi"]
    fixed = next(r for r in results if budget_label(r))
    longer = next(r for r in results if not budget_label(r) and publish.same_conditions(r.key, fixed.key))
    for result in (fixed, longer):
        published.write(result.model_copy(update={"files": {}}))
    key = longer.key.model_copy(update={"checkpoint_hash": "0" * 64})
    new.write(longer.model_copy(update={"key": key, "files": {}}))
    new.path(key, TABLE).write_bytes(b"a table")
    assert publish.replace(new, list(new.results()), published) == 1
    assert {result.key.stem for result in published.results()} == {fixed.key.stem, key.stem}


def test_another_type_of_products_than_the_published_one_is_refused(publish, monkeypatch):
    (result,) = [r for r in publish.PUBLISHED.results() if r.key.method == "material-ode"][:1]
    other = "float32" if result.key.precision == "bfloat16" else "bfloat16"
    monkeypatch.setattr("amsbench.methods.material_ode.MaterialODE.product_type", lambda self: other)
    with pytest.raises(AmsbenchError, match=f"material-ode multiplies matrices in {other} here, and in"):
        publish._check_precision([result])
