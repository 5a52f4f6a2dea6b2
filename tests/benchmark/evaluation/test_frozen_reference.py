"""Frozen references: the same scores as from the data, without the data; files that are damaged, edited or outdated."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import amsbench
from amsbench.benchmark.datasets import storage
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.evaluation import reference_values
from amsbench.benchmark.evaluation.freezing import frozen_metrics
from amsbench.benchmark.evaluation.frozen_reference import (
    REFERENCE_SPLITS,
    STRUCTURES_IN_FILE,
    frozen_path,
    read_reference,
)
from amsbench.benchmark.evaluation.material_limits import training_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.registry import load, load_metric
from amsbench.benchmark.runs.current_code import metric_codes
from amsbench.benchmark.runs.references import reference_for
from amsbench.benchmark.system.checked_files import read_npz, write_npz
from amsbench.errors import AmsbenchError
from amsbench.metrics.metric import CurveMetric

NAMES = ("asi", "asio2", "meg")
ROOT = Path(__file__).parents[3]
AGAIN = "run 'amsbench data freeze {} --keep-limits'"


@pytest.fixture(scope="module", params=NAMES)
def both(request):
    """The frozen reference of a dataset, and the one that is computed on its data."""
    return reference_for(request.param), Reference(load_dataset(request.param))


@pytest.fixture
def no_data(monkeypatch):
    """Makes every attempt to read a dataset file fail."""

    def read_packed(path):
        raise AmsbenchError(f"{path} was read")

    monkeypatch.setattr(storage, "read_packed", read_packed)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_files_are_those_of_the_data_and_the_code(name):
    frozen, dataset = read_reference(frozen_path(name)), load_dataset(name)
    assert frozen.dataset_hash == dataset.content_hash, AGAIN.format(name)
    metrics = frozen_metrics(dataset.definition)
    assert frozen.metric_code == metric_codes(dataset.definition, metrics, ()), AGAIN.format(name)
    assert frozen_path(name).stat().st_size < 1_000_000
    assert frozen.training_structures == len(dataset.indices("train"))


def test_the_pages_name_the_committed_files():
    frozen = {name: read_reference(frozen_path(name)) for name in NAMES}
    page = (ROOT / "docs" / "guides" / "score_your_structures.md").read_text(encoding="utf-8")
    for name, reference in frozen.items():
        kilobytes = frozen_path(name).stat().st_size / 1000
        assert f"| `{name}` | `{reference.content_hash[:12]}` | {kilobytes:.0f} kB |" in page
    assert set(re.findall(r"frozen reference (\w{12})", page)) == {frozen["asio2"].content_hash[:12]}


def test_curves_are_equal_to_rounding(both):
    frozen, computed = both
    definition = computed.definition
    names = [name for name in frozen_metrics(definition) if issubclass(load("metrics", name), CurveMetric)]
    assert {"rdf", "adf", "sq"} < set(names)
    for split in REFERENCE_SPLITS:
        stored = Reference(frozen.values, split=split)
        fresh = Reference(computed.values, split=split)
        # the expensive ones are covered by one split
        for name in names if split == "test" else ("rdf", "adf"):
            metric = load_metric(name, CurveMetric)
            a, b = stored.curve(metric), fresh.curve(metric)
            for part in ("grid", "mean", "variance", "mean_variance"):
                # sums depend on the instructions of the processor
                np.testing.assert_allclose(
                    getattr(a, part), getattr(b, part), rtol=1e-12, atol=1e-15, err_msg=f"{name} {part}"
                )
            assert (a.samples, a.groups) == (b.samples, b.groups)
    assert "data" not in frozen.describe()


def test_labels_fractions_and_descriptors_are_equal(both):
    frozen, computed = both
    for item in computed.definition.properties:
        assert frozen.labels(item.name) == computed.labels(item.name)
    np.testing.assert_array_equal(frozen.fractions, computed.fractions)
    # energies are those of LAMMPS, whose sums depend on the processor
    assert frozen.descriptors() == pytest.approx(computed.descriptors(), rel=1e-12, abs=1e-15)
    assert list(frozen.descriptors()) == list(computed.descriptors())


def test_training_structures_are_those_of_the_data_to_the_last_bit(both):
    frozen, computed = both
    stored = frozen.material(relaxed=True).structures
    everything = training_structures(computed.values.dataset)
    chosen = np.linspace(0, len(everything) - 1, min(len(everything), STRUCTURES_IN_FILE)).round().astype(int)
    for structure, k in zip(stored, chosen, strict=True):
        for part in ("positions", "cell", "species"):
            np.testing.assert_array_equal(getattr(structure, part), getattr(everything[k], part))
    assert frozen.material(relaxed=True).limits == computed.material(relaxed=True).limits


def test_scores_and_judgements_are_equal(both):
    """Of a copy, which is in both, a displaced one, and held-out structures."""
    frozen, computed = both
    dataset = computed.values.dataset
    train, test = dataset.split("train"), dataset.split("test")
    shaken = train.atoms(len(train) // 2)
    shaken.rattle(0.1, seed=1)
    frames = [train.atoms(0), shaken, test.atoms(0), test.atoms(1)]
    for atoms in frames:
        atoms.info.clear()
    a, b = (amsbench.evaluate(frames, source) for source in (dataset.definition.name, dataset))
    for name, scores in a.structural.curves.items():
        assert scores.model_dump() == pytest.approx(b.structural.curves[name].model_dump(), rel=1e-12)
    everything = len(frozen.values.frozen.structures["counts"]) == len(train)
    # of a part of the training structures the distances are those to fewer environments
    depends = set() if everything else {"environment_distance", "largest_overlap"}
    assert set(a.table) == set(b.table)
    for column in set(a.table) - depends:
        if a.table[column].dtype.kind in "fib":
            np.testing.assert_allclose(
                a.table[column].astype(float), b.table[column].astype(float), rtol=1e-12, err_msg=column
            )
    assert a.table["right_substance"][2:].all()
    assert a.table["largest_overlap"][0] == 1.0
    assert {k: v for k, v in a.descriptors.items() if k not in depends} == pytest.approx(
        {k: v for k, v in b.descriptors.items() if k not in depends}, rel=1e-12
    )


def test_copies_of_structures_that_are_not_in_the_file_are_seen_with_the_data_alone():
    """``asi`` has more training structures than its file; the report says how many are compared."""
    dataset = load_dataset("asi")
    train = dataset.split("train")
    frozen = reference_for("asi")
    assert f"copies of {STRUCTURES_IN_FILE} of the {len(train)} training structures" in frozen.describe()
    kept = np.linspace(0, len(train) - 1, STRUCTURES_IN_FILE).round().astype(int)
    assert {0, 1} & set(kept) == {0}
    frames = [train.atoms(0), train.atoms(1)]
    limits = frozen.material(relaxed=False).limits
    overlaps = {
        source: amsbench.evaluate(frames, origin).table["largest_overlap"].to_numpy() >= limits.overlap
        for source, origin in (("frozen", "asi"), ("data", dataset))
    }
    assert overlaps["frozen"].tolist() == [True, False]
    assert overlaps["data"].tolist() == [True, True]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_read_from_the_data(name, no_data, request):
    frozen = reference_for(name)
    for metric in frozen_metrics(frozen.definition):
        if issubclass(load("metrics", metric), CurveMetric):
            frozen.curve(load_metric(metric, CurveMetric))
    for item in frozen.definition.properties:
        frozen.labels(item.name)
    assert len(frozen.fractions) == frozen.values.frozen.training_structures
    assert frozen.descriptors()["density"] > 2
    with pytest.raises(AmsbenchError, match="was read"):
        load_dataset(name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of references with a copy of that of ``meg``, and a function that edits it."""
    monkeypatch.setattr(reference_values, "frozen_path", lambda name: tmp_path / f"{name}.npz")
    monkeypatch.setattr(
        "amsbench.benchmark.runs.references.frozen_path", lambda name: tmp_path / f"{name}.npz"
    )
    path = tmp_path / "meg.npz"
    path.write_bytes(frozen_path("meg").read_bytes())
    return path


def test_an_edited_file_is_refused(folder):
    contents = read_npz(folder)
    contents["curve/rdf/test/mean"][50] += 1e-9
    write_npz(folder, contents)
    with pytest.raises(AmsbenchError, match=r"meg\.npz has been changed since it was written") as error:
        reference_for("meg")
    assert "amsbench data freeze" in str(error.value)
    with pytest.raises(AmsbenchError, match="has been changed"):
        Reference(load_dataset("meg")).material(relaxed=True)


def test_edited_limits_are_refused(folder):
    contents = read_npz(folder)
    metadata = json.loads(str(contents["metadata"]))
    metadata["limits"]["overlap"] = 2.0
    write_npz(folder, {**contents, "metadata": np.array(json.dumps(metadata))})
    with pytest.raises(AmsbenchError, match="has been changed since it was written"):
        reference_for("meg")


def test_damaged_files_and_other_formats_are_named(folder):
    whole = folder.read_bytes()
    folder.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AmsbenchError, match=r"meg\.npz is damaged or is not a reference"):
        read_reference(folder)
    folder.write_bytes(b"no archive")
    with pytest.raises(AmsbenchError, match=r"meg\.npz is damaged or is not a reference"):
        read_reference(folder)
    write_npz(folder, {"format": np.array(1)})
    with pytest.raises(AmsbenchError, match=r"meg\.npz is not a reference of this version"):
        read_reference(folder)
    text = json.dumps({"format": "amsbench-reference", "version": 3})
    write_npz(folder, {"metadata": np.array(text), "content_hash": np.array("0")})
    with pytest.raises(AmsbenchError, match="amsbench-reference 3, this version reads amsbench-reference 2"):
        read_reference(folder)
    with pytest.raises(AmsbenchError, match=r"no reference .*none\.npz"):
        read_reference(folder.with_name("none.npz"))


def test_the_file_of_another_dataset_is_refused(folder):
    folder.rename(folder.with_name("asi.npz"))
    with pytest.raises(AmsbenchError, match=r"is the reference of 'meg' with .*, but 'asi' has Si"):
        reference_for("asi")


def test_without_a_file_the_data_are_read(folder):
    assert reference_for("asio2").describe() == f"data {load_dataset('asio2').content_hash[:12]}"


def test_what_is_written_again_is_the_same_file(folder):
    before = folder.read_bytes()
    frozen = read_reference(folder)
    frozen.write(folder)
    assert folder.read_bytes() == before


def frozen_with(folder, **changed):
    """Writes the reference of ``meg`` with other values and reads it."""
    replace(read_reference(folder), **changed).write(folder)
    return reference_for("meg")


def test_values_of_other_code_are_computed_on_the_data(folder, no_data, monkeypatch):
    rdf = load_metric("rdf", CurveMetric)
    codes = read_reference(folder).metric_code
    frozen = frozen_with(folder, metric_code={**codes, "rdf": "0" * 64, "density": "0" * 64})
    sentence = "no values of this version of 'rdf', and its data cannot be read: .* was read"
    with pytest.raises(AmsbenchError, match=sentence):
        frozen.curve(rdf)
    frozen.curve(load_metric("adf", CurveMetric))
    monkeypatch.undo()
    assert frozen.curve(rdf).mean.tolist() == Reference(load_dataset("meg")).curve(rdf).mean.tolist()
    assert frozen.descriptors()["density"] == pytest.approx(
        read_reference(folder).descriptors["density"], rel=1e-12
    )
    assert frozen.describe().endswith(
        f"rdf and descriptors from the data {load_dataset('meg').content_hash[:12]}"
    )


def test_what_a_file_lacks_is_computed_on_the_data_that_it_was_made_from(folder):
    stored = read_reference(folder)
    curves = {split: {"rdf": stored.curves[split]["rdf"]} for split in REFERENCE_SPLITS}
    frozen = frozen_with(folder, curves=curves, labels={})
    adf = load_metric("adf", CurveMetric)
    assert frozen.curve(adf).mean.tolist() == stored.curves["test"]["adf"].mean.tolist()
    assert frozen.labels("li_concentration") == stored.labels["li_concentration"]
    other = frozen_with(folder, curves=curves, dataset_hash="1" * 64)
    with pytest.raises(AmsbenchError, match=r"is not the data that it was made from \(111111111111\)"):
        other.curve(adf)
