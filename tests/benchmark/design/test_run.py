"""Designs: what is kept, what it follows from, and that a stopped one goes on."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from amsbench.benchmark.design.run import Unobserved
from amsbench.benchmark.execution.local_pool import local_pool
from amsbench.benchmark.system.files import exclusive_lock
from amsbench.errors import AmsbenchError
from amsbench.testing import synthetic_dataset

from .conftest import PROPERTY, TARGET, Densities, Designs


class StoppedAt(Unobserved):
    """Ends a design, as a kill does, when so many structures have come through a stage in all."""

    def __init__(self, stage, number):
        self.stage, self.left = stage, number

    def progress(self, stage, done, total):
        self.left -= stage == self.stage
        if self.left <= 0:
            raise KeyboardInterrupt

    def round_judged(self, number, rounds):
        self.progress("judged", 0, 0)


def same(one, two):
    """Whether two designs have tried and kept the same structures."""
    assert one.table.equals(two.table)
    assert [atoms.info for atoms in one.frames] == [atoms.info for atoms in two.frames]
    for first, second in zip(one.frames, two.frames, strict=True):
        assert np.array_equal(first.positions, second.positions)
    assert one.ending == two.ending
    return True


def test_every_glass_is_within_the_tolerance_and_different(designs):
    design = designs.run()
    assert design.complete
    assert len(design.frames) == 4
    measure = design.request.dataset.definition.measure
    for atoms in design.frames:
        obtained = measure(atoms, [PROPERTY]).values[PROPERTY]
        assert obtained == pytest.approx(atoms.info[PROPERTY])
        assert abs(obtained - TARGET) <= 1.0
        assert atoms.info["largest_overlap"] < 0.8
    numbers = [atoms.info["structure"] for atoms in design.frames]
    assert numbers == sorted(set(numbers))
    assert design.hits == int(design.table["hit"].sum()) >= 4


def test_a_notebook_shows_how_a_design_ended_and_its_glasses(designs):
    design = designs.run(count=2)
    page = design._repr_html_()
    assert page.startswith("<p><b>2 of 2 glasses</b>")
    table = ElementTree.fromstring(page[page.index("<table") : page.index("</table>") + 8])
    numbers = [row[0].text.strip() for row in table.iter("tr")][1:]
    assert numbers == [str(atoms.info["structure"]) for atoms in design.frames]


def test_a_glass_says_what_it_follows_from(designs):
    design = designs.run(count=1)
    info, request = design.frames[0].info, design.request
    assert (info[f"target_{PROPERTY}"], info[f"tolerance_{PROPERTY}"]) == (TARGET, 1.0)
    assert info[f"asked_{PROPERTY}"] == TARGET
    assert info["checkpoint"] == request.checkpoint.content_hash
    assert [info[name] for name in ("method", "sampler", "steps", "seed")] == ["densities", "random", 25, 0]
    again = designs.run("again", count=1, most=8)
    assert again.frames[0].info == info


def test_the_table_has_everything_tried(designs):
    design = designs.run()
    table = design.table
    assert table["structure"].tolist() == list(range(len(table)))
    assert len(table) % 8 == 0
    within = (table[PROPERTY] - TARGET).abs() <= 1.0
    assert (table["within_tolerance"] == within & table["right_substance"]).all()
    assert (table["hit"] == table["novel"]).all()
    assert not (table["hit"] & ~table["within_tolerance"]).any()


def test_a_glass_meets_all_of_several_targets(designs):
    two = Designs(synthetic_dataset(40), designs.folder)
    targets = {PROPERTY: TARGET, "first_fraction": 40.0}
    design = two.run("two", targets=targets, tolerance={PROPERTY: 1.5, "first_fraction": 1.2}, count=2)
    assert design.complete
    table = design.table
    near = (table[PROPERTY] - TARGET).abs() <= 1.5, (table["first_fraction"] - 40.0).abs() <= 1.2
    assert (near[0] & ~near[1]).any()
    assert (near[1] & ~near[0]).any()
    assert (table["within_tolerance"] == near[0] & near[1] & table["right_substance"]).all()
    assert any("training glasses are within all tolerances" in line for line in design.request.description())


def test_copies_of_training_structures_are_never_kept(designs, dataset, monkeypatch):
    copied = dataset.atoms(int(dataset.indices("train")[0]))
    monkeypatch.setattr(Densities, "copied", copied)
    density = 1000 * len(copied) / copied.get_volume()
    cell = copied.cell.array.ravel().tolist()
    design = designs.run(config={"planted": "copy"}, target=density, cell=cell, count=1, most=24)
    assert design.table["within_tolerance"].all()
    assert design.frames == []
    assert (design.table["largest_overlap"] > 0.95).all()
    assert design.ending.kind in ("spent", "unreachable")


def test_one_glass_many_times_is_kept_once(designs):
    design = designs.run(config={"planted": "repeat", "noise": 0.0}, count=2, most=24)
    assert design.table["within_tolerance"].all()
    assert design.table["hit"].tolist() == [True] + 23 * [False]
    assert design.table["duplicate_of"].tolist() == [-1] + 23 * [0]
    assert design.ending.kind == "spent"


def test_another_substance_at_the_target_is_never_kept(designs):
    design = designs.run(config={"planted": "sparse"}, tolerance=80.0, count=1, most=16)
    assert ((design.table[PROPERTY] - TARGET).abs() <= 80.0).all()
    assert not design.table["right_substance"].any()
    assert design.frames == []
    assert design.nearest is not None


def test_the_correction_reaches_a_target_that_a_biased_model_misses(designs):
    biased = {"offset": -5.0, "noise": 1.0}
    plain = designs.run("plain", config=biased, corrects=False, count=2)
    corrected = designs.run("corrected", config=biased, count=2)
    assert plain.hits == 0
    assert not plain.complete
    assert corrected.complete
    asked = corrected.table[f"asked_{PROPERTY}"]
    assert (asked[:8] == TARGET).all()
    assert asked.iloc[-1] == pytest.approx(TARGET + 5.0, abs=1.5)


def test_a_design_that_is_stopped_again_and_again_ends_as_if_undisturbed(designs):
    options = {"config": {"offset": -3.0, "noise": 1.5}, "count": 4, "round_size": 4}
    whole = designs.run("whole", **options)
    assert len(whole.rounds) >= 3
    for stage, number in [
        ("generating", 1),
        ("measuring", 2),
        ("judged", 1),
        ("measuring", 3),
        ("judged", 2),
    ]:
        with pytest.raises(KeyboardInterrupt):
            designs.run("stopped", observer=StoppedAt(stage, number), **options)
    resumed = designs.run("stopped", **options)
    assert same(whole, resumed)
    assert resumed.costs.generation_seconds > 0


def test_a_finished_design_is_read_not_computed(designs):
    first = designs.run()
    again = designs.run(observer=StoppedAt("generating", 1))
    assert same(first, again)
    assert first.costs == again.costs


def test_more_glasses_continue_the_same_design(designs):
    few = designs.run(count=2)
    more = designs.run(count=4)
    straight = designs.run("straight", count=4)
    assert same(more, straight)
    assert few.table.equals(more.table[: len(few.table)])


def test_workers_do_not_change_the_glasses(designs):
    options = {"config": {"offset": -3.0, "noise": 1.5}, "count": 3, "round_size": 4}
    alone = designs.run("alone", **options)
    with local_pool(2) as pool:
        beside = designs.run("beside", executor=pool, overlap=True, **options)
    assert same(alone, beside)


def test_a_target_far_outside_ends_quickly_and_says_why(designs):
    design = designs.run(target=95.0, config={"slope": 0.1, "offset": 60.0, "noise": 1.0})
    assert design.ending.kind == "unreachable"
    assert len(design.table) == 16
    assert "is out of reach" in design.ending.sentence
    assert "standard deviations" in design.ending.sentence
    assert design.frames == []
    assert design.nearest.info[PROPERTY] == pytest.approx(design.table[PROPERTY].max())


def test_a_model_that_does_not_listen_ends_before_its_budget(designs):
    design = designs.run(config={"slope": 0.0, "offset": 66.0, "noise": 1.0}, target=80.0)
    assert design.ending.kind == "unreachable"
    assert len(design.table) < design.request.most
    assert design.table[f"asked_{PROPERTY}"].max() > 80.0


def test_another_design_in_the_folder_is_refused(designs):
    designs.run()
    with pytest.raises(AmsbenchError, match="holds a design with steps 25, and this one has 10"):
        designs.run(steps=10)
    with pytest.raises(AmsbenchError, match=rf"targets {PROPERTY}=75, and this one has {PROPERTY}=74"):
        designs.run(target=74.0)


def test_another_folder_is_refused(designs, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("cat")
    with pytest.raises(AmsbenchError, match=r"photos holds cat.png and is no folder of a design"):
        designs.run("photos")
    assert [path.name for path in (tmp_path / "photos").iterdir() if path.suffix] == ["cat.png"]


def test_two_processes_do_not_share_a_design(designs, tmp_path):
    (tmp_path / "design").mkdir()
    with (
        exclusive_lock(tmp_path / "design"),
        pytest.raises(AmsbenchError, match=r"another process is at work"),
    ):
        designs.run()


def test_a_damaged_round_is_named(designs, tmp_path):
    designs.run()
    file = tmp_path / "design" / "round-0000.json"
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | {"rows": data["rows"][:3]}))
    with pytest.raises(AmsbenchError, match=r"round-0000\.json was changed or renamed: its hash"):
        designs.run()
    file.unlink()
    assert designs.run().complete
