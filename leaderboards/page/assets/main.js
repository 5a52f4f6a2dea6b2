// What the page shows, and how the choices of the reader change it.
"use strict";
(function () {
  const element = amsbench.element;
  const NO_FILTERS = { steps: "", method: "", sampler: "", text: "" };
  const state = {
    dataset: 0, plan: 0, comparison: 0, filters: { ...NO_FILTERS }, sort: { column: null, descending: false },
    opened: new Set(), all: false, selected: null,
  };

  let waiting = null;

  const dataset = () => amsbench.datasets()[state.dataset];
  const plan = () => dataset().plans[state.plan];
  const comparison = () => dataset().comparisons[state.comparison];

  function start() {
    if (!amsbench.datasets().length) throw new Error("The data of this page are missing: its folder data/ is incomplete.");
    fromAddress();
    amsbench.drawCards();
    listen();
    drawAll();
  }

  // Dataset, plan, comparison and steps of the address, such as #asio2/shear_modulus/0/5, where they exist.
  function fromAddress() {
    const [name, subject, place, steps] = location.hash.slice(1).split("/").map(decodeURIComponent);
    const number = amsbench.datasets().findIndex((item) => item.name === name);
    state.dataset = number < 0 ? preferredDataset() : number;
    const plans = dataset().plans;
    state.plan = Math.max(0, plans.findIndex((item) => item.name === subject));
    const choices = plan().comparisons;
    const chosen = place === undefined ? undefined : choices[Number(place)];
    state.comparison = chosen === undefined ? mainOf(choices) : chosen;
    if (comparison().rows.some((row) => String(row.steps) === steps)) state.filters.steps = steps;
  }

  // A dataset with hits, if there is one.
  function preferredDataset() {
    const hits = amsbench.datasets().findIndex((item) => item.comparisons.some((c) => c.rows.some((row) =>
      row.cells[0].value > 0 && c.columns[0].key === "hits hits")));
    return Math.max(0, hits);
  }

  function mainOf(places) {
    const main = places.find((place) => dataset().comparisons[place].main);
    return main === undefined ? places[0] : main;
  }

  function toAddress() {
    const parts = [dataset().name, plan().name, plan().comparisons.indexOf(state.comparison), state.filters.steps];
    try {
      history.replaceState(null, "", `#${parts.map(encodeURIComponent).join("/")}`);
    } catch { /* pages of a file may not change their address in some browsers */ }
  }

  function chooseDataset(number) {
    Object.assign(state, { dataset: number, plan: 0 });
    choosePlan(0);
  }

  function choosePlan(number) {
    state.plan = number;
    chooseComparison(mainOf(plan().comparisons));
  }

  function chooseComparison(place) {
    Object.assign(state, { comparison: place, opened: new Set(), all: false, selected: null });
    Object.assign(state.sort, { column: null, descending: false });
    const values = amsbench.filterChoices(comparison());
    for (const name of Object.keys(values)) {
      if (!values[name].some(([value]) => value === state.filters[name])) state.filters[name] = "";
    }
    drawAll();
  }

  function rowsInOrder() {
    const rows = amsbench.usualOrder(comparison(), amsbench.filtered(comparison(), state.filters));
    return state.sort.column === null ? rows : amsbench.sorted(rows, state.sort);
  }

  function view() {
    return {
      dataset: dataset(), comparison: comparison(), rows: rowsInOrder(), sort: state.sort, opened: state.opened,
      all: state.all, selected: state.selected, show: show,
    };
  }

  function drawAll() {
    amsbench.choices("datasets", amsbench.datasets().map((item, place) => [place, item.label.split(" (")[0]]), state.dataset, chooseDataset);
    amsbench.choices("plans", dataset().plans.map((item, place) => [place, item.label]), state.plan, choosePlan);
    amsbench.byId("leaderboard-title").textContent = dataset().title ? dataset().title[0].toUpperCase() + dataset().title.slice(1) : dataset().name;
    const shared = `${dataset().name}, ${plan().name}, protocol `;
    amsbench.options(amsbench.byId("comparison"), plan().comparisons.map((place) =>
      [place, dataset().comparisons[place].label.replace(shared, "")]), state.comparison);
    const columns = comparison().columns.slice(0, -1).map((column, place) => [place, column.head]);
    amsbench.options(amsbench.byId("error-y"), columns, firstDrawn());
    drawFilters();
    const c = comparison();
    const sentences = [c.definition, ...c.conditions].filter(Boolean);
    amsbench.fill("conditions", element("details", {}, element("summary", {}, "Conditions of this table"),
      element("ul", {}, sentences.map((sentence) => element("li", {}, sentence)))));
    drawRows();
    drawCloser();
  }

  // The column of the chart: the first that has two values or more.
  function firstDrawn() {
    const place = comparison().columns.findIndex((_, column) =>
      comparison().rows.filter((row) => row.learned && row.cells[column].value > 0).length > 1);
    return Math.max(0, place);
  }

  function drawFilters() {
    const values = amsbench.filterChoices(comparison());
    for (const name of Object.keys(values)) {
      amsbench.options(amsbench.byId(`filter-${name}`), values[name], state.filters[name]);
    }
    amsbench.byId("filter-text").value = state.filters.text;
  }

  function drawRows() {
    toAddress();
    drawTable();
    drawLead();
    drawErrors();
  }

  // The closer look follows when the reader stops typing.
  function filtersChanged() {
    state.selected = null;
    drawRows();
    clearTimeout(waiting);
    waiting = setTimeout(drawCloser, 300);
  }

  function drawTable() {
    amsbench.drawTable(view(), { sort: sortBy, toggle: toggle });
  }

  function drawErrors() {
    const rows = amsbench.filtered(comparison(), { ...state.filters, steps: "" });
    amsbench.drawErrorChart({ comparison: comparison(), rows: rows }, Number(amsbench.byId("error-y").value), amsbench.byId("error-x").value)
      .catch(amsbench.problem);
  }

  async function drawCloser() {
    const requested = comparison();
    try {
      const closer = await amsbench.closerData(state.dataset, state.comparison);
      if (requested !== comparison()) return; // another one was chosen meanwhile
      const choose = (id) => {
        state.selected = id;
        drawCloser();
      };
      await amsbench.drawTargets(view(), closer, choose);
      await amsbench.drawStructures(view(), closer, choose);
      await amsbench.drawCurves(view(), closer);
      document.documentElement.dataset.ready = `${state.dataset}-${state.comparison}`;
    } catch (error) {
      amsbench.problem(error);
    }
  }

  // The best result of the rows that pass the filters, in a sentence.
  function drawLead() {
    const rows = rowsInOrder();
    const best = amsbench.best(comparison(), rows);
    if (!best) {
      amsbench.fill("lead", element("p", {}, "No trained model among these results."));
      return;
    }
    const at = state.filters.steps && state.filters.steps !== "0" ? ` at ${amsbench.stepsText(Number(state.filters.steps))}` : "";
    const columns = comparison().columns;
    const text = (place) => [best.row.cells[place].text, best.row.cells[place].interval].filter(Boolean).join(" ");
    const facts = columns.flatMap((column, place) => column.minor ? [] : [
      element("div", {}, element("dt", {}, column.head), element("dd", {}, text(place)))]);
    const designs = columns[0].key === "hits hits";
    const lowest = designs ? "lowest error over all requests" : `lowest ${columns[best.column].head}`;
    const why = best.column === 0 && designs ? "most hits" : lowest;
    const tied = amsbench.tiedWith(rows, best.row, best.column);
    const notes = [
      designs && best.column !== 0 && noHits(rows),
      tied.length && `Not distinguishable from it at ${amsbench.stepsText(best.row.steps)}: ${tied.map((row) => `${row.entry} (${row.cells[best.column].text})`).join(", ")}.`,
    ].filter(Boolean);
    const shown = best.row.structures ? best.row : rows.find((row) => row.structures && row.learned);
    amsbench.fill("lead", element("h3", {}, `Best trained model${at}: `, element("strong", {}, at ? best.row.entry : amsbench.rowName(best.row)), element("small", {}, ` (${why})`)),
      element("dl", { class: "answer" }, facts),
      notes.length ? element("p", {}, notes.join(" ")) : null,
      element("div", { class: "actions" },
        element("button", { type: "button", on: { click: () => show("row", best.row.id) } }, "Numbers and provenance"),
        shown ? element("button", { type: "button", on: { click: () => show("structures", shown.id) } },
          shown === best.row ? "One of its structures in 3D" : `A structure of ${amsbench.rowName(shown)} in 3D`) : null));
  }

  // Why no result has a time per hit.
  function noHits(rows) {
    const measured = rows.filter((row) => row.learned && row.cells[0].text !== "-").length;
    return measured ? `None of the ${measured} results whose hits were measured has one, so that there is no time per hit.`
      : "These results were measured before hits were defined.";
  }

  function sortBy(column) {
    const higher = typeof column === "number" && comparison().columns[column].better === "higher";
    const descending = state.sort.column === column ? !state.sort.descending : higher;
    state.sort = { column: column, descending: descending };
    drawTable();
    const place = typeof column === "number" ? 3 + column : ["entry", "sampler", "steps"].indexOf(column);
    document.querySelectorAll("table.board thead button")[place].focus();
  }

  function toggle(id) {
    if (!state.opened.delete(id)) state.opened.add(id);
    drawTable();
    focusRow(id);
  }

  function focusRow(id) {
    const row = document.querySelector(`tr[data-id="${id}"]`);
    if (row) row.querySelector("button.fold").focus();
    return row;
  }

  // Go to the row, the structures or the targets of a result.
  function show(place, id) {
    state.selected = id;
    if (place === "row") {
      state.opened.add(id);
      if (rowsInOrder().findIndex((row) => row.id === id) >= 15) state.all = true;
      drawTable();
      focusRow(id).scrollIntoView({ block: "start" });
      return;
    }
    drawCloser().then(() => {
      const section = amsbench.byId(place);
      section.scrollIntoView({ block: "start" });
      section.focus({ preventScroll: true });
    });
  }

  function listen() {
    amsbench.byId("comparison").addEventListener("change", (event) => chooseComparison(Number(event.target.value)));
    for (const name of Object.keys(NO_FILTERS)) {
      amsbench.byId(`filter-${name}`).addEventListener(name === "text" ? "input" : "change", (event) => {
        state.filters[name] = event.target.value;
        filtersChanged();
      });
    }
    amsbench.byId("filters").addEventListener("reset", () => {
      state.filters = { ...NO_FILTERS };
      state.sort = { column: null, descending: false };
      drawFilters();
      filtersChanged();
    });
    amsbench.byId("filters").addEventListener("submit", (event) => event.preventDefault());
    amsbench.byId("more").addEventListener("click", () => {
      state.all = !state.all;
      drawTable();
    });
    for (const id of ["error-x", "error-y"]) amsbench.byId(id).addEventListener("change", drawErrors);
    document.addEventListener("amsbench-theme", () => {
      drawTable();
      drawErrors();
      drawCloser();
    });
    addEventListener("beforeprint", () => {
      state.all = true;
      drawTable();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    try {
      start();
    } catch (error) {
      amsbench.problem(error);
    }
  });
})();
