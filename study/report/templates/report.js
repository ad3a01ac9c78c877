"use strict";
// Without this script the page reads the same: it sorts tables, and opens what a link or the printer asks for.

const MISSING = "–";

function keyOf(row, column) {
  const cell = row.cells[column];
  const text = cell.textContent.trim();
  return { number: cell.dataset.order === undefined ? NaN : Number(cell.dataset.order), text };
}

// What is missing stands last, whichever way the others go.
function compare(a, b, direction) {
  const missing = (a.text === MISSING) - (b.text === MISSING);
  if (missing) return missing;
  if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return direction * (a.number - b.number);
  return direction * a.text.localeCompare(b.text, "en", { numeric: true });
}

function sortBy(table, header) {
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [keyOf(row, header.cellIndex), row]);
  rows.sort(([a], [b]) => compare(a, b, descending ? -1 : 1));
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0].rows.length < 2) continue;
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(table, header));
    header.append(button);
  }
}

// Pointing at a drawing, or the arrow keys within it, give the numbers of a point.
const telephone = matchMedia("(max-width: 40rem)");
const NEAR = 30; // pixels

function showPoint(plot, point) {
  const [ring, tip] = plot.querySelectorAll("i, output");
  ring.hidden = tip.hidden = !point;
  if (!point) return;
  const [left, top, text] = point;
  tip.textContent = text;
  for (const mark of [ring, tip]) Object.assign(mark.style, { left: `${left}%`, top: `${top}%` });
  tip.style.transform = `translate(${-left}%, ${top < 50 ? "1rem" : "calc(-100% - 1rem)"})`;
}

function nearest(points, plot, event) {
  const box = plot.getBoundingClientRect();
  const away = ([left, top]) =>
    Math.hypot((left / 100) * box.width - event.clientX + box.left, (top / 100) * box.height - event.clientY + box.top);
  const least = Math.min(...points.map(away));
  return least < NEAR ? points.findIndex((point) => away(point) === least) : -1;
}

for (const plot of document.querySelectorAll(".plot")) {
  const { wide, narrow = wide } = plot.dataset;
  const drawn = { wide: JSON.parse(wide), narrow: JSON.parse(narrow) };
  const points = () => (telephone.matches ? drawn.narrow : drawn.wide);
  let at = -1;
  const show = (index) => showPoint(plot, points()[(at = index)]);
  for (const name of ["pointermove", "pointerdown"])
    plot.addEventListener(name, (event) => show(nearest(points(), plot, event)));
  for (const name of ["pointerleave", "blur"]) plot.addEventListener(name, () => show(-1));
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") show(-1);
    if (!step || !points().length) return;
    event.preventDefault();
    show((at + step + points().length + (at < 0 && step < 0)) % points().length);
  });
}

// All networks: what is chosen is averaged by group, as a table and as curves over the first key that has numbers.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b6b6b"];
const MOST_GROUPS = 200;

const make = (name, attributes = {}, ...children) => {
  const svg = ["svg", "path", "circle", "text", "title"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const spread = (values) => Math.sqrt(values.reduce((sum, v) => sum + (v - mean(values)) ** 2, 0) / (values.length - 1));

function grouped(rows, columns) {
  const groups = new Map();
  for (const row of rows) {
    const name = columns.map((column) => row[column]).join();
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  return [...groups.values()].sort(([a], [b]) => columns.map((c) => a[c] - b[c]).find((d) => d) ?? 0);
}

// Lines of the mean measure over the noise factor, one for each group; a point gives its numbers.
function curves(groups, nameOf, noise, noises, measure) {
  const lines = groups.slice(0, COLOURS.length).map((rows) => [rows, grouped(rows, [noise])
    .map((at) => ({ x: noises[at[0][noise]], y: mean(at.map((row) => row[measure])), n: at.length }))]);
  const all = lines.flatMap(([, line]) => line);
  const left = Math.min(...noises), right = Math.max(...noises, left + 1e-9), top = 1.05 * Math.max(...all.map((p) => p.y));
  const place = (p) => [40 + (290 * (p.x - left)) / (right - left), 190 - (180 * p.y) / top];
  const svg = make("svg", { viewBox: "0 0 350 215", role: "img" });
  for (const share of [0, 0.5, 1]) {
    const y = 190 - 180 * share, x = 40 + 290 * share;
    svg.append(make("path", { class: "axis", d: `M40 ${y}H330` }));
    svg.append(make("text", { x: 36, y: y + 4, "text-anchor": "end" }, (top * share).toPrecision(2)));
    svg.append(make("text", { x, y: 208, "text-anchor": "middle" }, String(+(left + share * (right - left)).toFixed(2))));
  }
  lines.forEach(([rows, line], i) => {
    const style = { stroke: COLOURS[i], fill: COLOURS[i] };
    svg.append(make("path", { ...style, fill: "none", d: `M${line.map((p) => place(p).join(" ")).join("L")}` }));
    for (const point of line) {
      const [cx, cy] = place(point);
      const title = `${nameOf(rows)}: noise ${point.x}, ${point.y.toPrecision(4)} (${point.n})`;
      svg.append(make("circle", { ...style, cx, cy, r: 3.5 }, make("title", {}, title)));
    }
  });
  return svg;
}

for (const box of document.querySelectorAll(".networks")) {
  const { keys, measures, values, rows } = JSON.parse(box.dataset.networks);
  const chosen = Object.fromEntries(keys.map((key) => [key, "all"]));
  const by = new Set(keys.slice(0, keys.indexOf("noise") + 1));
  let measure = measures[0];
  const shown = make("div", { "aria-live": "polite" });

  function draw() {
    const kept = rows.filter((row) => keys.every((key, i) => chosen[key] === "all" || row[i] === Number(chosen[key])));
    const columns = keys.map((_, i) => i).filter((i) => by.has(keys[i]));
    const noise = keys.indexOf("noise"), number = keys.length + measures.indexOf(measure);
    const nameOf = (of) => (group) => of.map((i) => values[keys[i]][group[0][i]]).join(", ") || "all";
    const groups = grouped(kept, columns), lines = grouped(kept, columns.filter((i) => i !== noise));
    const nameLine = nameOf(columns.filter((i) => i !== noise));
    const head = make("tr", {}, ...[...columns.map((i) => keys[i]), "networks", measure, "sd"].map((name) => make("th", { scope: "col" }, name)));
    const body = groups.slice(0, MOST_GROUPS).map((group) => {
      const found = group.map((row) => row[number]);
      const cells = [...columns.map((i) => values[keys[i]][group[0][i]]), group.length, mean(found).toFixed(4), group.length > 1 ? spread(found).toFixed(4) : MISSING];
      return make("tr", {}, ...cells.map((text) => make("td", {}, String(text))));
    });
    const legend = lines.slice(0, COLOURS.length).map((group, i) => make("li", { style: `color: ${COLOURS[i]}` }, nameLine(group)));
    shown.replaceChildren(
      ...(kept.length ? [curves(lines, nameLine, noise, values.noise, number), make("ul", {}, ...legend)] : []),
      make("p", {}, `${kept.length} of ${rows.length} rows in ${groups.length} groups.`),
      make("div", { class: "rows" }, make("table", {}, make("caption", {}, "Means of what is chosen"), make("thead", {}, head), make("tbody", {}, ...body))),
    );
  }

  const choices = keys.map((key) => {
    const options = ["all", ...values[key].keys()].map((i) => make("option", { value: i }, String(i === "all" ? "all" : values[key][i])));
    const select = make("select", {}, ...options), tick = make("input", { type: "checkbox", "aria-label": `group by ${key}` });
    tick.checked = by.has(key);
    select.addEventListener("change", () => ((chosen[key] = select.value), draw()));
    tick.addEventListener("change", () => (by[tick.checked ? "add" : "delete"](key), draw()));
    return make("label", {}, `${key} `, select, tick);
  });
  const which = make("select", {}, ...measures.map((name) => make("option", {}, name)));
  which.addEventListener("change", () => ((measure = which.value), draw()));
  box.append(make("div", { class: "choices" }, ...choices, make("label", {}, "measure ", which)), shown);
  box.closest("details")?.addEventListener("toggle", draw, { once: true });
  if (!box.closest("details")) draw();
}

function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();

const closed = () => document.querySelectorAll("main details:not([open])");
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...closed()];
  for (const fold of opened) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of opened) fold.open = false;
});
