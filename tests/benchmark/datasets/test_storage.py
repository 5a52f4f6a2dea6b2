"""Packed dataset files: round trip, and refusal of damaged, foreign or edited files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.io import iread

from amsbench.benchmark.datasets import storage
from amsbench.benchmark.datasets.asi import AmorphousSilicon
from amsbench.benchmark.datasets.asio2 import AmorphousSilica
from amsbench.benchmark.datasets.inspection import compare, info, verify
from amsbench.benchmark.datasets.storage import (
    decode_structures,
    encode_structures,
    export_extxyz,
    load_dataset,
    load_dataset_file,
    read_packed,
    save_dataset,
    splits_of_groups,
)
from amsbench.errors import AmsbenchError


def random_glasses(count: int) -> list[Atoms]:
    random = np.random.default_rng(1)
    glasses = []
    for _ in range(count):
        units = int(random.integers(3, 6))
        cell = np.diag(random.uniform(6, 8, 3)) + np.tril(random.uniform(-0.5, 0.5, (3, 3)), -1)
        positions = random.uniform(-1, 2, (3 * units, 3)) @ cell
        glasses.append(Atoms(["Si"] * units + ["O"] * 2 * units, positions=positions, cell=cell, pbc=True))
    return glasses


@pytest.fixture
def glasses() -> list[Atoms]:
    return random_glasses(12)


@pytest.fixture
def file(tmp_path, glasses):
    """A packed asio2 file of 12 samples, the last without a shear modulus."""
    labels = np.random.default_rng(2).normal(20, 2, (12, 3))
    labels[-1, 0] = np.nan
    arrays = {
        **encode_structures(glasses, AmorphousSilica.elements),
        "properties": labels,
        "groups": np.arange(12),
    }
    path = tmp_path / "asio2.npz"
    save_dataset(path, AmorphousSilica(), arrays, {"recipe": "reduced", "seed": 3})
    return path


def rewritten(path, **changes):
    """The same file with some arrays replaced and the old content hash."""
    with np.load(path, allow_pickle=False) as stored:
        contents = {name: stored[name] for name in stored.files}
    np.savez(path, **{**contents, **changes})
    return path


def forged(path, *, metadata=None, **changes):
    """The same file with some arrays and metadata entries replaced, and a matching content hash."""
    with np.load(path, allow_pickle=False) as stored:
        contents = {name: stored[name] for name in stored.files} | changes
    entries = json.loads(str(contents["metadata"])) | (metadata or {})
    text = json.dumps({name: value for name, value in entries.items() if value is not None})
    arrays = {name: contents[name] for name in storage.ARRAYS}
    hashed = {"metadata": np.array(text), "content_hash": np.array(storage._hash(arrays, text))}
    np.savez(path, **(contents | hashed))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": {"provenance": None}}, "has no 'provenance' in its metadata"),
        ({"metadata": {"provenance": {}}}, "has no 'recipe' in the provenance"),
        ({"metadata": {"dataset": 3}}, "has no 'dataset' in its metadata"),
        ({"counts": np.full(12, 9.0)}, "has counts of type float64"),
        ({"counts": np.full(12, -9)}, "has atom counts that are no list of numbers from 0 on"),
        ({"counts": np.full((12, 1), 9)}, "has atom counts that are no list"),
        ({"counts": np.full(12, 1)}, r"has fractional of shape .*, its counts and properties need \(12, 3\)"),
        ({"cells": np.full((12, 3, 3), "large")}, "has cells of type <U5"),
        ({"cells": np.zeros((12, 3, 3))}, "has a cell without volume"),
        ({"cells": np.full((12, 3, 3), np.nan)}, "has a cell without volume"),
        ({"cells": np.eye(3)[None] * 8}, r"has cells of shape \(1, 3, 3\)"),
        ({"properties": np.zeros(36)}, r"has properties of shape \(36,\)"),
        ({"properties": np.zeros((12, 2))}, r"has properties of shape \(12, 2\)"),
        ({"groups": np.arange(11)}, r"has groups of shape \(11,\)"),
        ({"splits": np.full(12, 3, dtype=np.int8)}, "has a split number beyond train, validation, test"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused_when_read(file, changes, message):
    with pytest.raises(AmsbenchError, match=rf"asio2\.npz {message}.*; build or import it again"):
        load_dataset_file(forged(file, **changes))


def test_elements_beyond_those_of_the_dataset_are_refused(file):
    species = read_packed(file)[0]["species"]
    with pytest.raises(AmsbenchError, match="has an element number beyond Si, O"):
        load_dataset_file(forged(file, species=species + np.uint8(1)))


def test_structures_and_labels_come_back(file, glasses):
    dataset = load_dataset("asio2", file)
    assert len(dataset) == 12
    assert dataset.provenance == {"recipe": "reduced", "seed": 3}
    assert np.isnan(dataset.properties).sum() == 1
    for index, glass in enumerate(glasses):
        stored = dataset.atoms(index)
        assert stored.get_chemical_symbols() == glass.get_chemical_symbols()
        np.testing.assert_allclose(stored.cell.array, glass.cell.array, atol=1e-5)
        off = (stored.positions - glass.positions) @ np.linalg.inv(glass.cell.array)
        off -= np.round(off)
        # Half a level of 1/65536 of each lattice vector.
        assert np.abs(off).max() < 0.51 / 65536 + 1e-6
        fractional = stored.get_scaled_positions(wrap=False)
        assert fractional.min() > -1e-6
        assert fractional.max() < 1


def test_a_coordinate_just_below_the_far_face_wraps_to_the_near_one() -> None:
    atoms = Atoms("Si", scaled_positions=[[0.9999999, -1e-12, 0.5]], cell=[5, 5, 5], pbc=True)
    arrays = encode_structures([atoms], ["Si"])
    assert arrays["fractional"].tolist() == [[0, 0, 32768]]


def test_encoding_is_exact_the_second_time(glasses):
    once = encode_structures(glasses, ["Si", "O"])
    twice = encode_structures(decode_structures(once, ["Si", "O"]), ["Si", "O"])
    for name, array in once.items():
        np.testing.assert_array_equal(twice[name], array)


def test_the_same_content_has_the_same_hash_and_other_content_another(tmp_path, file):
    arrays, metadata, content_hash = read_packed(file)
    again = tmp_path / "again.npz"
    assert save_dataset(again, AmorphousSilica(), arrays, metadata["provenance"]) == content_hash
    assert save_dataset(again, AmorphousSilica(), arrays, {"recipe": "paper"}) != content_hash
    changed = {**arrays, "cells": arrays["cells"] * (1 + 1e-15)}
    assert save_dataset(again, AmorphousSilica(), changed, metadata["provenance"]) != content_hash


def test_a_growing_dataset_moves_no_group_between_splits() -> None:
    fractions = (0.75, 0.08, 0.17)
    few, many = splits_of_groups(np.arange(20), fractions), splits_of_groups(np.arange(500), fractions)
    np.testing.assert_array_equal(many[:20], few)
    np.testing.assert_allclose(np.bincount(many) / 500, fractions, atol=0.01)
    # Also the first few melts are spread over the splits as asked for.
    np.testing.assert_allclose(
        np.bincount(splits_of_groups(np.arange(64), fractions)) / 64, fractions, atol=0.03
    )


def test_snapshots_of_a_melt_share_a_split(tmp_path):
    atoms = [Atoms("Si2", positions=[[0, 0, 0], [2.5, 0, 0]], cell=[5] * 3, pbc=True)] * 60
    groups = np.repeat(np.arange(20), 3)
    arrays = {**encode_structures(atoms, ["Si"]), "properties": np.zeros((60, 0)), "groups": groups}
    save_dataset(tmp_path / "asi.npz", AmorphousSilicon(), arrays, {"recipe": "reduced"})
    dataset = load_dataset("asi", tmp_path / "asi.npz")
    assert set(dataset.splits) == {0, 1, 2}
    for group in range(20):
        assert len(set(dataset.splits[dataset.groups == group])) == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AmsbenchError, match=r"there is no dataset file .*nothing\.npz"):
        load_dataset_file(tmp_path / "nothing.npz")


def test_without_bundled_data_the_build_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "bundled_path", lambda name: tmp_path / f"{name}.npz")
    with pytest.raises(AmsbenchError, match="amsbench data build asi"):
        load_dataset("asi")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(file, kept):
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(AmsbenchError, match=r"asio2\.npz"):
        load_dataset_file(file)


def test_every_flipped_byte_is_noticed(file):
    # By the archive's checksums, by the reader or by the content hash; a few bytes of the container (times,
    # unused fields) mean nothing, and then the content is the same.
    content = file.read_bytes()
    expected = load_dataset_file(file).content_hash
    noticed = 0
    for place in np.random.default_rng(5).integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        file.write_bytes(bytes(damaged))
        try:
            found = load_dataset_file(file).content_hash
        except AmsbenchError:
            noticed += 1
        else:
            assert found == expected
    assert noticed > 30


@pytest.mark.parametrize("name", ["fractional", "cells", "species", "properties", "groups", "splits"])
def test_an_edited_array_is_refused(file, name):
    arrays, _, _ = read_packed(file)
    changed = arrays[name].copy()
    changed.flat[0] += 1
    with pytest.raises(AmsbenchError, match="content hash"):
        load_dataset_file(rewritten(file, **{name: changed}))


def test_edited_metadata_is_refused(file):
    _, metadata, _ = read_packed(file)
    metadata["provenance"]["recipe"] = "paper"
    with pytest.raises(AmsbenchError, match="content hash"):
        load_dataset_file(rewritten(file, metadata=np.array(json.dumps(metadata))))


def test_another_format_version_is_refused(file):
    _, metadata, _ = read_packed(file)
    metadata["version"] = 99
    with pytest.raises(AmsbenchError, match="format 99"):
        load_dataset_file(rewritten(file, metadata=np.array(json.dumps(metadata))))


def test_files_of_other_kinds_are_refused(tmp_path, file):
    text, archive, array = tmp_path / "text.npz", tmp_path / "archive.npz", tmp_path / "array.npz"
    text.write_text("not a dataset")
    np.savez(archive, positions=np.zeros(3))
    with open(array, "wb") as stream:
        np.save(stream, np.zeros(3))
    for path in (text, archive, array):
        with pytest.raises(AmsbenchError, match="not an amsbench"):
            load_dataset_file(path)


def test_nothing_that_could_run_code_is_read(file):
    objects = np.empty(12, dtype=object)
    objects[:] = [print] * 12
    with np.load(file, allow_pickle=False) as stored:
        contents = {name: stored[name] for name in stored.files}
    np.savez(file, **{**contents, "groups": objects})
    with pytest.raises(AmsbenchError, match="damaged or is not"):
        load_dataset_file(file)


def test_a_file_of_another_dataset_is_refused(file):
    with pytest.raises(AmsbenchError, match="holds the dataset 'asio2', not 'asi'"):
        load_dataset("asi", file)


def test_a_failed_write_leaves_the_old_file(file, monkeypatch):
    arrays, metadata, content_hash = read_packed(file)

    def broken(stream, **contents):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", broken)
    with pytest.raises(AmsbenchError, match="No space left"):
        save_dataset(file, AmorphousSilica(), arrays, {**metadata["provenance"], "seed": 4})
    monkeypatch.undo()
    assert load_dataset_file(file).content_hash == content_hash
    assert list(file.parent.iterdir()) == [file]


def test_export_can_be_read_by_ase(file, tmp_path):
    dataset = load_dataset("asio2", file)
    assert export_extxyz(dataset, tmp_path / "all.extxyz") == 12
    written = list(iread(tmp_path / "all.extxyz"))
    np.testing.assert_allclose(written[3].positions, dataset.atoms(3).positions, atol=1e-6)
    assert written[3].info["ring_size"] == pytest.approx(dataset.properties[3, 2])
    assert "shear_modulus" not in written[11].info
    assert export_extxyz(dataset, tmp_path / "test.extxyz", "test") == len(dataset.indices("test"))
    with pytest.raises(AmsbenchError, match="no samples in the split 'test'"):
        export_extxyz(dataset.split("train"), tmp_path / "none.extxyz", "test")


def test_verify_reports_and_refuses_wrong_splits(file):
    facts = verify(file)
    assert facts["samples"] == 12
    assert sum(facts["splits"].values()) == 12
    arrays, metadata, _ = read_packed(file)
    arrays["splits"] = 2 - arrays["splits"]
    # Even with a hash that fits.
    forged = storage._hash(arrays, json.dumps(metadata, sort_keys=True))
    rewritten(file, splits=arrays["splits"], content_hash=np.array(forged))
    with pytest.raises(AmsbenchError, match="splits that do not follow"):
        verify(file)


def test_info_knows_density_and_labels(file):
    dataset = load_dataset("asio2", file)
    facts = info(dataset)
    glass = dataset.atoms(0)
    densities = [dataset.atoms(i).get_masses().sum() / dataset.atoms(i).get_volume() for i in range(12)]
    assert facts["mass_density"]["mean"] == pytest.approx(np.mean(densities) * 1.66053906660, rel=1e-5)
    assert facts["element_fractions"] == pytest.approx({"Si": 1 / 3, "O": 2 / 3})
    assert facts["properties"]["shear_modulus"]["labelled"] == 11
    assert facts["properties"]["ring_size"]["coverage"] == 1
    assert facts["atoms_per_sample"]["min"] <= len(glass) <= facts["atoms_per_sample"]["max"]
    json.dumps(facts)


def test_compare_puts_a_difference_beside_its_error(file):
    dataset = load_dataset("asio2", file)
    # The same structures in cells of 1 % longer edges are 2.9 % less dense.
    stretched = replace(dataset, cells=dataset.cells * 1.01, positions=dataset.positions * 1.01)
    # Random atoms overlap; energies are not what is tested here.
    result = compare(dataset, stretched, energies=0)
    density = result["quantities"]["mass_density"]
    assert density["difference"] == pytest.approx(density["reduced"]["mean"] * (1.01**-3 - 1), rel=1e-4)
    assert result["quantities"]["ring_size"]["difference"] == 0
    assert compare(dataset, dataset, energies=0)["rdf_rmsd"] == 0
    few = compare(dataset, dataset.subset(np.arange(3)), energies=0)
    assert few["rdf_floor"] > result["rdf_floor"] > 0
    json.dumps(result)


def test_compare_refuses_two_datasets(file, tiny_asi):
    with pytest.raises(AmsbenchError, match="compare two files of one dataset"):
        compare(load_dataset("asio2", file), tiny_asi)
