"""The numbers in docs/findings.md are those of the published results.

A paragraph, list or table with numbers is followed by a comment whose lines name where they are from:

    <!-- held
    asi amshortcut/shortcut 1,2 rdf.rmsd = 0.074 0.044
    asio2/shear_modulus material-sde/guided 25 shear_modulus.mae shear_modulus.coverage = 2.74 97%
    paper asi amshortcut 10 rdf.rmsd = 0.022
    docs/training.md = 2.7
    -->

A line has the dataset (and the plan), method and sampler, step counts, ``fixed`` for the fixed training budget,
``wide`` for this protocol instead of ``standard``, and quantities with their statistics as in
``leaderboards.tables.records``; then, behind ``=``, one value per step count and quantity. Further quantities:
``data.DESCRIPTOR`` of the training set, ``training.samples_seen`` over all stages, and ``PROPERTY.first`` and
``PROPERTY.last`` of the targets. A line without steps names a source other than the results.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.training.stages import training_total
from amsbench.leaderboards.comparisons import budget_label
from amsbench.leaderboards.reported_values import reported_structure
from amsbench.leaderboards.result_folders import PUBLISHED, ResultFolders
from amsbench.leaderboards.tables.result_numbers import numbers_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "findings.md").read_text(encoding="utf-8")
SOURCES = ("the paper", "metrics", "docs/training.md")
"""Sources of numbers other than results."""

NUMBER = re.compile(r"(?<![\w.,/-])-?\d+\.\d+|(?<![\w.,])\d{1,3}(?:,\d{3})+|(?<![\w.,])\d+(?= %)")
CLAIM = re.compile(
    r"(?P<paper>paper )?(?P<dataset>\w+)(?:/(?P<plan>\w+))? (?P<method>[\w-]+)(?:/(?P<sampler>[\w-]+))? "
    r"(?P<steps>[\d,]+)(?P<fixed> fixed)?(?P<protocol> wide)?(?P<quantities>(?: \S+)+) = (?P<values>.+)"
)


def blocks():
    """(text, lines of its comment) of each paragraph, list and table; () where it has no comment."""
    parts = re.split(r"\n{2,}", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
    texts = []
    for part in parts:
        if part.startswith("<!-- held\n"):
            texts[-1] = (texts[-1][0], tuple(part.strip().splitlines()[1:-1]))
        elif not part.startswith(("#", "!", "<!--")):
            texts.append((part, ()))
    return texts


def numbers_in(text):
    """Numbers with decimals or thousands, and whole percents: those that can be of a result."""
    return [match[0] for match in NUMBER.finditer(re.sub(r"\]\([^)]*\)|`[^`]*`", "", text))]


CLAIMS = [line for _, lines in blocks() for line in lines]


@cache
def published():
    return ResultFolders([PUBLISHED]).results()


def result_of(claim, steps):
    """The one published result that a claim is about, trained on all design properties."""
    plan = claim["plan"] or "structure"
    found = [
        result
        for result in published()
        if (result.key.dataset, result.key.plan, result.key.steps) == (claim["dataset"], plan, steps)
        and (result.key.method, result.key.sampler) == (claim["method"], claim["sampler"])
        and result.key.protocol == (claim["protocol"] or "standard").strip()
        and (
            bool(budget_label(result)) == bool(claim["fixed"])
            or claim["method"] in ("simulation", "random-relax")
        )
    ]
    widest = max((len(result.trained_on) for result in found), default=0)
    found = [result for result in found if len(result.trained_on) == widest]
    assert len(found) == 1, f"{len(found)} published results are meant by '{claim[0]}'"
    return found[0]


def value_of(result, quantity):
    """A number of a result; with a factor before ``*`` and a number or quantity behind ``/``."""
    if quantity.startswith("-"):
        return -value_of(result, quantity[1:])
    if "*" in quantity:
        factor, rest = quantity.split("*")
        return float(factor) * value_of(result, rest)
    if "/" in quantity:
        over, under = quantity.split("/")
        return value_of(result, over) / (float(under) if under.isdigit() else value_of(result, under))
    name, statistic = quantity.split(".")
    if name == "data":
        return result.training_descriptors[statistic]
    if name == "training":
        return getattr(training_total(result.training), statistic)
    if statistic in ("first", "last"):
        return result.key.targets[name][statistic == "last"]
    return numbers_of(result)[name, statistic]


def reported_value(claim, steps, quantity):
    (entry,) = (
        entry
        for entry in reported_structure(claim["dataset"])
        if (entry.method, entry.steps) == (claim["method"], steps)
    )
    return entry.curves[quantity.removesuffix(".rmsd")]


def rounds_to(value, text):
    """Whether a value is what a text prints, to the last digit of the text."""
    digits = text.replace(",", "").rstrip("%")
    decimals = len(digits.partition(".")[2])
    return abs(value - float(digits)) <= 0.5 * 10**-decimals * (1 + 1e-9)


@pytest.mark.parametrize("line", CLAIMS)
def test_a_number_is_that_of_the_result_it_names(line):
    claim = CLAIM.fullmatch(line)
    if claim is None:
        source, _, values = line.partition(" = ")
        assert source in SOURCES, f"'{line}' names no result and no other source"
        if source.endswith(".md"):
            text = (DOCS.parent / source).read_text(encoding="utf-8")
            assert all(value.rstrip("%") in text for value in values.split())
        return
    steps = [int(number) for number in claim["steps"].split(",")]
    places = [(number, quantity) for number in steps for quantity in claim["quantities"].split()]
    texts = claim["values"].split()
    assert len(texts) == len(places), f"'{line}' has {len(texts)} values for {len(places)} numbers"
    for (number, quantity), text in zip(places, texts, strict=True):
        if claim["paper"]:
            value = reported_value(claim, number, quantity)
        else:
            value = value_of(result_of(claim, number), quantity)
        assert value is not None, f"{quantity} of '{line}' was not measured"
        assert rounds_to(value, text), f"docs/findings.md says {text} where '{line}' has {value:.6g}"


@pytest.mark.parametrize(
    ("text", "lines"), blocks(), ids=lambda part: part[:30] if isinstance(part, str) else ""
)
def test_every_number_has_its_source_and_every_source_its_number(text, lines):
    printed = set(numbers_in(text))
    claimed = {value.rstrip("%") for line in lines for value in line.partition(" = ")[2].split()}
    assert printed - claimed == set(), "numbers without a source in the comment behind them"
    assert {value for value in claimed if value not in text} == set(), "values that the text does not have"


def test_the_claims_are_many_enough_to_be_the_page():
    assert len(CLAIMS) > 100
    assert sum(line.startswith(SOURCES) for line in CLAIMS) < 20


def of_training(fixed, dataset="asi"):
    """Results of liquid silicon by method, sampler and steps."""
    return {
        (result.key.method, result.key.sampler, result.key.steps): result
        for result in published()
        if result.key.dataset == dataset and result.key.protocol == "standard"
        if bool(budget_label(result)) == fixed
    }


NATIVE = {
    "cdvae": "langevin",
    "mattergen": "predictor-corrector",
    "graphite": "euler-maruyama",
    "material-ode": "ode",
    "material-sde": "euler-maruyama",
    "amshortcut": "euler-maruyama",
}


def test_in_a_hundred_steps_of_the_equal_budget_no_method_makes_the_liquid():
    """Seven to eleven times the noise floor; the energies are 2 (cdvae) to 24 (graphite) standard deviations off."""
    results = of_training(fixed=True)
    hundred = {method: results[method, sampler, 100] for method, sampler in NATIVE.items()}
    floors = [r.structural.curves["rdf"].rmsd / r.structural.curves["rdf"].floor for r in hundred.values()]
    assert (round(min(floors)), round(max(floors))) == (7, 11)
    training = load_dataset("asi", None).split("train")
    chosen = np.linspace(0, len(training) - 1, 200).astype(int)
    energies = np.array([training.definition.energy(training.atoms(int(k)))[0] for k in chosen])
    scale = energies.std(ddof=1)
    off = {
        method: (result.descriptors["energy_per_atom"] - energies.mean()) / scale
        for method, result in hundred.items()
    }
    assert off["cdvae"] == min(off.values()) == pytest.approx(2, abs=0.5)
    assert off["graphite"] == max(off.values()) == pytest.approx(24, abs=1)  # 200 energies: 5 %


def rdf(results, method, sampler, steps):
    return results[method, sampler, steps].structural.curves["rdf"].rmsd


@pytest.mark.parametrize("fixed", [False, True])
def test_in_one_and_two_steps_the_shortcut_has_the_smallest_error(fixed):
    results = of_training(fixed)
    for steps in (1, 2):
        errors = {place: rdf(results, *place) for place in results if place[2] == steps}
        best = min(errors, key=errors.get)
        assert best[0] == "amshortcut"
        others = min(error for place, error in errors.items() if place[0] != "amshortcut")
        assert others > 1.5 * errors[best]


def test_restarts_help_two_steps_of_the_shortcut_and_not_three_to_five():
    results = of_training(fixed=False)
    gain = [
        rdf(results, "amshortcut", "shortcut", n) - rdf(results, "amshortcut", "shortcut-restart", n)
        for n in (2, 3, 4, 5)
    ]
    assert gain[0] > 0
    assert max(gain[1:]) < 0


def test_the_shares_in_words_are_those_of_the_results():
    ode = [
        result.failures[name]["atoms overlap"] / result.key.count
        for result in published()
        for name in [result.key.plan]
        if result.key.dataset == "asio2" and result.key.method == "material-ode" and result.key.steps == 25
        if result.key.protocol == "standard" and not budget_label(result)
    ]
    assert [round(10 * share) for share in sorted(ode)] == [8, 9]
