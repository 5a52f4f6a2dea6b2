// The card of each method: what it is, and how far it is the published one.
"use strict";
(function () {
  const element = amsbench.element;
  const LISTS = [
    ["kept", "Kept from the reference"], ["replaced", "Replaced by something with the same purpose"],
    ["dropped", "Dropped, since nothing here needs it"], ["declared", "Other differences that may move a number"],
  ];

  amsbench.drawCards = function () {
    amsbench.fill("methods", amsbench.methodCards().map((card) => element("details", { class: "card" },
      element("summary", {}, element("strong", {}, card.name), card.title ? ` ${shortTitle(card)}` : "",
        card.learned ? "" : " (not trained)"),
      card.missing ? element("p", {}, card.missing) : null,
      card.reference ? element("dl", { class: "facts" }, facts(card).flatMap(([name, value]) => [
        element("dt", {}, name), element("dd", {}, value)])) : null,
      (card.samplers || []).length ? samplers(card) : null,
      LISTS.filter(([name]) => (card[name] || []).length).map(([name, title]) => [
        element("h3", {}, title), element("ul", {}, card[name].map((item) => element("li", {}, item)))]).flat(),
    )));
  };

  function shortTitle(card) {
    return card.title.startsWith(card.name) ? card.title.slice(card.name.length) : card.title;
  }

  function facts(card) {
    return [["Reference", card.reference], ["Original", card.original],
      ...Object.entries(card.hyperparameters).map(([name, value]) => [`${name} of the reference`, value])]
      .filter(([, value]) => value);
  }

  function samplers(card) {
    return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Samplers of ${card.name}` },
      element("table", {}, element("thead", {}, element("tr", {},
        ["Sampler", "What a step is", "Network evaluations a step"].map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, card.samplers.map((item) => element("tr", {}, element("th", { scope: "row" }, item.name),
        element("td", {}, item.title), element("td", {}, item.evaluations || "not said"))))));
  }
})();
