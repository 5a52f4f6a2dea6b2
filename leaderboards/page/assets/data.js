// The data of the page: scripts that lie beside it hand them over, since a page opened from a file may not fetch.
"use strict";
(function () {
  const datasets = [];
  const closer = new Map();
  const loading = new Map();
  let cards = [];

  amsbench.addDataset = (number, data) => { datasets[number] = data; };
  amsbench.addCards = (_, data) => { cards = data; };
  amsbench.addCloser = (name, data) => { closer.set(name, data); };
  amsbench.datasets = () => datasets;
  amsbench.methodCards = () => cards;

  // Load a script once; the promise is kept.
  function load(source) {
    if (!loading.has(source)) {
      loading.set(source, new Promise((resolve, reject) => {
        document.head.append(amsbench.element("script", { src: source, on: {
          load: () => resolve(),
          error: () => reject(new Error(`The file ${source} of this page is missing or cannot be read.`)),
        } }));
      }));
    }
    return loading.get(source);
  }

  // Structures, curves and obtained values of a comparison.
  amsbench.closerData = async function (dataset, comparison) {
    const name = `${dataset}-${comparison}`;
    if (!closer.has(name)) await load(`data/closer-${name}.js`);
    return closer.get(name);
  };

  amsbench.plotly = async function () {
    await load("plotly.min.js");
    return window.Plotly;
  };

  amsbench.problem = function (error) {
    const node = amsbench.byId("problem");
    node.textContent = error.message;
    node.hidden = false;
  };
})();
