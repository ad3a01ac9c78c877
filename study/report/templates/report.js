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
