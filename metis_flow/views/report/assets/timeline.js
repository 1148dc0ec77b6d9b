// When each instance waited and ran. Steps with few instances have a line for each; in others, those that ran at the
// same time stand one below the other, and a strip above tells how many waited.
const LINES_AT_MOST = 40, LINE = 18, HEADING = 24, STRIP = 26, PACKED = 150;
const timeline = { bars: [], lanes: [], end: 1, height: 0 };

function layOutTimeline() {
  timeline.bars = [];
  timeline.lanes = [];
  let y = 22, end = 1;
  shared.data.steps.forEach((name, step) => {
    const rows = [];
    shared.data.step.forEach((own, row) => own === step && ran(row) && rows.push(row));
    if (!rows.length) return;
    rows.sort((a, b) => ranFrom(a) - ranFrom(b) || a - b);
    for (const row of rows) end = Math.max(end, shared.data.ended[row]);
    const lane = { name, y, rows, packed: rows.length > LINES_AT_MOST };
    y += HEADING;
    if (lane.packed) {
      lane.strip = y;
      y += STRIP + 4;
      const free = [];
      const slots = rows.map((row) => {
        let slot = free.findIndex((until) => until <= ranFrom(row));
        if (slot < 0) slot = free.length;
        free[slot] = shared.data.ended[row];
        return slot;
      });
      const tall = Math.max(1, Math.min(12, PACKED / free.length));
      rows.forEach((row, at) => timeline.bars.push({ row, y: y + slots[at] * tall, tall: Math.max(1, tall - (tall > 3 ? 1 : 0)), waits: false }));
      y += Math.ceil(free.length * tall) + 12;
    } else {
      rows.forEach((row) => { timeline.bars.push({ row, y: y + 3, tall: LINE - 7, waits: true, label: true }); y += LINE; });
      y += 8;
    }
    timeline.lanes.push(lane);
  });
  Object.assign(timeline, { end, height: y });
}

function drawTimeline() {
  const canvas = byId("timeline-canvas"), box = byId("timeline");
  if (!canvas) return;
  box.hidden = !timeline.bars.length;
  if (box.hidden) return;
  const width = canvas.parentElement.clientWidth, ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = timeline.height * ratio;
  canvas.style.height = `${timeline.height}px`;
  const draw = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  draw.scale(ratio, ratio);
  const left = Math.min(190, width * 0.28);
  const x = (ms) => left + (ms / timeline.end) * (width - left - 8);
  Object.assign(timeline, { left, x });
  draw.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  drawAxis(draw, width, x, colour);
  for (const lane of timeline.lanes) drawLane(draw, lane, width, x, colour);
  for (const bar of timeline.bars) {
    const from = x(ranFrom(bar.row)), to = x(shared.data.ended[bar.row]);
    if (bar.waits) { draw.fillStyle = colour("bar-wait"); draw.fillRect(x(shared.data.ready[bar.row]), bar.y + bar.tall / 2 - 1.5, Math.max(0, from - x(shared.data.ready[bar.row])), 3); }
    draw.fillStyle = colour(shared.data.status[bar.row] === "failed" ? "bar-failed" : "bar-done");
    draw.fillRect(from, bar.y, Math.max(bar.tall > 4 ? 2 : 1, to - from), bar.tall);
    if (bar.label) { draw.fillStyle = colour("soft"); draw.fillText(fitted(draw, nameOf(bar.row), left - 16), 8, bar.y + bar.tall - 1); }
  }
}

function drawAxis(draw, width, x, colour) {
  const parts = width > 700 ? 8 : 4;
  for (let part = 0; part <= parts; part++) {
    const at = x((timeline.end * part) / parts);
    draw.fillStyle = colour("line");
    draw.fillRect(at, 18, 1, timeline.height - 18);
    draw.fillStyle = colour("soft");
    draw.textAlign = part === 0 ? "left" : part === parts ? "right" : "center";
    draw.fillText(part ? duration((timeline.end * part) / parts) : "0", at, 12);
  }
  draw.textAlign = "left";
}

function drawLane(draw, lane, width, x, colour) {
  draw.fillStyle = colour("ink");
  draw.font = draw.font.replace(/^(bold )?/, "bold ");
  draw.fillText(fitted(draw, lane.packed ? `${lane.name}: ${count(lane.rows.length)} instances` : lane.name, width - 20), 0, lane.y + 15);
  draw.font = draw.font.replace("bold ", "");
  if (!lane.packed) return;
  const room = Math.max(1, Math.floor(width - timeline.left - 8)), waiting = new Int32Array(room + 1);
  for (const row of lane.rows) {
    waiting[Math.floor((shared.data.ready[row] / timeline.end) * (room - 1))]++;
    waiting[Math.floor((ranFrom(row) / timeline.end) * (room - 1))]--;
  }
  let now = 0, most = 1;
  const levels = Array.from(waiting, (change) => { now += change; most = Math.max(most, now); return now; });
  draw.fillStyle = colour("bar-wait");
  levels.forEach((level, at) => { const tall = (level / most) * STRIP; draw.fillRect(timeline.left + at, lane.strip + STRIP - tall, 1, tall); });
  draw.fillStyle = colour("soft");
  draw.fillText(fitted(draw, `waiting, at most ${count(most)}`, timeline.left - 16), 8, lane.strip + STRIP - 6);
  draw.fillText("running", 8, lane.strip + STRIP + 17);
}

function fitted(draw, text, width) {
  if (draw.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && draw.measureText(`${text.slice(0, length)}…`).width > width) length = Math.floor(length * 0.9);
  return `${text.slice(0, length)}…`;
}

function barAt(event) {
  const box = byId("timeline-canvas").getBoundingClientRect();
  const px = event.clientX - box.left, py = event.clientY - box.top;
  let best = null;
  for (const bar of timeline.bars) {
    if (py < bar.y - 3 || py > bar.y + bar.tall + 3) continue;
    const from = timeline.x(bar.waits ? shared.data.ready[bar.row] : ranFrom(bar.row)), to = timeline.x(shared.data.ended[bar.row]);
    if ((px >= from - 3 && px <= to + 3) || (bar.label && px < timeline.left)) best = bar;
  }
  return best;
}

function showTip(event) {
  const bar = barAt(event), tip = byId("tip");
  tip.hidden = !bar;
  if (!bar) return;
  tip.textContent = `${nameOf(bar.row)}: waited ${duration(waited(bar.row))}, ran ${duration(took(bar.row))}, ${shared.data.status[bar.row]}`;
  const box = byId("timeline").getBoundingClientRect();
  tip.style.left = `${Math.min(event.clientX - box.left + 12, box.width - Math.min(tip.offsetWidth, box.width))}px`;
  tip.style.top = `${event.clientY - box.top + 14}px`;
}
