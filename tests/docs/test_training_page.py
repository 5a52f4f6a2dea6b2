"""docs/training.md against the training records in the headers of the released checkpoints."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from amsbench.benchmark.training.checkpoints import RELEASED, load_checkpoint
from amsbench.benchmark.training.stages import stages_of, training_total

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| `(?P<name>[\w-]+)` \| (?P<stages>[^|]+) \| (?P<total>[\d,]+) \| (?P<minutes>\d+) min \|$", re.M
)
ROWS = {match["name"]: match for match in ROW.finditer(PAGE) if re.match(r"`[\w-]+` [\d,]+", match["stages"])}
RELEASED_NAMES = sorted(path.stem for path in RELEASED.glob("*.safetensors"))


def test_every_released_checkpoint_has_its_stages_in_the_table():
    assert sorted(ROWS) == RELEASED_NAMES


@pytest.mark.parametrize("name", RELEASED_NAMES)
def test_the_table_of_stages_is_what_the_headers_hold(name):
    checkpoint = load_checkpoint(RELEASED / f"{name}.safetensors")
    stages, total = stages_of(checkpoint.record), training_total(checkpoint.record)
    assert total is not None
    assert total.is_complete
    own = checkpoint.method.name
    texts = [f"`{stage.get('method', own)}` {stage['samples_seen']:,}" for stage in stages]
    assert ROWS[name]["stages"] == ", ".join(texts)
    assert ROWS[name]["total"] == f"{total.samples_seen:,}"
    assert int(ROWS[name]["minutes"]) == round(total.seconds / 60)


@pytest.mark.parametrize("name", RELEASED_NAMES)
def test_every_stage_starts_from_the_checkpoint_of_the_stage_before(name):
    stages = stages_of(load_checkpoint(RELEASED / f"{name}.safetensors").record)
    for before, after in pairwise(stages):
        if (
            "init_from" in after
        ):  # the origin of one stage of silica, which only the page describes, has no record
            assert after["init_from"] == before["content_hash"]
        else:
            assert after["source"] == "docs/training.md"
    assert stages[0]["init_from"] is None


@pytest.mark.parametrize("name", RELEASED_NAMES)
def test_numbers_from_the_page_are_in_its_table_of_commands(name):
    for stage in stages_of(load_checkpoint(RELEASED / f"{name}.safetensors").record):
        if stage.get("source"):
            assert f"{stage['samples_seen']:,}" in PAGE
            minutes = round(stage["seconds"] / 60)
            commands = re.search(
                rf"^\|[^\n]*-m {stage['method']} -d {stage['dataset']} [^\n]*\| {minutes} min \|$", PAGE, re.M
            )
            # the part of a training that another one started from has its share of the time
            assert commands or stage["options"]["samples_seen"] > stage["samples_seen"]
