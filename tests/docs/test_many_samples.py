"""The tables of many structures are those of the stored measurements, in which memory grows as the page says."""

import pytest


@pytest.fixture
def study(script):
    return script("studies/many_samples.py")


def test_times_are_those_of_a_structure_and_ratios_those_of_two_workers(study):
    """10 s for 500 structures are 20 ms; twice the workers in half the time are a ratio of 2."""
    row = {"seconds": 11.0, "cpu_seconds": 10.0, "gigabytes": 0.4}
    values = {f"{command} {count}": row for command in study.COMMANDS for count in study.COUNTS}
    for kind in study.WORKERS:
        values |= {f"{kind} 1": row, f"{kind} 2": row | {"seconds": 5.5}}
    memory, workers = study.tables(values).split("\n\n")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in memory.splitlines()[2:]]
    assert lines[0] == ["`generate`, memory", "0.40 GB", "0.40 GB", "0.40 GB"]
    assert lines[1] == ["`generate`, time of a structure", "20 ms", "2 ms", "0.2 ms"]
    assert [cell.strip() for cell in workers.splitlines()[2].strip("|").split("|")][1:] == [
        "11.0 s",
        "5.5 s",
        "2.00",
    ]


def test_memory_grows_by_no_more_than_the_scores_of_the_structures(study):
    """``generate`` writes and forgets them; the others keep a row and the curves of each, as docs/speed.md says."""
    values = study.stored()
    fewest, *_, most = study.COUNTS
    for command, kilobytes in {"generate": 1, "evaluate": 30, "run": 30}.items():
        grown = values[f"{command} {most}"]["gigabytes"] - values[f"{command} {fewest}"]["gigabytes"]
        assert grown * 1e6 < kilobytes * most, command


def test_the_page_has_the_tables_of_the_stored_measurements(study):
    assert study.STORED.is_on_page(study.tables(study.stored())), (
        "run: python docs/studies/many_samples.py table"
    )
