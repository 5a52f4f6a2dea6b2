"""Settings: values are of the types of their defaults, and one that is missing is named."""

import math

import pytest

from amsbench.benchmark.interface.settings import Settings, unlike_default, with_changes
from amsbench.errors import AmsbenchError

DEFAULT = {
    "rate": 0.5,
    "layers": 2,
    "deep": True,
    "name": "a",
    "sizes": [1.0],
    "network": {"hidden": 16},
    "more": None,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rate": 1},
        {"sizes": [1, 2.5, 3]},
        {"sizes": []},
        {"more": {"any": 1}},
        {"unknown": object},
        {"network": {"hidden": 3, "form": "new"}},
    ],
)
def test_values_of_the_type_of_their_defaults_are_taken(changes):
    assert unlike_default({**DEFAULT, **changes}, DEFAULT) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": "x"}, "'config.rate' is \"x\", and its default 0.5"),
        ({"rate": True}, "'config.rate' is true"),
        ({"rate": math.nan}, "'config.rate' is nan"),
        ({"rate": -math.inf}, "'config.rate' is -inf"),
        ({"layers": 2.5}, "'config.layers' is 2.5, and its default 2"),
        ({"layers": True}, "'config.layers' is true"),
        ({"deep": 1}, "'config.deep' is 1"),
        ({"name": None}, "'config.name' is null"),
        ({"sizes": [1.0, "2"]}, "'config.sizes.1' is \"2\""),
        ({"network": []}, "'config.network' is []"),
        ({"network": {"hidden": "x" * 1_000}}, "'config.network.hidden' is \"xxx"),
    ],
)
def test_values_of_other_types_are_named(changes, words):
    found = unlike_default({**DEFAULT, **changes}, DEFAULT)
    assert found is not None
    assert words in found
    assert len(found) < 200


def test_a_setting_that_is_not_there_is_one_sentence():
    settings = Settings(DEFAULT)
    assert settings["rate"] == 0.5
    assert settings.get("other", 3) == 3
    with pytest.raises(AmsbenchError, match="the settings of the checkpoint lack 'other'"):
        settings["other"]


def test_changes_are_applied_at_any_depth_and_whole_numbers_stand_for_others():
    changed = with_changes(DEFAULT, {"rate": 1, "network": {"hidden": 8}}, "method 'x'")
    assert (changed["rate"], changed["network"]) == (1, {"hidden": 8})
    assert DEFAULT["network"] == {"hidden": 16}
    with pytest.raises(AmsbenchError, match="method 'x' has no setting 'layer'; did you mean 'layers'"):
        with_changes(DEFAULT, {"layer": 1}, "method 'x'")
    with pytest.raises(
        AmsbenchError, match="the setting 'hidden' of 'network' of method 'x' is 16; true is of another"
    ):
        with_changes(DEFAULT, {"network": {"hidden": True}}, "method 'x'")
