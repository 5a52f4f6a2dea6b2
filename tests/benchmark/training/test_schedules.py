"""Learning rates."""

import pytest

from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.schedules import learning_rate, loss_progress
from amsbench.errors import AmsbenchError

LATE = 10_000


def options(**changes):
    return TrainingOptions(samples_seen=1_000, learning_rate=2e-3, final_lr_fraction=0.1, **changes)


def test_a_constant_rate_rises_once_and_stays():
    rates = [learning_rate(options(schedule="constant"), 0.5, step) for step in (0, 49, 99, LATE)]
    assert rates == pytest.approx([2e-5, 1e-3, 2e-3, 2e-3])


def test_a_decay_goes_on_from_the_constant_rate_in_a_straight_line():
    rates = [learning_rate(options(schedule="decay"), fraction, LATE) for fraction in (0.0, 0.25, 0.5, 1.0)]
    assert rates == pytest.approx([2e-3, 1.55e-3, 1.1e-3, 2e-4])


def test_a_cosine_is_flat_at_both_ends():
    rates = [
        learning_rate(options(schedule="cosine"), fraction, LATE) for fraction in (0.0, 0.01, 0.5, 0.99, 1.0)
    ]
    assert rates[0] == 2e-3
    assert rates[2] == pytest.approx(1.1e-3)
    assert rates[4] == pytest.approx(2e-4)
    assert rates[0] - rates[1] == pytest.approx(rates[3] - rates[4])
    assert rates[0] - rates[1] < 0.001 * 2e-3


def test_losses_of_an_open_training_do_not_depend_on_its_present_length():
    assert loss_progress(options(), 0.3) == 0.3
    assert {loss_progress(options(schedule=name), f) for name in ("constant", "decay") for f in (0, 0.5)} == {
        1.0
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "linear"}, "no schedule 'linear'; give one of: cosine, constant, decay"),
        ({"optimizer": "sgd"}, "no optimizer 'sgd'; give one of: adam, muon"),
        ({"ema_width": 0.4}, "ema_width is a number above 0 and at most 0.288675, not 0.4"),
        ({"check_every": 0}, "check_every is a whole number, 1 or more, not 0"),
    ],
)
def test_options_out_of_range(changes, message):
    with pytest.raises(AmsbenchError, match=message):
        options(**changes)
