// What all charts share: colours of the page, names as plain text, and how a chart is drawn again.
"use strict";
(function () {
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Text for plotly, which would read < and & as markup.
  amsbench.plotText = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  amsbench.colours = () => ({
    text: style("--text"), muted: style("--muted"), line: style("--line"), ground: style("--ground"),
    accent: style("--accent"), dark: style("--scheme") === "dark",
  });

  // A colour of a method that can be seen on the ground of the page.
  amsbench.visible = function (colour) {
    const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    const light = (0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2]) / 255;
    const { dark } = amsbench.colours();
    const [towards, share] = dark ? [255, light < 0.45 ? 0.4 : 0] : [0, light > 0.6 ? 0.25 : 0];
    return `rgb(${parts.map((part) => Math.round(part + share * (towards - part))).join(",")})`;
  };

  amsbench.layout = function (x, y, further) {
    const c = amsbench.colours();
    const axis = { gridcolor: c.line, zerolinecolor: c.line, linecolor: c.muted, tickcolor: c.muted, automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: c.text, size: 12, family: "system-ui, sans-serif" },
      margin: { l: 56, r: 12, t: 12, b: 48 }, showlegend: false, hovermode: "closest",
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
      hoverlabel: { bgcolor: c.ground, bordercolor: c.line, font: { color: c.text } },
      xaxis: { ...axis, ...x }, yaxis: { ...axis, ...y }, ...further,
    };
  };

  // Draw or draw again; the text below the chart says what it shows.
  amsbench.draw = async function (id, traces, layout, description) {
    const plotly = await amsbench.plotly();
    const node = amsbench.byId(id);
    if (!node) return;
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", description);
    await plotly.react(node, traces, layout, {
      responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false,
    });
  };

  const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "pentagon", "star"];
  amsbench.symbol = (place) => SYMBOLS[place % SYMBOLS.length];

  // A legend in text: a swatch and a name for each of [name, colour].
  amsbench.legend = (id, items) => amsbench.fill(id, items.map(([name, colour]) => amsbench.element("span", {},
    amsbench.element("span", { class: "swatch", style: `background:${colour}`, "aria-hidden": "true" }), name)));
})();
