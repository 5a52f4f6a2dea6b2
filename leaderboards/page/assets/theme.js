// The colours of the page: those of the system until the reader chooses others. Loaded before the page is drawn.
(function () {
  "use strict";
  const name = "amsbench-theme";

  function stored() {
    try { return localStorage.getItem(name); } catch { return null; }
  }

  function current() {
    const chosen = document.documentElement.dataset.theme;
    return chosen || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  }

  function label(button) {
    button.textContent = current() === "dark" ? "Light colours" : "Dark colours";
  }

  const chosen = stored();
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", function () {
    const button = document.getElementById("theme");
    label(button);
    const changed = function () {
      label(button);
      document.dispatchEvent(new Event("amsbench-theme"));
    };
    button.addEventListener("click", function () {
      const next = current() === "dark" ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try { localStorage.setItem(name, next); } catch { /* the choice holds for this visit */ }
      changed();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  });
})();
