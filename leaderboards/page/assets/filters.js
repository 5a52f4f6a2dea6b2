// Which rows of a comparison are shown, and in which order.
"use strict";
(function () {
  const EVERY = "";

  function words(row) {
    return [row.entry, row.method, row.sampler, row.training, row.stepKind, row.protocol, String(row.steps)]
      .join(" ").toLowerCase();
  }

  // Rows that pass all filters.
  amsbench.filtered = function (comparison, filters) {
    const parts = filters.text.toLowerCase().split(/\s+/).filter(Boolean);
    return comparison.rows.filter((row) =>
      (filters.steps === EVERY || row.steps === Number(filters.steps)) &&
      (filters.method === EVERY || row.method === filters.method) &&
      (filters.sampler === EVERY || row.sampler === filters.sampler) &&
      parts.every((part) => words(row).includes(part)));
  };

  // Text and value by which a column sorts a row; null comes last in either direction.
  function sortValue(row, column) {
    if (typeof column === "number") return row.cells[column].value;
    return column === "steps" && !row.learned ? null : row[column];
  }

  function compare(a, b) {
    return typeof a === "string" ? a.localeCompare(b, "en") : a - b;
  }

  // Rows in the order of a sort: {column, descending}; equal rows stay in the order in which they were.
  amsbench.sorted = function (rows, sort) {
    const valued = rows.map((row) => [sortValue(row, sort.column), row]);
    const present = valued.filter(([value]) => value !== null && value !== undefined);
    const absent = valued.filter(([value]) => value === null || value === undefined);
    present.sort(([a], [b]) => (sort.descending ? compare(b, a) : compare(a, b)));
    return [...present, ...absent].map(([, row]) => row);
  };

  // The order in which a table is shown at first: by its first column that distinguishes results, ties by the next.
  amsbench.usualOrder = function (comparison, rows) {
    return leadingColumns(comparison).reduceRight((ordered, place) => {
      if (comparison.columns[place].better === "lower") return amsbench.sorted(ordered, { column: place, descending: false });
      const some = ordered.filter((row) => row.cells[place].value > 0);
      const none = ordered.filter((row) => !(row.cells[place].value > 0)); // of no hits, or measured without
      return [...amsbench.sorted(some, { column: place, descending: true }), ...none];
    }, rows);
  };

  // Hits, then the error over all requests; or the error of the first curve.
  function leadingColumns(comparison) {
    const keys = comparison.columns.map((column) => column.key);
    const first = keys.indexOf("hits hits");
    const error = keys.findIndex((key) => key.endsWith(" penalised_mae") || key.endsWith(" rmsd"));
    return [first, error].filter((place) => place >= 0);
  }

  // The best of some rows of trained models: most hits, or the lowest error where there is none; null without rows.
  amsbench.best = function (comparison, rows) {
    const learned = rows.filter((row) => row.learned);
    const columns = leadingColumns(comparison);
    for (const place of columns) {
      const column = comparison.columns[place];
      const higher = column.better === "higher";
      const candidates = learned.filter((row) => row.cells[place].value !== null && (!higher || row.cells[place].value > 0));
      if (candidates.length) {
        return { row: amsbench.sorted(candidates, { column: place, descending: higher })[0], column: place };
      }
    }
    return null;
  };

  // The row of a closer look among those that have one: the selected one, else the best that passes the filters.
  amsbench.shownRow = function (view, rows) {
    const passing = rows.filter((row) => view.rows.includes(row));
    const best = amsbench.best(view.comparison, passing);
    return rows.find((row) => row.id === view.selected) || (best && best.row) || passing[0] || rows[0];
  };

  // Rows of trained models that are tied with one in a column, at its number of steps; none where no test was made.
  amsbench.tiedWith = function (rows, best, column) {
    if (!best.cells[column].tied) return [];
    return rows.filter((row) => row !== best && row.learned && row.steps === best.steps && row.cells[column].tied);
  };

  // Choices of the filters among the rows of a comparison.
  amsbench.filterChoices = function (comparison) {
    const unique = (values) => [...new Set(values)];
    return {
      steps: [[EVERY, "all"], ...unique(comparison.rows.map((row) => row.steps)).sort((a, b) => a - b)
        .map((steps) => [String(steps), steps ? String(steps) : "none (baselines)"])],
      method: [[EVERY, "all"], ...unique(comparison.rows.map((row) => row.method)).map((name) => [name, name])],
      sampler: [[EVERY, "all"], ...unique(comparison.rows.map((row) => row.sampler)).sort().map((name) => [name, name])],
    };
  };
})();
