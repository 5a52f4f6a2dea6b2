"""Captions name the conditions of a table, and say where times do not compare."""

from amsbench.leaderboards.tables.make_tables import tables_of
from amsbench.leaderboards.tables.structural import structural_tables


def conditions(results):
    """The caption of the table of errors with all conditions."""
    return " ".join(structural_tables(results, detail=True)[0].caption)


def test_what_a_step_costs_is_said_where_it_is_not_one_evaluation(structural):
    results = [
        structural(0.1, 0.001, steps=steps, method=method, step_label="SDE", evaluations=evaluations)
        for method, steps, evaluations in (
            ("material-sde", 5, 5),
            ("mattergen", 1, 2),
            ("mattergen", 5, 10),
            ("graphite", 1, 1),
            ("graphite", 50, 75),
        )
    ]
    sentences = conditions(results)
    assert "material-sde: SDE;" in sentences or "material-sde: SDE." in sentences
    assert "mattergen: SDE, 2 network evaluations" in sentences
    assert "graphite: SDE, 1 to 1.5 network evaluations" in sentences


def test_the_caption_names_conditions_reductions_and_hardware(structural):
    training = {"samples_seen": 12000, "seconds": 3600.0, "device": "AMD EPYC 9R14, x86_64"}
    sentences = conditions([structural(0.2, 0.001, training=training)])
    assert "liquid silicon at 2500 K" in sentences
    assert "protocol quick version 1" in sentences
    assert "Reduced protocol quick: 64 structures per result (the paper: 10,000)." in sentences
    assert "Reference: the test split (held out)." in sentences
    assert "Generated on AMD EPYC 9R14, x86_64, 1 thread, torch kernels, bfloat16." in sentences
    assert "material-sde: 12,000 in 1.0 h on AMD EPYC 9R14, x86_64" in sentences
    full = conditions([structural(0.2, 0.001, count=10_000, protocol="paper", reference="train")])
    assert "Reduced" not in full
    assert "Reference: the training set." in full


def test_a_part_of_a_training_that_is_an_addition_of_ours_is_named(structural):
    """Of every stage, each once; a training without one is not said to have any."""
    training = {"samples_seen": 12_000, "seconds": 3600.0}
    assert "addition" not in conditions([structural(0.2, 0.001, training=training)])
    added = training | {"additions": ["matching of local environments (weight 1)"]}
    staged = added | {"earlier_stages": [FIRST | {"additions": added["additions"]}]}
    for record in (added, staged):
        sentences = conditions([structural(0.2, 0.001, training=record)])
        assert sentences.count("with our addition matching of local environments (weight 1)") == 1


FIRST = {"method": "material-sde", "samples_seen": 40_000, "seconds": 1740.0, "init_from": None}


def test_structures_seen_in_training_are_those_of_all_stages(structural):
    stages = [
        FIRST | {"source": "docs/training.md"},
        {"method": "material-sde", "samples_seen": 60_000, "seconds": 2940.0, "init_from": "a"},
    ]
    record = {"init_from": "b", "earlier_stages": stages, "samples_seen": 44_000, "seconds": 5040.0}
    sentences = conditions([structural(0.2, 0.001, method="amshortcut", training=record)])
    assert (
        "amshortcut: 144,000 in 2.7 h (material-sde 40,000 in 29.0 m by docs/training.md, then 60,000 in 49.0 m, "
        "then amshortcut 44,000 in 1.4 h)"
    ) in sentences


def test_the_time_of_a_core_is_printed_where_all_stages_have_it(structural):
    stages = [FIRST | {"cpu_seconds": 1200.0}]
    record = {"init_from": "a", "earlier_stages": stages, "samples_seen": 1_000, "seconds": 100.0}
    sentences = conditions([structural(0.2, 0.001, training=record | {"cpu_seconds": 60.0})])
    assert (
        "material-sde: 41,000 in 21.0 m of one core (material-sde 40,000 in 20.0 m, then 1,000 in 1.0 m)"
        in sentences
    )
    without = conditions([structural(0.2, 0.001, training=record)])
    assert "material-sde: 41,000 in 30.7 m (" in without


def test_samplers_of_one_checkpoint_have_one_training(structural):
    record = {"samples_seen": 44_000, "seconds": 100.0}
    of_one = [
        structural(0.2, 0.001, sampler=sampler, training=record)
        for sampler in ("euler-maruyama", "ancestral")
    ]
    other = structural(0.2, 0.001, sampler="ancestral", checkpoint_hash="e" * 64, training=record)
    assert conditions(of_one).count("44,000") == 1
    assert conditions([*of_one, other]).count("44,000") == 2


def test_a_training_of_unrecorded_origin_has_a_lower_bound(structural):
    record = {"init_from": "a", "samples_seen": 44_000, "seconds": 100.0}
    assert "material-sde: at least 44,000 in" in conditions([structural(0.2, 0.001, training=record)])


def test_times_of_different_hardware_are_declared_as_such(structural):
    results = [
        structural(0.2, 0.001, steps=1),
        structural(0.1, 0.001, steps=2, environment={"device": "NVIDIA H200", "threads": 8}),
        structural(0.2, 0.001, steps=1, method="graphite", sampler="own"),
    ]
    sentences = conditions(results)
    assert "times do not compare" in sentences
    assert "graphite, material-sde at 1 step on AMD EPYC 9R14, x86_64, 1 thread" in sentences
    assert "material-sde at 2 steps on NVIDIA H200, 8 threads" in sentences


def test_times_of_different_kernels_on_one_machine_do_compare(structural):
    results = [
        structural(0.2, 0.001, steps=1),
        structural(0.2, 0.001, steps=1, method="graphite", environment={"native": "torch bfloat16"}),
    ]
    sentences = conditions(results)
    assert "do not compare" not in sentences
    assert "graphite on AMD EPYC 9R14, x86_64, 1 thread, torch bfloat16 kernels" in sentences


def test_times_on_a_processor_of_unknown_model_are_never_said_to_compare(structural):
    unknown = {"device": "x86_64 processor, model not recorded"}
    results = [
        structural(0.2, 0.001, environment=unknown),
        structural(0.2, 0.001, method="graphite", environment=unknown | {"native": "torch bfloat16"}),
    ]
    warning = "The model of the processor was not recorded"
    for chosen in (results, results[:1]):
        assert f"{warning}, so these times may be of different machines and do not compare." in conditions(
            chosen
        )
        short = " ".join(structural_tables(chosen)[0].caption)
        assert "processors of unknown model, so times do not compare" in short
    assert warning not in conditions([structural(0.2, 0.001)])


def test_without_detail_there_is_one_table_with_at_most_three_sentences(structural, inverse):
    structures = [structural(0.2, 0.001, steps=steps, method=m) for steps in (1, 2) for m in ("a", "b")]
    ring = {"plan": "ring_size", "targets": {"ring_size": (4.0, 6.0)}}
    for results in (
        structures,
        [inverse(3.0, 4.0, 16.0), inverse(3.1, 4.0, 16.0, method="graphite")],
        [inverse(3.0, 4.0, 16.0), inverse(0.2, 0.3, 4.0, **ring)],
    ):
        (table,) = tables_of(results)
        assert len(table.caption) <= 3
        assert "--detail" in table.caption[-1]
        assert not any("Generated on" in sentence for sentence in table.caption)


def test_an_overview_of_several_step_counts_says_so(inverse):
    ring = {"plan": "ring_size", "targets": {"ring_size": (4.0, 6.0)}}
    (table,) = tables_of([inverse(3.0, 4.0, 16.0, steps=5), inverse(0.2, 0.3, 4.0, steps=25, **ring)])
    assert [row[1] for row in table.rows] == ["5", "25", "-"]
    assert any("different numbers of steps" in sentence for sentence in table.caption)


def test_structures_that_no_metric_could_measure_are_named_in_the_caption(structural):
    reason = "positions that are not finite"
    results = [
        structural(0.1, 0.001, failures={"structure": {reason: 3}, "energy": {reason: 3}}),
        structural(0.1, 0.001, steps=5),
    ]
    for detail in (False, True):
        table = structural_tables(results, detail=detail)[0]
        text = "Left out, since no metric can measure them: 3 of 64 by material-sde at 1 step."
        assert text in " ".join(" ".join(table.caption).split())
    assert "Left out" not in " ".join(structural_tables(results[1:])[0].caption)
