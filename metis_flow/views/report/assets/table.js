// The table of instances: only the rows in sight are in the document, so that ten thousand filter at once.
const ROW_HEIGHT = 35;
const columns = [
  { name: "Instance", kind: "address", value: nameOf },
  { name: "Status", kind: "status", value: (row) => shared.data.status[row] },
  { name: "Took", kind: "number", value: took, text: (row) => (ran(row) ? duration(took(row)) : "") },
  { name: "Waited", kind: "number", value: waited, text: (row) => (ran(row) ? duration(waited(row)) : "") },
  { name: "Calls", kind: "number", value: (row) => shared.data.calls[row], text: (row) => shared.data.calls[row] || "" },
  { name: "Tokens", kind: "number", value: (row) => shared.data.tokens[row], text: (row) => (shared.data.tokens[row] ? count(shared.data.tokens[row]) : "") },
  { name: "Output, or why not", kind: "result", value: (row) => shared.data.result[row] },
];
const order = { column: -1, down: false };

function makeHead() {
  byId("table").querySelector("thead tr").replaceChildren(
    ...columns.map((column, number) =>
      el("th", { scope: "col", class: `w-${column.kind} ${column.kind === "number" ? "number" : ""}`, "aria-sort": "none" },
        el("button", { type: "button", onclick: () => sortBy(number) }, column.name))));
}

function sortBy(number) {
  if (order.column !== number) Object.assign(order, { column: number, down: columns[number].kind === "number" });
  else if (order.down === (columns[number].kind === "number")) order.down = !order.down;
  else order.column = -1;
  byId("table").querySelectorAll("thead th").forEach((head, at) => {
    const sorted = at === order.column ? (order.down ? "descending" : "ascending") : "none";
    head.setAttribute("aria-sort", sorted);
    head.firstChild.textContent = columns[at].name + (sorted === "none" ? "" : order.down ? " ↓" : " ↑");
  });
  refresh();
}

function prepareSearch() {
  const { address, key, result } = shared.data;
  shared.keys = address.map((text, row) => `${text}\n${key[row] ?? ""}\n${result[row]}`.toLowerCase());
}

// Prompts and answers too, as far as the page holds them: unpacked once, when they are first searched.
async function prepareFullSearch() {
  const full = [...shared.keys];
  for (let row = 0; row < full.length; row++) {
    const detail = await textOf(row);
    if (detail) full[row] += `\n${JSON.stringify([detail.calls, detail.output, detail.error, detail.files])}`.toLowerCase();
  }
  shared.full = full;
}

function matching() {
  const texts = byId("full").checked && shared.full ? shared.full : shared.keys;
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const step = shared.data.steps.indexOf(byId("step").value), status = byId("status").value;
  const found = [];
  for (let row = 0; row < shared.keys.length; row++) {
    if (step >= 0 && shared.data.step[row] !== step) continue;
    if (status && shared.data.status[row] !== status) continue;
    if (words.every((word) => texts[row].includes(word))) found.push(row);
  }
  return found;
}

function sorted(rows) {
  if (order.column < 0) return rows;
  const { value } = columns[order.column];
  const values = new Map(rows.map((row) => [row, value(row)]));
  const sign = order.down ? -1 : 1;
  return rows.sort((a, b) => {
    const left = values.get(a), right = values.get(b);
    return left < right ? -sign : left > right ? sign : a - b;
  });
}

// Filter, sort and draw anew. What is in sight stays so where only the data changed.
function refresh(keepPlace = false) {
  shared.shown = sorted(matching());
  const all = shared.keys.length, some = shared.shown.length;
  byId("matching").textContent = `${some === all ? "" : `${count(some)} of `}${count(all)} instance${all === 1 ? "" : "s"}`;
  byId("table").setAttribute("aria-rowcount", String(some + 1));
  if (!keepPlace) byId("table-box").scrollTop = 0;
  drawRows();
}

function drawRows(everything = false) {
  const box = byId("table-box"), body = byId("table").tBodies[0];
  const some = shared.shown.length;
  const room = Math.ceil((box.clientHeight || 600) / ROW_HEIGHT) + 20;
  const first = everything ? 0 : Math.max(0, Math.min(Math.floor(box.scrollTop / ROW_HEIGHT) - 10, some - room));
  const last = everything ? Math.min(some, 1000) : Math.min(some, first + room);
  const focused = document.activeElement?.closest?.("tr[data-row]")?.dataset.row;
  const rows = [spacer(first)];
  for (let place = first; place < last; place++) rows.push(tableRow(shared.shown[place], place));
  rows.push(everything ? "" : spacer(some - last));
  body.replaceChildren(...rows);
  if (!some) body.append(el("tr", {}, el("td", { colspan: 3, class: "soft" }, shared.keys.length ? "Nothing matches." : "No instance has ended yet.")));
  if (focused !== undefined) body.querySelector(`tr[data-row="${focused}"] a`)?.focus({ preventScroll: true });
}

const spacer = (rows) => el("tr", { class: "spacer", "aria-hidden": "true" }, el("td", { style: `height:${rows * ROW_HEIGHT}px` }));

function tableRow(row, place) {
  const cells = columns.map((column) => {
    const text = String((column.text || column.value)(row));
    if (column.kind === "address") return el("td", { class: "w-address", title: text }, el("a", { href: linkOf(row) }, ...cutInside(text)));
    if (column.kind === "status") return el("td", { class: "w-status" }, el("span", { class: `status s-${text}` }, text));
    return el("td", { class: column.kind === "number" ? "number w-number" : "w-result", title: column.kind === "result" ? text : null, dir: column.kind === "result" ? "auto" : null }, text);
  });
  return el("tr", { "data-row": String(row), "aria-rowindex": String(place + 2) }, cells);
}

// Keys often differ only at their end: what has no room is left out before that.
const TAIL = 12;
function cutInside(text) {
  const signs = [...text];
  if (signs.length <= 2 * TAIL) return [text];
  return [el("span", { class: "head" }, signs.slice(0, -TAIL).join("")), el("span", { class: "tail" }, signs.slice(-TAIL).join(""))];
}

// Arrow keys go from row to row.
function moveFocus(event) {
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 }[event.key];
  const here = event.target.closest?.("tr[data-row]");
  if (!step || !here) return;
  event.preventDefault();
  const place = shared.shown.indexOf(Number(here.dataset.row)) + step;
  const next = shared.shown[Math.max(0, Math.min(shared.shown.length - 1, place))];
  const box = byId("table-box"), top = shared.shown.indexOf(next) * ROW_HEIGHT;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + 2 * ROW_HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + 3 * ROW_HEIGHT - box.clientHeight;
  drawRows();
  byId("table").querySelector(`tr[data-row="${next}"] a`)?.focus({ preventScroll: true });
}

// A spreadsheet would take what begins with one of these as a formula: an apostrophe keeps it text.
function csvCell(value) {
  const text = String(value);
  const plain = /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

function csvText() {
  const lines = [["instance", "status", "took_ms", "waited_ms", "calls", "tokens", "model", "result"]];
  for (const row of shared.shown) {
    const model = shared.data.model[row] < 0 ? "" : shared.data.models[shared.data.model[row]];
    lines.push([shared.data.address[row], shared.data.status[row], ran(row) ? took(row) : "", ran(row) ? waited(row) : "", shared.data.calls[row], shared.data.tokens[row], model, shared.data.result[row]]);
  }
  return lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

function saveCsv() {
  const address = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" }));
  el("a", { href: address, download: `${meta.run}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
