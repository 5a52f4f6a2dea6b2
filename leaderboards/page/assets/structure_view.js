// Generated structures in three dimensions: atoms as spheres, bonds, and the periodic cell; turned by mouse, finger or keys.
"use strict";
(function () {
  const element = amsbench.element;
  const UNIT = 100;
  const RADIUS = 0.45;
  const LEAST_RADIUS = 0.28;
  const EYE = { x: 1.45, y: 1.15, z: 0.6 };
  let sphere = null;
  let eye = { ...EYE };
  let shown = { of: null, sample: 0, bonds: true, cell: true };
  let drawn = null;

  amsbench.drawStructures = async function (view, closer, choose) {
    const rows = amsbench.usualOrder(view.comparison, view.comparison.rows)
      .filter((row) => closer.results[row.id] && closer.results[row.id].structures);
    if (!rows.length) {
      drawn = null;
      amsbench.fill("structure-body", element("p", { class: "muted" }, "No structures are stored beside these results."));
      return;
    }
    const row = amsbench.shownRow(view, rows);
    const state = `${view.comparison.label} ${row.id} ${amsbench.colours().dark}`;
    if (drawn === state) return;
    drawn = state;
    if (shown.of !== row.id) shown = { ...shown, of: row.id, sample: 0 };
    const samples = closer.results[row.id].structures;
    const draw = () => plot(view, closer, row, samples);
    const result = element("select", { id: "structure-result", on: { change: () => choose(result.value) } });
    amsbench.options(result, rows.map((item) => [item.id, amsbench.rowName(item)]), row.id);
    const sample = element("select", { id: "structure-sample", on: { change: () => {
      shown.sample = Number(sample.value);
      draw();
    } } });
    amsbench.options(sample, samples.map((item, place) => [place, `${item.number} of ${view.comparison.count}`]), shown.sample);
    const box = (name, label) => {
      const input = element("input", { type: "checkbox", checked: shown[name], on: { change: () => {
        shown[name] = input.checked;
        draw();
      } } });
      return element("label", {}, input, label);
    };
    const press = (label, name, act) => element("button", { type: "button", class: "quiet small", "aria-label": name, on: { click: act } }, label);
    amsbench.fill("structure-body",
      element("div", { class: "controls" }, element("label", {}, "Result ", result), element("label", {}, "Structure ", sample),
        box("bonds", "Bonds"), box("cell", "Cell"),
        press("−", "Smaller", () => zoom(1.25)), press("+", "Larger", () => zoom(0.8)), press("Reset view", null, reset)),
      element("figure", {}, element("div", { id: "structure-chart", class: "chart scene", tabindex: "0", on: { keydown: key } }),
        element("div", { class: "legend", id: "structure-legend" }),
        element("figcaption", { id: "structure-caption" })));
    await draw();
  };

  async function plot(view, closer, row, samples) {
    const sample = samples[shown.sample];
    const c = amsbench.colours();
    const traces = sample.symbols.map((symbol, place) => spheres(sample, place, closer.elements[symbol]));
    if (shown.bonds) sample.symbols.forEach((symbol, place) => traces.push(bonds(sample, place, closer.elements[symbol])));
    if (shown.cell) traces.push(cell(sample, c.muted));
    const hidden = { visible: false };
    const caption = `${amsbench.rowName(row)}, structure ${sample.number}: ${sample.formula}, ${sample.atoms} atoms, ${sample.density} g/cm³${values(sample, closer)}.`;
    await amsbench.draw("structure-chart", traces, {
      paper_bgcolor: "rgba(0,0,0,0)", margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, hovermode: false,
      scene: { xaxis: hidden, yaxis: hidden, zaxis: hidden, aspectmode: "data", dragmode: "orbit", camera: { eye: eye, up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: -0.08 } } },
    }, `${caption} The arrow keys turn it, plus and minus change its size.`);
    const node = amsbench.byId("structure-chart");
    if (!node.dataset.followed) {
      node.dataset.followed = "yes";
      node.on("plotly_relayout", (change) => { if (change["scene.camera"]) eye = { ...change["scene.camera"].eye }; });
    }
    node.dataset.drawn = String(sample.atoms);
    const counts = sample.symbols.map((symbol, place) => [
      `${symbol} (${sample.species.filter((item) => item === place).length})`, closer.elements[symbol].colour]);
    amsbench.legend("structure-legend", counts);
    amsbench.byId("structure-caption").textContent = `${caption} Drag to turn it, or use the arrow keys. Bonds leave the cell where they reach the next periodic image.`;
  }

  function values(sample, closer) {
    return Object.entries(sample.targets).map(([name, value]) => {
      const label = closer.properties.find((item) => item.name === name).label;
      const obtained = value.obtained === null ? "not measurable" : `obtained ${amsbench.number(value.obtained, 3)}`;
      return `; ${label}: requested ${amsbench.number(value.target, 3)}, ${obtained}`;
    }).join("");
  }

  // Unit sphere of triangles: an octahedron whose edges are halved twice.
  function unitSphere() {
    if (sphere) return sphere;
    let points = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];
    let faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]];
    for (let level = 0; level < 2; level += 1) {
      const middles = new Map();
      const middle = (a, b) => {
        const name = a < b ? `${a} ${b}` : `${b} ${a}`;
        if (!middles.has(name)) {
          const sum = points[a].map((value, axis) => value + points[b][axis]);
          middles.set(name, points.length);
          points.push(sum.map((value) => value / Math.hypot(...sum)));
        }
        return middles.get(name);
      };
      faces = faces.flatMap(([a, b, c]) => {
        const [ab, bc, ca] = [middle(a, b), middle(b, c), middle(c, a)];
        return [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]];
      });
    }
    sphere = { points, faces };
    return sphere;
  }

  function atom(sample, place) {
    return [0, 1, 2].map((axis) => sample.positions[3 * place + axis] / UNIT);
  }

  function spheres(sample, kind, look) {
    const { points, faces } = unitSphere();
    const radius = Math.max(LEAST_RADIUS, RADIUS * look.radius);
    const mesh = { x: [], y: [], z: [], i: [], j: [], k: [] };
    sample.species.forEach((species, place) => {
      if (species !== kind) return;
      const centre = atom(sample, place);
      const first = mesh.x.length;
      for (const point of points) {
        mesh.x.push(centre[0] + radius * point[0]);
        mesh.y.push(centre[1] + radius * point[1]);
        mesh.z.push(centre[2] + radius * point[2]);
      }
      for (const [a, b, c] of faces) {
        mesh.i.push(first + a);
        mesh.j.push(first + b);
        mesh.k.push(first + c);
      }
    });
    return { type: "mesh3d", ...mesh, color: look.colour, hoverinfo: "skip", flatshading: false,
      lighting: { ambient: 0.55, diffuse: 0.65, specular: 0.25, roughness: 0.5, fresnel: 0.1 },
      lightposition: { x: 1e4, y: 1e4, z: 2e4 } };
  }

  function segments(lines, colour, width) {
    const trace = { type: "scatter3d", mode: "lines", x: [], y: [], z: [], hoverinfo: "skip", line: { color: colour, width: width } };
    for (const [from, to] of lines) {
      for (const point of [from, to, [null, null, null]]) {
        trace.x.push(point[0]);
        trace.y.push(point[1]);
        trace.z.push(point[2]);
      }
    }
    return trace;
  }

  // Halves of bonds on the side of the atoms of one kind.
  function bonds(sample, kind, look) {
    const halves = [];
    for (let at = 0; at < sample.bonds.length; at += 5) {
      const [first, second, ...vector] = sample.bonds.slice(at, at + 5);
      for (const [place, sign] of [[first, 1], [second, -1]]) {
        if (sample.species[place] !== kind) continue;
        const centre = atom(sample, place);
        halves.push([centre, centre.map((value, axis) => value + (sign * vector[axis]) / (2 * UNIT))]);
      }
    }
    return segments(halves, look.colour, 6);
  }

  function cell(sample, colour) {
    const vectors = [0, 1, 2].map((row) => [0, 1, 2].map((axis) => sample.cell[3 * row + axis] / UNIT));
    const corner = (a, b, c) => [0, 1, 2].map((axis) => a * vectors[0][axis] + b * vectors[1][axis] + c * vectors[2][axis]);
    const edges = [];
    for (const u of [0, 1]) for (const v of [0, 1]) {
      edges.push([corner(0, u, v), corner(1, u, v)], [corner(u, 0, v), corner(u, 1, v)], [corner(u, v, 0), corner(u, v, 1)]);
    }
    return segments(edges, colour, 2);
  }

  async function look(next) {
    eye = next;
    const plotly = await amsbench.plotly();
    await plotly.relayout("structure-chart", { "scene.camera.eye": eye });
  }

  const reset = () => look({ ...EYE });
  const zoom = (factor) => look({ x: eye.x * factor, y: eye.y * factor, z: eye.z * factor });

  function turn(azimuth, elevation) {
    const distance = Math.hypot(eye.x, eye.y, eye.z);
    const around = Math.atan2(eye.y, eye.x) + azimuth;
    const up = Math.min(1.5, Math.max(-1.5, Math.asin(eye.z / distance) + elevation));
    look({ x: distance * Math.cos(up) * Math.cos(around), y: distance * Math.cos(up) * Math.sin(around), z: distance * Math.sin(up) });
  }

  function key(event) {
    const acts = {
      ArrowLeft: () => turn(-0.2, 0), ArrowRight: () => turn(0.2, 0), ArrowUp: () => turn(0, 0.2), ArrowDown: () => turn(0, -0.2),
      "+": () => zoom(0.8), "=": () => zoom(0.8), "-": () => zoom(1.25), 0: reset,
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    acts[event.key]();
  }
})();
