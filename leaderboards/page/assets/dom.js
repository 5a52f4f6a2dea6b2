// Elements of the page. Every text is set as text, never as markup, so that no name can become a part of the page.
"use strict";
const amsbench = {};

// An element with attributes and children: strings become text, null and false are left out.
amsbench.element = function (tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, action] of Object.entries(value)) node.addEventListener(event, action);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};

amsbench.byId = (id) => document.getElementById(id);

// Replace what an element holds.
amsbench.fill = function (id, ...children) {
  const node = amsbench.byId(id);
  node.replaceChildren(...children.flat().filter(Boolean));
  return node;
};

// Fill a <select> with [value, label] pairs and choose one of them.
amsbench.options = function (select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, label]) => amsbench.element("option", { value: value }, label)));
  select.value = pairs.some(([value]) => String(value) === String(chosen)) ? chosen : pairs.length ? pairs[0][0] : "";
};

// A group of buttons of which one is pressed.
amsbench.choices = function (id, pairs, chosen, choose) {
  amsbench.fill(id, pairs.map(([value, label]) => amsbench.element("button", {
    type: "button", "aria-pressed": String(value === chosen), on: { click: () => choose(value) },
  }, label)));
};

amsbench.number = function (value, digits) {
  return value === null || value === undefined ? "-" : String(Number(value.toPrecision(digits || 4)));
};

amsbench.duration = function (seconds) {
  if (seconds < 60) return `${Number(seconds.toPrecision(2))} s`;
  return seconds < 3600 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
};

amsbench.stepsText = (steps) => (steps ? `${steps} step${steps === 1 ? "" : "s"}` : "no steps");

// Name of a result: entry and steps.
amsbench.rowName = (row) => row.entry + (row.steps ? `, ${amsbench.stepsText(row.steps)}` : "");
