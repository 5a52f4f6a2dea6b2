// Quality against steps or time of the rows that pass the filters, with the results that no other one surpasses in both.
"use strict";
(function () {
  const SHARES = new Set(["coverage", "spearman"]);

  // Points of a column: cost, value, and limits of the interval, in the numbers that the table shows.
  function pointsOf(rows, place, column, cost) {
    const [quantity] = column.key.split(" ");
    const timePlace = cost === "time";
    return rows.flatMap((row) => {
      const cell = row.cells[place];
      const x = timePlace ? row.cells[row.cells.length - 1].value : row.steps;
      if (cell.value === null || !(x > 0)) return [];
      const share = quantity === "hits" && column.better === "higher";
      const value = share ? percentOf(cell.value, row.requested) : cell.value;
      const limits = [cell.low, cell.high].map((limit) => (share && limit !== null && limit !== undefined ? 100 * limit : limit));
      return [{ row, x, y: value, low: limits[0], high: limits[1] }];
    });
  }

  function percentOf(number, requested) {
    return requested ? (100 * number) / requested : number;
  }

  // Points than which none is better in one coordinate and as good in the other, by rising cost.
  amsbench.paretoFront = function (points, higher) {
    const better = (a, b) => (higher ? a > b : a < b);
    const ordered = [...points].sort((a, b) => a.x - b.x || (higher ? b.y - a.y : a.y - b.y));
    const front = [];
    for (const point of ordered) if (!front.length || better(point.y, front.at(-1).y)) front.push(point);
    return front;
  };

  amsbench.drawErrorChart = async function (view, columnPlace, cost) {
    const { comparison, rows } = view;
    const column = comparison.columns[columnPlace];
    const points = pointsOf(rows.map((row) => ({ ...row, requested: comparison.count })), columnPlace, column, cost);
    const c = amsbench.colours();
    const higher = column.better === "higher";
    const isShare = column.key === "hits hits" || SHARES.has(column.key.split(" ")[1]);
    const isLogarithmic = !isShare && points.every((point) => point.y > 0);
    const traces = lines(comparison, points, cost);
    const front = amsbench.paretoFront(points.filter((point) => !higher || point.y > 0), higher);
    if (front.length > 1) {
      traces.unshift({
        x: front.map((point) => point.x), y: front.map((point) => point.y), mode: "lines", hoverinfo: "skip",
        line: { color: c.muted, width: 1.5, dash: "dot", shape: "hv" },
      });
    }
    const head = column.head + (column.key === "hits hits" ? " (%)" : "");
    const ticks = [...new Set(points.map((point) => point.x))].sort((a, b) => a - b);
    const x = cost === "time" ? { type: "log", title: { text: "time per structure (s)" }, dtick: 1 } : {
      type: "log", title: { text: "sampling steps" }, tickvals: spaced(ticks), ticktext: spaced(ticks).map(String),
    };
    const y = isLogarithmic ? { type: "log", ...decades(points) } : { rangemode: higher ? "tozero" : "normal" };
    const caption = `${column.head} against ${cost === "time" ? "time per structure" : "sampling steps"}: ${points.length} results that pass the filters of method, sampler and text.`;
    await amsbench.draw("error-chart", traces, amsbench.layout(x, { ...y, title: { text: amsbench.plotText(head) } }, level(column, isLogarithmic, c)), caption);
    const methods = new Map(points.map((point) => [point.row.method, amsbench.visible(point.row.colour)]));
    amsbench.legend("error-legend", [...methods]);
    amsbench.byId("error-caption").textContent = `${caption} Bars: 95 % intervals. Dotted: the Pareto front, the results that none of equal or lower cost surpasses.` +
      (column.level ? ` Dashed: ${column.level.label}.` : "");
  };

  // Ticks that do not overlap on a logarithmic axis.
  function spaced(values) {
    const kept = [];
    for (const value of values) if (!kept.length || value > 1.2 * kept.at(-1)) kept.push(value);
    return kept;
  }

  // Ticks at 1, 2 and 5 times the powers of ten, as plain numbers.
  function decades(points) {
    const values = points.flatMap((point) => [point.y, point.low, point.high]).filter((value) => value > 0);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const factor of [1, 2, 5]) ticks.push(Number((factor * 10 ** power).toPrecision(1)));
    }
    return { tickvals: ticks, ticktext: ticks.map(String) };
  }

  function lines(comparison, points, cost) {
    const entries = [...new Set(points.map((point) => point.row.entry))];
    const used = new Map();
    return entries.map((entry) => {
      const own = points.filter((point) => point.row.entry === entry).sort((a, b) => a.row.steps - b.row.steps);
      const method = own[0].row.method;
      const number = used.get(method) || 0;
      used.set(method, number + 1);
      const colour = amsbench.visible(own[0].row.colour);
      return {
        x: own.map((point) => point.x), y: own.map((point) => point.y), mode: "lines+markers",
        line: { color: colour, width: 1.5 }, marker: { color: colour, size: 8, symbol: amsbench.symbol(number) },
        error_y: {
          type: "data", symmetric: false, color: colour, thickness: 1, width: 3,
          array: own.map((point) => (point.high == null ? 0 : Math.max(0, point.high - point.y))),
          arrayminus: own.map((point) => (point.low == null ? 0 : Math.max(0, point.y - point.low))),
        },
        text: own.map((point) => amsbench.plotText(`${amsbench.rowName(point.row)}: ${amsbench.number(point.y)}` +
          (cost === "time" ? `, ${amsbench.duration(point.x)} per structure` : ""))),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
  }

  function level(column, isLogarithmic, c) {
    if (!column.level || (isLogarithmic && column.level.low <= 0)) return {};
    const line = (y) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: c.muted, width: 1, dash: "dash" } });
    const { low, high } = column.level;
    return { shapes: low === high ? [line(low)] : [line(low), line(high)] };
  }
})();
