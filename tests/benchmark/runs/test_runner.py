"""Runs: which cells there are, and that a stopped run goes on."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from amsbench.benchmark.datasets.dataset import task_of
from amsbench.benchmark.datasets.definition import Measurement, plans_of
from amsbench.benchmark.evaluation import measurement
from amsbench.benchmark.execution.task_map import WorkersKilled
from amsbench.benchmark.generation.cells import cells_of
from amsbench.benchmark.runs import scoring
from amsbench.benchmark.runs.generator import TrainedModel
from amsbench.benchmark.runs.results import STRUCTURES, TABLE, ResultStore
from amsbench.benchmark.runs.runner import Run
from amsbench.benchmark.training.checkpoints import load_checkpoint, save_checkpoint
from amsbench.errors import AmsbenchError
from amsbench.methods.amshortcut import AMShortcut


class Silent:
    def trial_started(self, job, number, total, known):
        pass

    def progress(self, stage, done, total):
        pass


@pytest.fixture
def run(tiny_asi, tmp_path, monkeypatch):
    monkeypatch.setattr(type(tiny_asi.definition), "energy", lambda self, atoms: (-4.0, 0.1))
    task = task_of(tiny_asi, ())
    config = AMShortcut.default_config("standard", task)
    config["network"] |= {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "a.safetensors", AMShortcut(task, config), {"samples_seen": 0})
    (plan,) = plans_of(tiny_asi.definition, "quick")
    return Run(
        source=TrainedModel(load_checkpoint(tmp_path / "a.safetensors")),
        dataset=tiny_asi,
        plans=(plan.changed(steps=(1, 5, 12), count=3),),
        samplers=("shortcut", "shortcut-restart"),
        store=ResultStore(tmp_path / "results"),
    )


def test_samplers_that_do_the_same_share_a_cell(run):
    found = [(job.steps, job.sampler) for job in run.trials()]
    assert found == [
        (1, "shortcut"),
        (5, "shortcut"),
        (5, "shortcut-restart"),
        (12, "shortcut"),
        (12, "shortcut-restart"),
    ]


def test_a_run_names_the_samplers_that_share_a_result(run):
    assert run.merged_samplers() == {("shortcut", ("shortcut-restart",)): (1,)}
    every = replace(run, samplers=("restart", "shortcut-restart", "guided", "shortcut-guided", "shortcut"))
    assert every.merged_samplers() == {
        ("restart", ("guided",)): (1, 5, 12),
        ("shortcut-restart", ("shortcut-guided", "shortcut")): (1,),
        ("shortcut-restart", ("shortcut-guided",)): (5, 12),
    }
    alone = replace(run, samplers=("shortcut",))
    assert alone.merged_samplers() == {}


def test_a_stopped_run_goes_on(run):
    whole = []
    for cell in run.execute(None, Silent()):
        whole.append(cell)
        if len(whole) == 2:
            break  # as a kill between two cells
    again = list(run.execute(None, Silent()))
    assert again[:2] == whole  # to the second of their times: read, not computed
    assert len(again) == len(run.trials())
    assert again == list(run.execute(None, Silent()))


def test_a_kill_within_a_cell_leaves_no_cell(run, monkeypatch):
    from amsbench.benchmark.runs import runner

    def killed(path, frames):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "write_frames", killed)
        with pytest.raises(KeyboardInterrupt):
            next(run.execute(None, Silent()))
    assert list(run.store.results()) == []
    assert len(list(run.execute(None, Silent()))) == len(run.trials())


def test_measuring_while_generating_gives_the_same(run, tmp_path):
    beside = replace(run, overlap=True, store=ResultStore(tmp_path / "beside"))
    for one, two in zip(run.execute(None, Silent()), beside.execute(None, Silent()), strict=True):
        assert (one.key, one.structural, one.descriptors) == (two.key, two.structural, two.descriptors)
        files = [store.path(one.key, ".extxyz").read_text() for store in (run.store, beside.store)]
        assert files[0] == files[1]


@pytest.mark.parametrize("where", ["generate_structures", "measure_structure"])
def test_an_error_while_both_go_on_leaves_finished_structures_alone(run, monkeypatch, where):
    from amsbench.benchmark.generation import on_workers

    def broken(*arguments, **options):
        if where == "generate_structures":
            options["sink"]([])
        raise ValueError("broken")

    monkeypatch.setattr(on_workers if where == "generate_structures" else measurement, where, broken)
    with pytest.raises(ValueError, match="broken"):
        next(replace(run, overlap=True).execute(None, Silent()))
    left = [path for path in run.store.folder.rglob("*") if path.is_file()]
    assert {path.parent.suffix for path in left} <= {".partial"}
    assert bool(left) == (where == "measure_structure")


class StoppedAt(Silent):
    """Interrupts a run when so many structures have come through a stage."""

    def __init__(self, stage, number):
        self.stage, self.number = stage, number

    def progress(self, stage, done, total):
        if stage == self.stage and done >= self.number:
            raise KeyboardInterrupt


def all_but_times(run):
    """Everything that a run leaves on disk, apart from the times."""
    results = [
        result.model_dump(exclude={"seconds", "cpu_seconds", "measuring_seconds", "measuring_cpu_seconds"})
        for result in run.store.results()
    ]
    files = {
        path.name: path.read_bytes()
        for path in run.store.folder.rglob("*")
        if path.suffix in (STRUCTURES, TABLE)
    }
    others = [
        path.name
        for path in run.store.folder.rglob("*")
        if path.is_file() and path.suffix not in (STRUCTURES, TABLE, ".json")
    ]
    return results, files, others


@pytest.fixture
def batches(run, monkeypatch):
    """Plans of six structures in batches of two; the batches that are sampled from now on, warm-ups left out."""
    from amsbench.benchmark.generation import batches

    monkeypatch.setattr(batches, "ATOMS_PER_BATCH", {"cpu": 80, "cuda": 80})
    sampled = []
    method = run.source.checkpoint.method
    sample = method.sample

    def counted(start, steps, sampler, noise):
        structures = sample(start, steps, sampler, noise)
        if steps > 1:
            sampled.append(len(start))
        return structures

    monkeypatch.setattr(method, "sample", counted)
    return sampled


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    ("stage", "number", "left"),
    [
        ("generating", 1, 2),
        ("generating", 3, 1),
        ("generating", 6, 0),
        ("measuring", 1, None),
        ("measuring", 6, None),
    ],
)
def test_a_run_that_is_stopped_within_a_result_leaves_the_same_as_an_undisturbed_one(
    run, batches, tmp_path, stage, number, left, overlap
):
    (plan,) = run.plans
    run = replace(
        run, plans=(plan.changed(count=6, steps=(5, 12)),), samplers=("ancestral",), overlap=overlap
    )
    whole = replace(run, store=ResultStore(tmp_path / "whole"))
    list(whole.execute(None, Silent()))
    assert batches == [2, 2, 2] * 2
    with pytest.raises(KeyboardInterrupt):
        list(run.execute(None, StoppedAt(stage, number)))
    assert list(run.store.results()) == []
    batches.clear()
    list(run.execute(None, Silent()))
    if left is not None and not overlap:
        assert batches == [2] * left + [2, 2, 2]
    assert all_but_times(run) == all_but_times(whole)
    assert all_but_times(run)[2] == []


def test_a_run_that_is_stopped_again_and_again_sums_up_the_times_of_all_batches(
    run, batches, monkeypatch, one_thread
):
    """Each batch takes times of its own here (clock, processor), however often the run is stopped."""
    from amsbench.benchmark.generation.batches import SamplingClock

    times = iter(range(1, 100))
    monkeypatch.setattr(SamplingClock, "add", lambda self, started, ended: float(next(times)))
    (plan,) = run.plans
    run = replace(run, plans=(plan.changed(count=6, steps=(5,)),), samplers=("ancestral",))
    for number in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            list(run.execute(None, StoppedAt("generating", number)))
    (result,) = run.execute(None, Silent())
    assert result.seconds == 1.0 + 3.0 + 5.0
    assert result.cpu_seconds == 2.0 + 4.0 + 6.0
    assert batches == [2, 2, 2]


def test_structures_of_other_hardware_are_taken_only_if_they_are_complete(run, batches, monkeypatch):
    """Their time is that of the hardware that the result names."""
    (plan,) = run.plans
    run = replace(run, plans=(plan.changed(count=6, steps=(5,)),), samplers=("ancestral",), overlap=False)
    first = run.source.environment(None)
    with pytest.raises(KeyboardInterrupt):
        list(run.execute(None, StoppedAt("generating", 3)))
    batches.clear()
    other = first.model_copy(update={"threads": first.threads + 1})
    monkeypatch.setattr(run.source, "environment", lambda executor: other)
    with pytest.raises(KeyboardInterrupt):
        list(run.execute(None, StoppedAt("measuring", 1)))
    assert batches == [2, 2, 2]
    batches.clear()
    monkeypatch.setattr(run.source, "environment", lambda executor: first)
    (result,) = run.execute(None, Silent())
    assert batches == []
    assert result.environment == other
    assert all_but_times(run)[2] == []


def test_finishing_one_run_leaves_what_others_have_begun(run, batches):
    """In the same folder: the same model with another seed, another plan, another number of structures."""
    (plan,) = run.plans
    runs = [
        replace(run, plans=(plan.changed(count=count, steps=(5,)),), samplers=("ancestral",), seed=seed)
        for seed, count in ((0, 6), (1, 6), (0, 4))
    ]
    for other in runs:
        with pytest.raises(KeyboardInterrupt):
            list(other.execute(None, StoppedAt("generating", 3)))
    batches.clear()
    for other, left in zip(runs, (1, 1, 0), strict=True):
        list(other.execute(None, Silent()))
        assert batches == [2] * left
        batches.clear()
    assert all_but_times(run)[2] == []


def test_a_bad_structure_is_a_counted_failure_and_the_rest_is_scored(run, monkeypatch):
    (plan,) = run.plans
    run = replace(run, plans=(plan.changed(count=6, steps=(5,)),), samplers=("ancestral",))
    (good,) = run.execute(None, Silent())
    method = run.source.checkpoint.method
    sample = method.sample

    def broken(start, steps, sampler, noise):
        structures = sample(start, steps, sampler, noise)
        structures.positions[structures.batch == 0] = torch.nan
        return structures

    monkeypatch.setattr(method, "sample", broken)
    run = replace(run, store=ResultStore(run.store.folder / "bad"))
    (bad,) = run.execute(None, Silent())
    reason = "has positions or a cell that are not finite numbers"
    number = bad.failures["structure"][reason]
    assert 1 <= number < 6
    assert bad.failures == {"structure": {reason: number}}
    assert bad.structural.curves["rdf"].rmsd != good.structural.curves["rdf"].rmsd
    assert bad.descriptors["density"] == pytest.approx(good.descriptors["density"], rel=0.1)
    table = pd.read_parquet(run.store.path(bad.key, TABLE))
    assert table["structure_failure"].notna().sum() == table["density"].isna().sum() == number
    # further metrics are measured on the stored structures, the bad ones included
    (more,) = replace(run, metrics=("sq", "coordination")).execute(None, Silent())
    assert more.failures["structure"] == bad.failures["structure"]
    assert more.structural.curves["sq"].rmsd > 0


def test_structures_that_are_all_bad_end_the_run_with_one_sentence_and_are_kept(run, monkeypatch):
    method = run.source.checkpoint.method
    sample = method.sample
    calls = []

    def broken(*arguments):
        calls.append(arguments)
        structures = sample(*arguments)
        structures.positions[:] = torch.inf
        return structures

    monkeypatch.setattr(method, "sample", broken)
    with pytest.raises(
        AmsbenchError, match=r"structure 0 has positions .*, and none of the other 2 can be measured"
    ):
        next(run.execute(None, Silent()))
    calls.clear()
    with pytest.raises(AmsbenchError, match="none of the other 2"):
        next(run.execute(None, Silent()))
    assert calls == []  # nothing is generated again
    assert list(run.store.results()) == []


def test_kills_that_go_on_store_nothing_and_lose_no_structure(run, monkeypatch):
    def killed(*arguments, **options):
        raise WorkersKilled("the measurement of a structure (number 0) was stopped 4 times")

    with monkeypatch.context() as patch:
        patch.setattr(measurement, "map_with_timeout", killed)
        with pytest.raises(AmsbenchError, match="was stopped 4 times"):
            next(run.execute(None, Silent()))
    assert list(run.store.results()) == []
    monkeypatch.setattr(run.source.checkpoint.method, "sample", None)  # which is not called again
    first = next(run.execute(None, Silent()))
    assert first.failures == {}


def test_cells_come_from_the_training_set(run, tiny_asi):
    cells, counts = cells_of(run.plans[0], tiny_asi)
    train = tiny_asi.split("train")
    assert counts.tolist() == [39, 39, 39]
    for cell in cells:
        assert any((abs(cell - known) < 1e-5).all() for known in train.cells)
    assert len({float(cell[0, 0]) for cell in cells}) == 3


def test_cubes_with_ghosts(tiny_asio2):
    for plan in plans_of(tiny_asio2.definition, "paper"):
        cells, counts = cells_of(plan.changed(count=2), tiny_asio2)
        assert cells[0].tolist() == [[18.0, 0, 0], [0, 18.0, 0], [0, 0, 18.0]]
        assert counts.tolist() == [641, 641]  # floor(0.11 * 18^3)


def test_paper_protocol_is_the_papers(tiny_asi, tiny_asio2):
    (structure,) = plans_of(tiny_asi.definition, "paper")
    assert (structure.count, structure.steps) == (10_000, (1, 2, 3, 4, 5, 10, 25, 50, 100, 250))
    modulus, rings = plans_of(tiny_asio2.definition, "paper")
    assert modulus.targets == {"shear_modulus": (10.0, 50.0)}
    assert rings.targets == {"ring_size": (4.0, 6.0)}
    assert modulus.count == rings.count == 2_000
    assert modulus.steps == rings.steps == (1, 5, 10, 25, 50, 100, 250)
    values = modulus.target_values()["shear_modulus"]
    assert values[0] == 10.0
    assert values[-1] == 50.0
    with pytest.raises(AmsbenchError, match="unknown protocol 'fast'"):
        plans_of(tiny_asi.definition, "fast")


def test_metrics_that_a_result_lacks_are_added_to_it(run, tmp_path):
    """By measuring the stored structures: nothing is generated again, and no other number changes."""
    plain = list(run.execute(None, Silent()))
    more = list(replace(run, metrics=("sq", "coordination")).execute(None, Silent()))
    for before, after in zip(plain, more, strict=True):
        assert list(after.structural.curves) == ["rdf", "adf", "sq"]
        assert after.structural.curves["rdf"] == before.structural.curves["rdf"]
        assert (after.key, after.seconds) == (before.key, before.seconds)
        assert after.descriptors["coordination_Si_Si"] > 0
        assert after.training_descriptors["coordination_Si_Si"] > 0
        assert before.descriptors.items() <= after.descriptors.items()
        assert "coordination_Si_Si" in pd.read_parquet(run.store.path(after.key, ".parquet"))
    fresh = replace(run, metrics=("sq", "coordination"), store=ResultStore(tmp_path / "fresh"))
    for one, two in zip(more, fresh.execute(None, Silent()), strict=True):
        # positions in a file have eight decimals
        assert one.structural.curves["sq"].rmsd == pytest.approx(two.structural.curves["sq"].rmsd, rel=1e-5)
    assert list(run.execute(None, Silent())) == more  # fewer metrics asked for later take nothing away


def test_curves_of_inverse_design_are_measured_on_request(tiny_asio2, tmp_path, monkeypatch):
    """With the run or afterwards, and without those that do not apply to the material."""
    definition = type(tiny_asio2.definition)
    monkeypatch.setattr(definition, "energy", lambda self, atoms: (-6.0, 0.1))
    monkeypatch.setattr(
        definition, "measure", lambda self, atoms, names: Measurement(values=dict.fromkeys(names, 20.0))
    )
    task = task_of(tiny_asio2, ("shear_modulus",))
    config = AMShortcut.default_config("standard", task)
    config["network"] |= {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "a.safetensors", AMShortcut(task, config), {"samples_seen": 0})
    plan, *_ = plans_of(tiny_asio2.definition, "quick")
    plain = Run(
        source=TrainedModel(load_checkpoint(tmp_path / "a.safetensors")),
        dataset=tiny_asio2,
        plans=(plan.changed(steps=(1,), count=3),),
        samplers=("euler-maruyama",),
        store=ResultStore(tmp_path / "results"),
    )
    metrics = ("rdf_former_anion", "adf_anion_former_anion", "qn", "ring_sizes", "rdf_modifier_anion")
    (without,) = plain.execute(None, Silent())
    assert without.structural is None
    (added,) = replace(plain, metrics=metrics).execute(None, Silent())
    fresh = replace(plain, metrics=metrics, store=ResultStore(tmp_path / "fresh"))
    (at_once,) = fresh.execute(None, Silent())
    assert list(at_once.structural.curves) == list(metrics[:-1])
    for name, scores in added.structural.curves.items():
        # positions in a file have eight decimals
        assert scores.rmsd == pytest.approx(at_once.structural.curves[name].rmsd, rel=1e-5)
    assert added.inverse_design == without.inverse_design
    # nothing is missing, although modifiers were requested, too
    monkeypatch.setattr(scoring.Scoring, "completed", None)
    assert list(replace(plain, metrics=metrics).execute(None, Silent())) == [added]


def other_code(monkeypatch, *names):
    """From now on the code of these metrics is another one."""
    codes = scoring.metric_codes

    def changed(definition, metrics, properties):
        return codes(definition, metrics, properties) | {
            name: "0" * 64 for name in names if name in (*metrics, *properties)
        }

    monkeypatch.setattr(scoring, "metric_codes", changed)


def generated(run, monkeypatch):
    """Trials of which structures are generated from now on."""
    trials = []
    generate = type(run.source).generate

    def counted(self, dataset, trial, *arguments):
        trials.append(trial)
        return generate(self, dataset, trial, *arguments)

    monkeypatch.setattr(type(run.source), "generate", counted)
    return trials


def test_changed_code_of_a_metric_measures_the_stored_structures_again(run, monkeypatch):
    before = list(replace(run, metrics=("sq",)).execute(None, Silent()))
    trials = generated(run, monkeypatch)
    other_code(monkeypatch, "rdf")
    assert run.outdated() == ([], {"rdf": len(before)})
    after = list(run.execute(None, Silent()))
    assert trials == []
    for old, new in zip(before, after, strict=True):
        assert new.metric_code["rdf"] == "0" * 64
        assert new.structural.curves.keys() == {"rdf", "adf", "sq"}
        assert (new.key, new.seconds, new.environment) == (old.key, old.seconds, old.environment)
        # positions in a file have eight decimals
        assert new.structural.curves["rdf"].rmsd == pytest.approx(old.structural.curves["rdf"].rmsd, rel=1e-5)
        assert run.store.file_hashes(new.key) == new.files
    assert list(run.execute(None, Silent())) == after
    assert run.outdated() == ([], {})


def test_changed_code_of_a_metric_that_is_not_needed_changes_nothing(run, monkeypatch):
    before = list(replace(run, metrics=("sq",)).execute(None, Silent()))
    other_code(monkeypatch, "sq")
    assert list(run.execute(None, Silent())) == before


def test_changed_code_of_a_method_computes_its_results_again_beside_the_old_ones(run, monkeypatch):
    before = list(run.execute(None, Silent()))
    assert run.outdated() == ([], {})
    trials = generated(run, monkeypatch)
    monkeypatch.setattr(run.source, "code", "0" * 64)
    # files that are no results here, such as those of an earlier format, are none of this run's business
    (run.store.path(before[0].key).parent / "other-method.json").write_text("{}")
    old_format = run.store.path(before[0].key).with_name(f"{before[0].key.stem[:-12]}0123456789ab.json")
    old_format.write_text('{"format": 2}')
    keys, metrics = run.outdated()
    old_format.unlink()
    (run.store.path(before[0].key).parent / "other-method.json").unlink()
    assert (sorted(keys, key=str), metrics) == (sorted((r.key for r in before), key=str), {})
    after = list(run.execute(None, Silent()))
    assert len(trials) == len(before)
    assert {result.key.code for result in after} == {"0" * 64}
    assert len(list(run.store.results())) == 2 * len(before)


def test_a_result_that_lacks_metrics_and_its_structures_is_computed_anew(run, monkeypatch):
    first, *_ = run.execute(None, Silent())
    run.store.path(first.key, STRUCTURES).unlink()
    assert next(run.execute(None, Silent())) == first  # which has all that is needed
    trials = generated(run, monkeypatch)
    again, *_ = replace(run, metrics=("sq",)).execute(None, Silent())
    assert trials == run.trials()[:1]
    assert again.structural.curves["rdf"] == first.structural.curves["rdf"]
    assert again.files == run.store.file_hashes(first.key)
    assert again.files[STRUCTURES] == first.files[STRUCTURES]  # the same structures


@pytest.mark.parametrize("suffix", [STRUCTURES, TABLE])
def test_edited_files_beside_a_result_are_not_measured(run, suffix):
    first, *_ = run.execute(None, Silent())
    path = run.store.path(first.key, suffix)
    edited = bytearray(path.read_bytes())
    edited[len(edited) // 2] ^= 1
    path.write_bytes(edited)
    with pytest.raises(AmsbenchError, match=rf"{path.name} is not the file that was stored"):
        list(replace(run, metrics=("sq",)).execute(None, Silent()))
    assert run.store.find(first.key) == first


def test_a_result_without_its_table_is_measured_again_where_it_lacks_metrics(run):
    first, *_ = run.execute(None, Silent())
    run.store.path(first.key, TABLE).unlink()
    again, *_ = replace(run, metrics=("coordination",)).execute(None, Silent())
    assert again.files == run.store.file_hashes(first.key)
    table = pd.read_parquet(run.store.path(first.key, TABLE))
    assert {"coordination_Si_Si", "density"} <= set(table)
