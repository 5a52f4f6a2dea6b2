"""Method cards of the page are those of the plug-ins."""

from amsbench.benchmark import registry
from amsbench.leaderboards.page.cards import method_cards


def test_every_method_of_the_results_has_its_card(published_results):
    cards = {card["name"]: card for card in method_cards(published_results)}
    assert set(cards) == {result.key.method for result in published_results}
    method = registry.load("methods", "amshortcut")
    assert cards["amshortcut"]["reference"] == method.card.reference
    assert tuple(cards["amshortcut"]["declared"]) == method.card.declared
    assert [item["name"] for item in cards["amshortcut"]["samplers"]] == [s.name for s in method.samplers]
    assert not cards["simulation"]["learned"]


def test_a_method_that_is_not_installed_has_no_card(structural):
    (card,) = method_cards([structural(0.3, 0.001, method="elsewhere")])
    assert "not installed" in card["missing"]
