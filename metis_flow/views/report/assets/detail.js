// One instance with everything known about it.
let opened = -1;

async function openInstance(row) {
  opened = row;
  const { address } = shared.data, dialog = byId("detail");
  byId("detail-title").textContent = address[row];
  const place = shared.shown.indexOf(row);
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place >= shared.shown.length - 1;
  byId("detail-body").replaceChildren(el("p", { class: "soft" }, "…"));
  if (!dialog.open) dialog.showModal();
  byId("detail-title").focus();
  const detail = await textOf(row);
  if (opened !== row) return;
  byId("detail-body").replaceChildren(...(detail ? detailParts(detail, row) : shortParts(row)));
  dialog.scrollTop = 0;
}

function shortParts(row) {
  const { status, result, address } = shared.data;
  return [
    el("p", {}, el("span", { class: `status s-${status[row]}` }, status[row])),
    el("p", { dir: "auto" }, result[row]),
    el("p", { class: "note" }, "The full text of this instance is not in this page, which holds a sample. In a terminal:"),
    el("pre", {}, `metis-flow show '${meta.record.replaceAll("'", "'\\''")}' '${address[row].replaceAll("'", "'\\''")}'`),
  ];
}

function detailParts(detail, row) {
  const parts = [factsOf(detail, row)];
  if (detail.error) parts.push(errorBox(detail.error));
  if (detail.reason) parts.push(el("p", { class: "note", dir: "auto" }, detail.reason));
  parts.push(...conversation(detail.calls));
  const said = detail.calls.length ? detail.calls[detail.calls.length - 1].text : null;
  if (detail.status === "done" && detail.output !== said) parts.push(el("h3", {}, "Output"), block(shownValue(detail.output)));
  for (const earlier of detail.tries) parts.push(...tryParts(earlier));
  if (detail.files.length) parts.push(el("h3", {}, "Files in its folder"), ...detail.files.map(fileView));
  parts.push(el("p", { class: "soft break" }, detail.folder ? `Folder: ${detail.folder}` : ""));
  return parts;
}

function factsOf(detail, row) {
  const facts = [["status", el("span", { class: `status s-${shared.data.status[row]}` }, shared.data.status[row])]];
  if (detail.key !== null) facts.push(["key", detail.key]);
  if (ran(row)) facts.push(["ran for", duration(took(row))], ["waited", duration(waited(row))]);
  if (detail.attempt > 1) facts.push(["attempt", String(detail.attempt)]);
  if (detail.cached) facts.push(["made by", String(detail.cached.run ?? "an earlier run")]);
  const last = detail.calls[detail.calls.length - 1];
  if (last) {
    const total = (name) => count(detail.calls.reduce((sum, call) => sum + ((call.usage || {})[name] || 0), 0));
    facts.push(["model", last.model], ["tokens in, out", `${total("prompt_tokens")}, ${total("completion_tokens")}`]);
    facts.push(["settings", Object.entries(last.settings || {}).map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ") || "the model's own"]);
  }
  return el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { dir: "auto" }, value))));
}

function errorBox(error) {
  return el("div", { class: "error-box" },
    el("p", { dir: "auto" }, el("strong", {}, error.summary), ` [${error.kind}]`),
    error.detail ? block(error.detail) : null,
    error.hint ? el("p", { dir: "auto" }, el("strong", {}, "What to do: "), error.hint) : null);
}

// The server's word for how an answer ended; "stop" is how it should.
const ENDS = { stop: "whole", length: "cut off: no tokens were left (length)" };

// The messages as sent, and each answer; of a later call only what was sent anew.
function conversation(calls) {
  const parts = [];
  calls.forEach((call, number) => {
    const before = calls[number - 1], again = before && before.attempt === call.attempt && call.n > 0;
    const sent = again ? call.messages.slice(before.messages.length).filter((message) => message.role !== "assistant") : call.messages;
    if (number === 0 || !again) parts.push(el("h3", {}, number === 0 ? "Prompt" : "Prompt, sent again"));
    const by = again ? ", asked again by metis-flow" : "";
    parts.push(...sent.map((message) => messageView(message.role + by, shownValue(message.content))));
    parts.push(el("h3", {}, calls.length === 1 ? "Answer" : `Answer ${number + 1} of ${calls.length}`));
    if (call.reasoning) parts.push(el("details", { class: "reasoning" }, el("summary", {}, "The reasoning before it"), block(call.reasoning)));
    parts.push(messageView(`${ENDS[call.finish] ?? `ended: ${call.finish ?? "it does not say why"}`}, after ${duration((call.seconds || 0) * 1000)}`, call.text ?? "", call.problem ? "answer bad" : "answer"));
    if (call.problem) parts.push(el("p", { class: "reason", dir: "auto" }, `Not valid: ${call.problem}`));
    if (before) parts.push(el("details", { class: "changes", ontoggle: fillDiff(before.text ?? "", call.text ?? "") }, el("summary", {}, `What changed since answer ${number}`)));
  });
  return parts;
}

const fillDiff = (before, after) => (event) => {
  if (event.target.open && event.target.children.length === 1) event.target.append(diffView(before, after));
};

function tryParts(earlier) {
  const error = earlier.error ? errorBox(earlier.error) : block(shownValue(earlier.output ?? ""));
  return [el("h3", {}, `Attempt ${earlier.attempt ?? ""} before: ${earlier.status}`), error];
}

function fileView(file) {
  const size = file.link !== undefined ? `→ ${file.link}` : `${count(file.bytes)} bytes${file.cut ? `, its ${file.cut}` : ""}`;
  if (!file.text) return el("p", { class: "break" }, el("code", {}, file.name), " ", el("span", { class: "soft" }, size));
  const open = file.name === "stderr" || file.name === "stdout";
  return el("details", { open }, el("summary", {}, el("code", {}, file.name), " ", el("span", { class: "soft" }, size)), block(file.text));
}

const messageView = (role, text, kind = "") => el("div", { class: `message ${kind}` }, el("p", { class: "label" }, role), block(text));

// A text. A very long one is shown at first by its beginning, and then in parts that are laid out when they come in sight.
const SHOWN_AT_FIRST = 50000;
function block(text) {
  if (text.length <= SHOWN_AT_FIRST) return el("pre", { dir: "auto", tabindex: "0" }, text === "" ? "(empty)" : text);
  const shown = el("pre", { dir: "auto", tabindex: "0" }, text.slice(0, SHOWN_AT_FIRST));
  const more = el("button", { type: "button", class: "more", onclick: () => { shown.replaceChildren(...inParts(text)); more.remove(); } }, `Show all ${count(text.length)} characters`);
  return el("div", {}, shown, more);
}

function inParts(text) {
  const parts = [];
  for (let at = 0; at < text.length; ) {
    const line = text.lastIndexOf("\n", at + SHOWN_AT_FIRST / 5);
    const end = line > at ? line + 1 : at + SHOWN_AT_FIRST / 5;
    parts.push(el("span", { class: "part" }, text.slice(at, end)));
    at = end;
  }
  return parts;
}
const shownValue = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
