"""`amsbench generate` with sizes and targets out of all proportion: one sentence before anything is computed."""

import pytest

COMMAND = ("generate", "-m", "amshortcut", "-d", "asio2", "-o", "glass.extxyz", "--cores", "1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--count", "1000000000"),
            ("1,000,000,000 structures", "1,000,000 that are generated at a time", "in parts"),
        ),
        (("--cell", "1e5"), ("1e+15 A^3", "at most 8,000,000", "give a smaller one")),
        (
            ("--target", "shear_modulus=1e30"),
            ("a target of 'shear_modulus'", "times the training range away"),
        ),
        (
            ("--target", "shear_modulus=-1e9"),
            ("a target of 'shear_modulus'", "times the training range away"),
        ),
    ],
)
def test_what_is_out_of_all_proportion_is_refused(amsbench, mistake, tmp_path, options, words):
    mistake(amsbench(*COMMAND, *options), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 67.1 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_full_memory_is_one_sentence(amsbench, mistake, tmp_path, monkeypatch, error):
    from amsbench.methods.amshortcut import AMShortcut

    def full(*arguments, **options):
        raise error

    monkeypatch.setattr(AMShortcut, "sample", full)
    mistake(amsbench(*COMMAND), "there is not enough memory", "give fewer or smaller structures")
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_program_are_not_hidden(amsbench, monkeypatch):
    from amsbench.methods.amshortcut import AMShortcut

    def broken(*arguments, **options):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(AMShortcut, "sample", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        amsbench(*COMMAND)
