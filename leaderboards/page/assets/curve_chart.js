// Mean curves of results that hold them or have structures beside them, over those of the reference with its noise floor.
"use strict";
(function () {
  const element = amsbench.element;
  const MOST_AT_FIRST = 3;
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
  let chosen = { name: null, ids: null, of: null, deviation: false };

  amsbench.drawCurves = async function (view, closer) {
    const rows = view.comparison.rows.filter((row) => closer.results[row.id] && closer.results[row.id].curves);
    if (!rows.length) {
      chosen.of = null;
      amsbench.fill("curve-body", element("p", { class: "muted" },
        "These results hold no mean curves and have no structures beside them."));
      return;
    }
    const dark = amsbench.colours().dark;
    if (chosen.of === view.comparison && chosen.dark === dark) return; // it depends on no filter
    chosen.dark = dark;
    if (chosen.of !== view.comparison) {
      const preferred = amsbench.usualOrder(view.comparison, rows).slice(0, MOST_AT_FIRST);
      chosen = { ...chosen, name: closer.reference[0].name, ids: new Set(preferred.map((row) => row.id)), of: view.comparison };
    }
    const select = element("select", { id: "curve-name", on: { change: () => {
      chosen.name = select.value;
      plot(view, closer, rows);
    } } });
    const deviation = element("input", { type: "checkbox", id: "curve-deviation", checked: chosen.deviation, on: { change: () => {
      chosen.deviation = deviation.checked;
      plot(view, closer, rows);
    } } });
    amsbench.options(select, closer.reference.map((curve) => [curve.name, `${curve.head}: ${curve.title}`]), chosen.name);
    amsbench.fill("curve-body",
      element("div", { class: "controls" }, element("label", { class: "grow" }, "Curve ", select), element("label", {}, deviation, "Deviation from the reference")),
      element("fieldset", { class: "checks" }, element("legend", {}, "Results"), rows.map((row) => {
        const box = element("input", { type: "checkbox", checked: chosen.ids.has(row.id), on: { change: () => {
          if (box.checked) chosen.ids.add(row.id);
          else chosen.ids.delete(row.id);
          plot(view, closer, rows);
        } } });
        return element("label", {}, box, element("span", {
          class: "swatch", style: `background:${amsbench.visible(row.colour)}`, "aria-hidden": "true",
        }), amsbench.rowName(row));
      })),
      element("figure", {}, element("div", { id: "curve-chart", class: "chart" }), element("figcaption", { id: "curve-caption" })));
    await plot(view, closer, rows);
  };

  async function plot(view, closer, rows) {
    const curve = closer.reference.find((item) => item.name === chosen.name);
    const c = amsbench.colours();
    const shown = rows.filter((row) => chosen.ids.has(row.id));
    const without = shown.filter((row) => !closer.results[row.id].curves[curve.name]);
    const base = chosen.deviation ? curve.mean : curve.mean.map(() => 0);
    const relative = (values) => values.map((value, place) => value - base[place]);
    const band = (sign) => relative(curve.mean.map((value, place) => value + sign * curve.spread[place]));
    const edge = { x: curve.grid, mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
    const grey = c.dark ? "rgba(200,210,220,0.35)" : "rgba(90,100,114,0.3)";
    const traces = [
      { ...edge, y: band(-1) },
      { ...edge, y: band(1), fill: "tonexty", fillcolor: grey },
      { x: curve.grid, y: relative(curve.mean), mode: "lines", line: { color: c.text, width: 1.5 }, text: "reference", hovertemplate: "reference: %{y:.4g}<extra></extra>" },
      ...shown.filter((row) => !without.includes(row)).map((row, place) => ({
        x: curve.grid, y: relative(closer.results[row.id].curves[curve.name]), mode: "lines",
        line: { color: amsbench.visible(row.colour), width: 2, dash: DASHES[place % DASHES.length] },
        text: curve.grid.map(() => amsbench.plotText(amsbench.rowName(row))), hovertemplate: "%{text}: %{y:.4g}<extra></extra>",
      })),
    ];
    const reference = closer.split === "train" ? "training" : "held-out";
    const targets = view.comparison.kind === "inverse-design" ? " Targets move the curves of inverse design away from it." : "";
    const missing = without.length ? ` Not stored for ${without.map(amsbench.rowName).join(", ")}.` : "";
    const caption = `Mean ${curve.head} of the generated structures.${missing} Thin line: mean of the ${reference} structures; band: noise floor, one standard deviation of the mean curve of ${view.comparison.count} structures of a perfect generator.${targets}`;
    await amsbench.draw("curve-chart", traces, amsbench.layout(
      { title: { text: amsbench.plotText(curve.axis) } }, { title: { text: amsbench.plotText(curve.head) + (chosen.deviation ? ", deviation" : "") } }), caption);
    amsbench.byId("curve-caption").textContent = caption;
  }
})();
