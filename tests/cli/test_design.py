"""`amsbench design`: a real glass, exit codes, and messages about mistakes."""

import pytest
from ase.io import read

from amsbench.benchmark.design.folder import opened_folder

SMALL = ("--cell", "11", "--round-size", "4", "--most", "8", "--cores", "1")
"""A cube of 146 atoms and ghosts, which takes a second to generate and to measure."""


def arguments(*more, output="glasses.extxyz", target="shear_modulus=23"):
    return ("design", "--dataset", "asio2", "--target", target, "--output", output, *more)


def test_a_silica_glass_comes_with_its_properties_and_the_command_goes_on(amsbench, tmp_path):
    command = arguments(*SMALL, "--tolerance", "6")
    code, out, err = amsbench(*command)
    assert code == 0, err
    assert "shear_modulus = 23 ± 6 GPa" in err
    assert "training glasses" in err
    assert "Each hit cost" in err
    assert "shear_modulus (GPa)" in out
    (glass,) = read(tmp_path / "glasses.extxyz", ":")
    assert abs(glass.info["shear_modulus"] - 23.0) <= 6.0
    assert glass.info["relaxed"]
    stamp = (tmp_path / "glasses.design" / "round-0000.json").stat().st_mtime_ns
    code, again, _ = amsbench(*command)
    assert (code, again) == (0, out)
    assert (tmp_path / "glasses.design" / "round-0000.json").stat().st_mtime_ns == stamp


MISTAKES = {
    "an unknown property": (
        {"target": "hardness=7"},
        (),
        "dataset 'asio2' has no property 'hardness'; it has: shear_modulus",
    ),
    "a property that the model does not know": (
        {"target": "youngs_modulus=60"},
        (),
        "was not trained on property 'youngs_modulus'",
    ),
    "no number": ({"target": "shear_modulus=high"}, (), "is not a target; write name=value with a number"),
    "a range": ({"target": "shear_modulus=20:30"}, (), "is not a target; write name=value"),
    "a tolerance of zero": ({}, ("--tolerance", "0"), "the tolerance of shear_modulus is a number above 0"),
    "a tolerance of text": ({}, ("--tolerance", "small"), "'small' is not a tolerance"),
    "a target twice": ({}, ("--target", "shear_modulus=25"), "the target of 'shear_modulus' is there twice"),
    "an unknown suffix": ({"output": "glasses.qqq"}, (), "the suffix of no format of structures"),
    "a folder for a file": ({"output": "."}, (), "give one such as .extxyz"),
    "a folder that is a file": ({"output": "taken/glasses.extxyz"}, (), "cannot write to the folder taken"),
    "a foreign output": (
        {"output": "mine.extxyz"},
        (),
        "mine.extxyz exists and was not written by the design",
    ),
    "no checkpoint": ({}, ("--checkpoint", "none.safetensors"), "no checkpoint at none.safetensors"),
    "an unknown method": ({}, ("--method", "amshortcat"), "amshortcut"),
    "an unknown sampler": ({}, ("--sampler", "best"), "has no sampler 'best'"),
    "a thin cell": ({}, ("--cell", "4"), "below the network's cutoff"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(amsbench, mistake, tmp_path, case):
    changed, more, words = MISTAKES[case]
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "mine.extxyz").write_text("a file")
    mistake(amsbench(*arguments(*more, **changed)), words)
    assert not list(tmp_path.glob("*/round*"))
    assert (tmp_path / "mine.extxyz").read_text() == "a file"


def test_no_glasses_are_a_mistake(amsbench):
    code, _, err = amsbench(*arguments("--count", "0"))
    assert code == 2
    assert "--count" in err


def test_a_target_out_of_reach_has_an_exit_code_of_its_own(amsbench, tmp_path):
    few = ("--cell", "11", "--round-size", "2", "--most", "2", "--cores", "1")
    code, out, err = amsbench(*arguments(*few, target="shear_modulus=60"))
    assert code == 3
    assert out == ""
    assert "above all of the 420 training glasses" in err
    assert "amsbench: the budget is spent (2 structures): 0 of 1 glasses" in err
    assert "the nearest one: glasses.design/nearest.extxyz" in err
    assert not (tmp_path / "glasses.extxyz").exists()
    assert len(read(tmp_path / "glasses.design" / "nearest.extxyz", ":")) == 1


def test_another_design_of_the_same_name_is_refused(amsbench, mistake, tmp_path):
    (tmp_path / "glasses.design").mkdir()
    with opened_folder(tmp_path / "glasses.design", {"steps": 10}):
        mistake(amsbench(*arguments()), "another process is at work in glasses.design")
    mistake(amsbench(*arguments()), "glasses.design holds a design with", "give another output")
