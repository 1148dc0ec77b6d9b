// What all parts share: the page's data, elements made from text, numbers as people read them.
const meta = JSON.parse(document.getElementById("meta").textContent);
const byId = (id) => document.getElementById(id);
const shared = { data: null, keys: [], full: null, shown: [] };

async function unpack(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// An element; strings among the children become text, never HTML.
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600), minutes = Math.floor((whole % 3600) / 60);
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}h${two(minutes)}m` : `${minutes}m${two(whole % 60)}s`;
}

const count = (number) => number.toLocaleString("en-US");

// When an instance really ran: the calls at its end; what comes before was waiting for their turn.
function ranFrom(row) {
  const { began, ended, busy } = shared.data;
  return busy[row] ? Math.max(began[row], ended[row] - busy[row]) : began[row];
}
const ran = (row) => shared.data.began[row] >= 0;
const took = (row) => (ran(row) ? shared.data.ended[row] - ranFrom(row) : -1);
const waited = (row) => (ran(row) ? Math.max(0, ranFrom(row) - shared.data.ready[row]) : -1);
// As people know it: with the key of their data, where the address has only a short form of that.
const nameOf = (row) => (shared.data.key[row] === null ? shared.data.address[row] : `${shared.data.steps[shared.data.step[row]]}@${shared.data.key[row]}`);
const linkOf = (row) => `#i=${encodeURIComponent(shared.data.address[row])}`;

const chunks = new Map();
// The full text of an instance: from the page, or asked of the server; null where the page does not hold it.
async function textOf(row) {
  if (meta.live) {
    const answer = await fetch(`instance?address=${encodeURIComponent(shared.data.address[row])}`);
    return answer.ok ? answer.json() : null;
  }
  const place = shared.data.place[row];
  if (!place) return null;
  if (!chunks.has(place[0])) chunks.set(place[0], unpack(byId(`chunk-${place[0]}`).textContent));
  return (await chunks.get(place[0]))[place[1]];
}
