// The leaderboard table: sorted by click or keyboard on its heads, each row unfolds to its numbers and provenance.
"use strict";
(function () {
  const element = amsbench.element;
  const LABELS = [["entry", "Method", false], ["sampler", "Sampler", false], ["steps", "Steps", false]];
  const FIRST_ROWS = 15;

  // Draw the table. view: dataset, comparison, rows (in order), sort, opened (set of ids), all (whether all rows are
  // shown); actions: sort(column), toggle(id), more()
  amsbench.drawTable = function (view, actions) {
    const { comparison, rows } = view;
    const shown = view.all ? rows : rows.slice(0, FIRST_ROWS);
    amsbench.fill("table", element("table", { class: "board" },
      element("caption", {}, `${comparison.label}: ${rows.length} of ${comparison.rows.length} results`),
      element("thead", {}, element("tr", {}, heads(view, actions))),
      element("tbody", {}, shown.flatMap((row) => tableRow(view, row, actions))),
    ));
    if (!rows.length) amsbench.byId("table").append(element("p", {}, "No result passes these filters."));
    const more = amsbench.byId("more");
    more.hidden = rows.length <= FIRST_ROWS;
    more.textContent = view.all ? `Show the first ${FIRST_ROWS}` : `Show all ${rows.length} results`;
  };

  function heads(view, actions) {
    const columns = [
      ...LABELS.map(([key, head]) => ({ column: key, head: head, meaning: "", minor: key !== "entry" })),
      ...view.comparison.columns.map((column, place) => ({
        column: place, head: column.head, meaning: column.meaning, minor: isMinor(view, place), numeric: true,
      })),
    ];
    return columns.map((item) => {
      const sorts = view.sort.column === item.column;
      const order = sorts ? (view.sort.descending ? "descending" : "ascending") : null;
      return element("th", {
        scope: "col", "aria-sort": order, class: classes(item.minor && "minor", item.numeric && "numeric"),
      }, element("button", {
        type: "button", title: item.meaning, on: { click: () => actions.sort(item.column) },
      }, item.head, element("span", { "aria-hidden": "true", class: "arrow" },
        sorts ? (view.sort.descending ? "▼" : "▲") : "")));
    });
  }

  function tableRow(view, row, actions) {
    const opened = view.opened.has(row.id);
    const detail = `detail-${row.id}`;
    const line = element("tr", { class: classes(opened && "opened", !row.learned && "baseline"), "data-id": row.id },
      element("th", { scope: "row" }, element("button", {
        type: "button", class: "fold", "aria-expanded": String(opened), "aria-controls": opened ? detail : null,
        on: { click: () => actions.toggle(row.id) },
      }, element("span", { class: "swatch", style: `background:${row.colour}`, "aria-hidden": "true" }), element("span", {}, row.entry)),
      element("small", {}, [row.entry.includes(row.sampler) ? "" : row.sampler, row.learned ? amsbench.stepsText(row.steps) : ""]
        .filter(Boolean).join(", "))),
      element("td", { class: "minor" }, row.sampler),
      element("td", { class: "minor" }, row.learned ? String(row.steps) : "-"),
      view.comparison.columns.map((_, place) => dataCell(row.cells[place], isMinor(view, place))));
    if (!opened) return [line];
    const width = LABELS.length + view.comparison.columns.length;
    return [line, element("tr", { class: "detail", id: detail },
      element("td", { colspan: width }, amsbench.detailOf(view, row)))];
  }

  // Whether narrow screens leave a column out: so they do where no result has a number in it.
  function isMinor(view, place) {
    return view.comparison.columns[place].minor || view.comparison.rows.every((row) => row.cells[place].value === null);
  }

  function dataCell(cell, minor) {
    return element("td", {
      class: classes("numeric", minor && "minor", cell.tied && "tied"), title: cell.title || null,
    },
    cell.tied ? element("span", { class: "mark", role: "img", "aria-label": "best or tied" }, "●") : null,
    cell.text,
    cell.interval ? element("small", {}, cell.interval) : null);
  }

  function classes(...names) {
    return names.filter(Boolean).join(" ") || null;
  }
})();
