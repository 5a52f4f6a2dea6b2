"""The functions for scripts and notebooks: other arguments are refused in one sentence, not by an error from within."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write

import amsbench
from amsbench.benchmark.api import (
    evaluate,
    generate,
    load_checkpoint_for,
    load_dataset,
    load_method,
    start_cells,
    train,
)
from amsbench.benchmark.system.devices import pick_device
from amsbench.errors import AmsbenchError
from amsbench.testing import synthetic_dataset


@pytest.fixture(scope="module")
def dataset():
    return synthetic_dataset(12)


@pytest.fixture
def frames(dataset):
    return [dataset.atoms(k) for k in range(3)]


@pytest.fixture(scope="module")
def method():
    return load_method("amshortcut", dataset="asio2")


NAME = synthetic_dataset(8).property_names[0]

EVALUATIONS = {
    "a single structure": ({"frames": Atoms("Si")}, "not a single one; write .atoms."),
    "the path of a file": (
        {"frames": Path("a.xyz")},
        "not the path 'a.xyz'; read it with amsbench.read_structures",
    ),
    "a number for structures": ({"frames": 3}, "frames is a list of ASE Atoms, not 3"),
    "no structures": ({"frames": []}, "there are no structures"),
    "texts for structures": ({"frames": ["a.xyz"]}, "structure 0 is not ASE Atoms, but 'a.xyz'"),
    "too few targets": ({"targets": {NAME: [1.0, 2.0]}}, "is neither one number nor 3, one per structure"),
    "a table of targets": ({"targets": {NAME: np.ones((3, 1))}}, "is neither one number nor 3"),
    "ragged targets": ({"targets": {NAME: [1.0, [2.0], 3.0]}}, "is neither one number nor 3"),
    "targets of text": ({"targets": {NAME: ["1", "2", "3"]}}, "is neither one number nor 3"),
    "targets of truth": ({"targets": {NAME: [True, False, True]}}, "is neither one number nor 3"),
    "a target that is no number": ({"targets": {NAME: [1.0, np.nan, 2.0]}}, "is not finite"),
    "a target beyond single precision": ({"targets": {NAME: -1e308}}, "is not finite"),
    "a list of targets": ({"targets": [1.0, 2.0, 3.0]}, "targets is a table such as"),
    "no name of a target": ({"targets": {3: "x"}}, "each name of targets is a name"),
    "another property": ({"targets": {"hardness": 1.0}}, "no property 'hardness'"),
    "properties as text": ({"properties": NAME}, f"not the text '{NAME}'; write .'{NAME}'."),
    "metrics as text": ({"metrics": "sq"}, "metrics is a list of names, not the text 'sq'"),
    "a number among the metrics": ({"metrics": [1]}, "each of metrics is a name"),
    "properties as a number": ({"properties": 5}, "properties is a list of names, not 5"),
    "a path for a dataset": ({"dataset": Path("a.npz")}, "read it with load_dataset"),
    "no dataset": ({"dataset": None}, "dataset is a name, such as 'asio2', not None"),
    "an unknown dataset": ({"dataset": "asio3"}, "unknown dataset 'asio3'"),
}


@pytest.mark.parametrize("case", EVALUATIONS)
def test_an_evaluation_of_something_else(frames, dataset, case):
    changed, words = EVALUATIONS[case]
    arguments = {"frames": frames, "dataset": dataset} | changed
    with pytest.raises(AmsbenchError, match=words):
        evaluate(**arguments)


def test_structures_in_other_units_are_asked_about(frames, dataset):
    for frame in frames:
        frame.set_cell(frame.cell / 0.529177, scale_atoms=True)
    with pytest.raises(AmsbenchError, match=r"these structures most atoms have no neighbour .* in angstrom"):
        evaluate(frames, dataset)


def test_an_iterator_of_structures_and_one_target_for_all(frames, dataset):
    evaluation = evaluate(iter(frames), dataset, targets={NAME: 3})
    assert evaluation.table[f"target_{NAME}"].tolist() == [3.0, 3.0, 3.0]


def test_structures_of_a_file_are_read_as_by_the_command_line(frames, dataset, tmp_path):
    frames[1].positions[0, 0] = np.nan
    write(tmp_path / "a.extxyz", frames)
    structures = amsbench.read_structures(str(tmp_path / "a.extxyz"))
    assert structures.faults == {1: "has positions or a cell that are not finite numbers"}
    assert evaluate(structures, dataset).failures["structure"] == {structures.faults[1]: 1}
    for arguments, words in {
        (None,): "path is the path of a file",
        (tmp_path / "b.xyz",): "no structures at",
    }.items():
        with pytest.raises(AmsbenchError, match=words):
            amsbench.read_structures(*arguments)
    with pytest.raises(AmsbenchError, match="types is a list of names, not the text 'Si,O'"):
        amsbench.read_structures(tmp_path / "a.extxyz", types="Si,O")
    with pytest.raises(AmsbenchError, match="format_name is a name"):
        amsbench.read_structures(tmp_path / "a.extxyz", format_name=3)


GENERATIONS = {
    "half a step": ({"steps": 2.5}, "sampling steps is a whole number, 1 or more, not 2.5"),
    "no step": ({"steps": 0}, "sampling steps is a whole number, 1 or more, not 0"),
    "a yes for steps": ({"steps": True}, "not True"),
    "a text for steps": ({"steps": "5"}, "not '5'"),
    "half a structure": ({"count": 1.5}, "the number of structures is a whole number, 1 or more, not 1.5"),
    "no structures": ({"count": 0}, "1 or more, not 0"),
    "a negative seed": ({"seed": -1}, "the seed is a whole number, 0 or more, not -1"),
    "half a seed": ({"seed": 0.5}, "the seed is a whole number"),
    "no seed": ({"seed": None}, "the seed is a whole number"),
    "a cell of text": ({"cell": "large"}, "a cell is 1, 3 or 9 numbers in angstrom, not 'large'"),
    "a cell of text with a number": ({"cell": "18"}, "a cell is 1, 3 or 9 numbers in angstrom, not '18'"),
    "a yes for a cell": ({"cell": True}, "a cell is 1, 3 or 9 numbers in angstrom, not True"),
    "a negative edge": ({"cell": [10, -10, 10]}, "the edges of a cell are above 0"),
    "a cell of two numbers": ({"cell": [10.0, 10.0]}, "a cell is 1, 3 or 9 finite numbers"),
    "a ragged cell": ({"cell": [[10.0], [1.0, 2.0]]}, "a cell is 1, 3 or 9 numbers"),
    "a thin cell": ({"cell": 4.0}, "below the network's cutoff"),
    "a name of a method": ({"method": "amshortcut"}, "method is a trained method, such as load_method gives"),
    "another sampler": ({"sampler": "euler"}, "has no sampler 'euler'"),
    "a sampler by number": ({"sampler": 3}, "the sampler is a name"),
    "a target of text": ({"targets": {"ring_size": "high"}}, "is neither one number nor 1"),
    "too many targets": ({"targets": {"ring_size": [5.0, 6.0]}}, "is neither one number nor 1"),
    "a target that is no number": ({"targets": {"ring_size": np.nan}}, "is not finite"),
    "an unknown target": ({"targets": {"hardness": 1.0}}, "not trained on property 'hardness'"),
    "targets without names": ({"targets": [5.0]}, "targets is a table"),
    "a path for a dataset": ({"dataset": Path("a.npz")}, "read it with load_dataset"),
}


@pytest.mark.parametrize("case", GENERATIONS)
def test_a_generation_of_something_else(method, case):
    changed, words = GENERATIONS[case]
    with pytest.raises(AmsbenchError, match=words):
        generate(**({"method": method, "steps": 1, "cell": 10.0} | changed))


def test_cells_for_half_a_structure(method):
    with pytest.raises(AmsbenchError, match="the number of structures is a whole number"):
        start_cells(method, 2.5, 10.0)


LOADINGS = {
    "an unknown device": ({"device": "gpu"}, "unknown device 'gpu'"),
    "no device": ({"device": None}, "unknown device 'None'"),
    "a class for a method": ({"name": Atoms}, "the method is a name"),
    "an unknown method": ({"name": "amshortcuts"}, "did you mean 'amshortcut'"),
    "a baseline that is not trained": ({"name": "simulation"}, "'simulation' is no model"),
    "a dataset that is loaded": ({"dataset": synthetic_dataset(8)}, "dataset is a name"),
    "no file": ({"checkpoint": "nowhere.safetensors"}, "no checkpoint at nowhere.safetensors"),
    "a folder": ({"checkpoint": Path(__file__).parent}, "no checkpoint at"),
    "a number for a file": ({"checkpoint": 7}, "checkpoint is the path of a file or folder, not 7"),
}


@pytest.mark.parametrize("case", LOADINGS)
def test_a_method_that_cannot_be_loaded(case):
    changed, words = LOADINGS[case]
    with pytest.raises(AmsbenchError, match=words):
        load_method(**({"name": "amshortcut", "dataset": "asio2"} | changed))


def test_the_device_auto_is_one_of_this_machine():
    method = load_checkpoint_for("amshortcut", "asio2", device="auto").method
    assert next(method.parameters()).device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device(torch.device("cpu")) == "cpu"


TRAININGS = {
    "an option of another name": (
        {"sample_seen": 10},
        "no option 'sample_seen'; did you mean 'samples_seen'",
    ),
    "half a structure": ({"samples_seen": 2.5}, "samples_seen is a whole number, 1 or more, not 2.5"),
    "no structures": ({"samples_seen": 0}, "samples_seen is a whole number"),
    "a batch of none": ({"batch_size": 0}, "batch_size is a whole number, 1 or more, not 0"),
    "half a batch": ({"batch_size": 2.5}, "batch_size is a whole number"),
    "no validation": ({"validate_every": 0}, "validate_every is a whole number"),
    "a learning rate of text": ({"learning_rate": "fast"}, "learning_rate is a number above 0, not 'fast'"),
    "a learning rate that is no number": ({"learning_rate": np.nan}, "learning_rate is a number above 0"),
    "an average without end": ({"ema_decay": 1.5}, "ema_decay is a number above 0 and at most 1, not 1.5"),
    "a negative seed": ({"seed": -1}, "the seed is a whole number"),
    "minutes of text": ({"minutes": "ten"}, "in minutes is a number above 0, not 'ten'"),
    "two lengths": ({"minutes": 1.0, "samples_seen": 3}, "give one of them"),
    "no folder": ({"output": None}, "output is the path of a file or folder, not None"),
    "properties as text": ({"properties": NAME}, f"not the text '{NAME}'"),
    "a property of others": ({"properties": ["hardness"]}, "no property 'hardness'"),
    "settings of text": ({"config": "large"}, "config is a table"),
    "another setting": ({"config": {"size": 3}}, "no setting 'size'"),
    "another network": ({"network": "huge"}, "no network 'huge'"),
    "an unknown device": ({"device": "tpu"}, "unknown device 'tpu'"),
    "a class for a method": ({"method": Atoms}, "the method is a name"),
    "a report that is no function": ({"report": 3}, "report is a function of the progress, not 3"),
    "no first checkpoint": ({"init_from": "nowhere.safetensors"}, "no checkpoint at nowhere.safetensors"),
    "a path for a dataset": ({"dataset": Path("a.npz")}, "read it with load_dataset"),
}


@pytest.mark.parametrize("case", TRAININGS)
def test_a_training_of_something_else(dataset, tmp_path, case):
    changed, words = TRAININGS[case]
    arguments = {"method": "amshortcut", "dataset": dataset, "output": tmp_path / "run"}
    with pytest.raises(AmsbenchError, match=words):
        train(**(arguments | changed))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("asio3",), "unknown dataset 'asio3'"),
        ((None,), "dataset is a name, such as 'asio2', not None"),
        ((["asio2"],), "dataset is a name"),
        (("asio2", 3), "the file of a dataset is the path of a file or folder, not 3"),
        (("asio2", "nowhere.npz"), "nowhere.npz"),
    ],
)
def test_a_dataset_that_cannot_be_loaded(arguments, words):
    with pytest.raises(AmsbenchError, match=words):
        load_dataset(*arguments)
