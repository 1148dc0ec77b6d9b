// What the page does when it is opened, clicked and, in a live page, when the run goes on.
// What the address asks for: a kind and a name.
function wanted() {
  const [kind, text] = location.hash.slice(1).split(/=(.*)/s);
  try { return [kind, decodeURIComponent(text ?? "")]; } catch { return ["", ""]; }
}

function follow() {
  const [kind, value] = wanted();
  if (kind === "i") {
    const row = shared.data.address.indexOf(value);
    if (row >= 0) openInstance(row);
  } else if (kind === "step" || kind === "failed") {
    filterTo(value, kind === "failed" ? "failed" : "");
  }
}

function filterTo(step, status) {
  byId("search").value = "";
  byId("step").value = shared.data.steps.includes(step) ? step : "";
  byId("status").value = status;
  byId("full").checked = false;
  refresh();
  byId("instances").scrollIntoView();
}

function leaveDetail() {
  if (byId("detail").open) return; // opened again since
  const [kind, value] = wanted();
  if (kind === "i" && value === shared.data.address[opened]) history.replaceState(null, "", location.pathname + location.search);
  opened = -1;
}

function toNeighbour(by) {
  const row = shared.shown[shared.shown.indexOf(opened) + by];
  if (row === undefined) return;
  history.replaceState(null, "", linkOf(row));
  openInstance(row);
}

function wire() {
  for (const id of ["search", "step", "status"]) byId(id).addEventListener("input", () => refresh());
  byId("full").addEventListener("input", async () => {
    if (byId("full").checked && !shared.full) {
      byId("matching").textContent = "Reading all texts…";
      await prepareFullSearch();
    }
    refresh();
  });
  byId("reset").addEventListener("click", () => filterTo("", ""));
  byId("csv").addEventListener("click", saveCsv);
  byId("table-box").addEventListener("scroll", () => requestAnimationFrame(() => drawRows()));
  byId("table").addEventListener("keydown", moveFocus);
  byId("table").tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (row && !event.target.closest("a") && !String(getSelection())) location.hash = linkOf(Number(row.dataset.row));
  });
  byId("close").addEventListener("click", () => byId("detail").close());
  byId("previous").addEventListener("click", () => toNeighbour(-1));
  byId("next").addEventListener("click", () => toNeighbour(1));
  byId("detail").addEventListener("close", leaveDetail);
  byId("detail").addEventListener("click", (event) => event.target === byId("detail") && byId("detail").close());
  byId("timeline-canvas").addEventListener("click", (event) => { const bar = barAt(event); if (bar) location.hash = linkOf(bar.row); });
  byId("timeline-canvas").addEventListener("mousemove", showTip);
  byId("timeline-canvas").addEventListener("mouseleave", () => (byId("tip").hidden = true));
  // A step in the graph, or in the table of steps: its instances.
  byId("steps").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-step]");
    if (!link) return;
    event.preventDefault();
    location.hash = `#step=${encodeURIComponent(link.dataset.step)}`;
  });
  addEventListener("hashchange", follow);
  addEventListener("resize", drawTimeline);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTimeline);
  addEventListener("beforeprint", () => drawRows(true));
  addEventListener("afterprint", () => drawRows());
}

function take(data) {
  shared.data = data;
  shared.full = null;
  prepareSearch();
  layOutTimeline();
  drawTimeline();
}

// A run that goes on: ask for news, and put them in the place of what is there.
async function watch() {
  let { version, running } = meta.live, pause = 1000;
  while (running) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    let news;
    try {
      const answer = await fetch(`news?version=${encodeURIComponent(version)}`);
      if (answer.status === 204) continue;
      if (!answer.ok) throw new Error(String(answer.status));
      news = await answer.json();
    } catch {
      document.body.dataset.live = "lost";
      pause = 5000;
      continue;
    }
    ({ version, running } = news);
    pause = news.pause;
    document.body.dataset.live = running ? "running" : "ended";
    document.title = news.title;
    for (const [name, html] of Object.entries(news.parts)) document.querySelector(`[data-part="${name}"]`).innerHTML = html;
    const open = opened >= 0 ? shared.data.address[opened] : null;
    take(await unpack(news.rows));
    if (open !== null) opened = shared.data.address.indexOf(open);
    refresh(true);
  }
}

async function start() {
  makeHead();
  take(await unpack(byId("rows").textContent));
  wire();
  byId("full").parentElement.hidden = Boolean(meta.live);
  refresh();
  follow();
  document.body.dataset.ready = "yes";
  if (meta.live) watch();
}
start();
