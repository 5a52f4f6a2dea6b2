// The unfolded part of a row: where its numbers come from, and all of them.
"use strict";
(function () {
  const element = amsbench.element;

  amsbench.detailOf = function (view, row) {
    const source = view.dataset.provenance[row.id];
    return element("div", { class: "detail-body" },
      element("div", { class: "actions" },
        row.structures && action("Structures in 3D", () => view.show("structures", row.id)),
        view.comparison.kind === "inverse-design" &&
          action("Obtained against requested", () => view.show("targets", row.id))),
      element("div", { class: "columns" },
        element("section", {}, element("h3", {}, "Provenance"), provenance(view.dataset, source)),
        element("section", {}, element("h3", {}, "All numbers"), failures(row), numbers(view.comparison, row))));
  };

  function action(label, act) {
    return element("button", { type: "button", class: "quiet", on: { click: act } }, label);
  }

  function provenance(dataset, source) {
    const training = dataset.trainings[source.checkpoint];
    const machine = dataset.shared[source.environment];
    const facts = [
      ["Command", [element("code", { class: "command" }, source.command), copyButton(source.command)]],
      ["Checkpoint", hash(source.checkpoint, source.released ? "the released one" : "")],
      ["Code", hash(source.code, source.otherCode.length
        ? `not that of this installation (${source.otherCode.join(", ")})` : "that of this installation")],
      ["Version", `amsbench ${machine.amsbench}, ${source.protocol}, seed ${source.seed}`],
      ["Data", hash(source.dataset, "")],
      ["Machine", `${machine.device}, ${machine.threads} thread${machine.threads === 1 ? "" : "s"}, ${machine.native}, ${source.precision}`],
      ["Software", `Python ${machine.python}, torch ${machine.torch}, LAMMPS ${machine.lammps || "none"}, ${machine.platform}`],
      ["Time", `${amsbench.duration(source.wallSeconds)} of generation, ${amsbench.duration(source.measuringSeconds)} of measurement (wall clock)`],
      ["Network evaluations", `${amsbench.number(source.evaluations)} per structure`],
      ["Result", element("code", {}, source.result)],
    ];
    return element("div", {},
      element("dl", { class: "facts" }, facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
      training && folded("Training record", JSON.stringify(training, null, 1)),
      folded("Hashes of metrics and files", JSON.stringify({ metrics: dataset.shared[source.metrics], files: source.files }, null, 1)));
  }

  function hash(text, note) {
    return [element("code", { title: text }, text.slice(0, 16)), note ? ` ${note}` : ""];
  }

  function folded(title, text) {
    return element("details", {}, element("summary", {}, title), element("pre", {}, text));
  }

  function copyButton(text) {
    return element("button", { type: "button", class: "quiet small", on: { click: async (event) => {
      const button = event.currentTarget;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select and copy";
      }
    } } }, "Copy");
  }

  function failures(row) {
    const lines = Object.entries(row.failures).flatMap(([name, reasons]) =>
      Object.entries(reasons).map(([reason, count]) => element("li", {}, `${count} not measured (${name}): ${reason}`)));
    return lines.length ? element("ul", {}, lines) : null;
  }

  function numbers(comparison, row) {
    const lines = comparison.statistics
      .map(([quantity, statistic], place) => [quantity, statistic, row.numbers[place]])
      .filter(([, statistic, value]) => value !== null && !statistic.startsWith("failed: "));
    return element("div", { class: "scroll numbers", tabindex: "0", role: "region", "aria-label": `All numbers of ${amsbench.rowName(row)}` },
      element("table", {}, element("thead", {}, element("tr", {},
        ["Quantity", "Statistic", "Value"].map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, lines.map(([quantity, statistic, value]) => element("tr", {},
        element("th", { scope: "row" }, quantity), element("td", {}, statistic.replaceAll("_", " ")),
        element("td", { class: "numeric", title: String(value) }, amsbench.number(value, 5)))))));
  }
})();
