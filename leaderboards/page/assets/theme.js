// The colours of the page: those of the system until the reader chooses others. Loaded before the page is drawn.
(function () {
  "use strict";
  const name = "amsbench-theme";

  function stored() {
    try { return localStorage.getItem(name); } catch { return null; }
  }

  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = stored();

  function apply() {
    const ofSystem = system.matches ? "dark" : "light";
    root.dataset.theme = chosen === "light" || chosen === "dark" ? chosen : ofSystem;
  }

  function label(button) {
    button.textContent = root.dataset.theme === "dark" ? "Light colours" : "Dark colours";
  }

  apply();

  document.addEventListener("DOMContentLoaded", function () {
    const button = document.getElementById("theme");
    label(button);
    const changed = function () {
      apply();
      label(button);
      document.dispatchEvent(new Event("amsbench-theme"));
    };
    button.addEventListener("click", function () {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem(name, chosen); } catch { /* the choice holds for this visit */ }
      changed();
    });
    system.addEventListener("change", changed);
  });
})();
