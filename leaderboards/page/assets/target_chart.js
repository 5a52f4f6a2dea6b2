// Obtained against requested property of every structure of one result.
"use strict";
(function () {
  const element = amsbench.element;
  let property = null;

  amsbench.drawTargets = async function (view, closer, choose) {
    const rows = amsbench.usualOrder(view.comparison, view.comparison.rows)
      .filter((row) => closer.results[row.id] && closer.results[row.id].obtained);
    amsbench.byId("targets").hidden = view.comparison.kind === "structural";
    if (!rows.length) {
      amsbench.fill("target-body", element("p", { class: "muted" },
        "No values of single structures are stored beside these results."));
      return;
    }
    const row = amsbench.shownRow(view, rows);
    if (!closer.properties.some((item) => item.name === property)) property = closer.properties[0].name;
    const result = element("select", { id: "target-result", on: { change: () => choose(result.value) } });
    amsbench.options(result, rows.map((item) => [item.id, amsbench.rowName(item)]), row.id);
    const name = element("select", { id: "target-property", on: { change: () => {
      property = name.value;
      plot(view, closer, row);
    } } });
    amsbench.options(name, closer.properties.map((item) => [item.name, item.label]), property);
    amsbench.fill("target-body",
      element("div", { class: "controls" }, element("label", {}, "Result ", result), element("label", {}, "Property ", name)),
      element("figure", {}, element("div", { id: "target-chart", class: "chart" }), element("figcaption", { id: "target-caption" })));
    await plot(view, closer, row);
  };

  async function plot(view, closer, row) {
    const { target, obtained } = closer.results[row.id].obtained[property];
    const label = closer.properties.find((item) => item.name === property).label;
    const c = amsbench.colours();
    const colour = amsbench.visible(row.colour);
    const measured = obtained.filter((value) => value !== null);
    const ends = [Math.min(...target), Math.max(...target)];
    const constant = ends[0] === ends[1];
    const name = amsbench.plotText(amsbench.rowName(row));
    const traces = constant ? [
      { x: measured, type: "histogram", marker: { color: colour }, hovertemplate: "%{x}: %{y} structures<extra></extra>" },
    ] : [
      { x: ends, y: ends, mode: "lines", line: { color: c.muted, width: 1.5, dash: "dash" }, hoverinfo: "skip" },
      { x: target, y: obtained, mode: "markers", marker: { color: colour, size: 7, opacity: 0.75 }, hovertemplate: `${name}<br>requested %{x:.4g}, obtained %{y:.4g}<extra></extra>` },
    ];
    const shapes = constant ? [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: ends[0], x1: ends[0], line: { color: c.muted, width: 1.5, dash: "dash" } }] : [];
    const axis = amsbench.plotText(label);
    const caption = `${amsbench.rowName(row)}: ${label} of ${measured.length} of ${obtained.length} structures; ` +
      (measured.length < obtained.length ? "the others could not be measured. " : "all could be measured. ") +
      `Dashed: ${constant ? "the requested value" : "obtained equals requested"}.`;
    await amsbench.draw("target-chart", traces, amsbench.layout(
      { title: { text: `${constant ? "obtained" : "requested"} ${axis}` } },
      { title: { text: constant ? "structures" : `obtained ${axis}` } }, { shapes }), caption);
    amsbench.byId("target-caption").textContent = caption;
  }
})();
