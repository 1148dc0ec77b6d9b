// The list of runs, asked for anew as long as the page is looked at.
async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch("rows");
    if (!answer.ok) return;
    const html = await answer.text(), body = document.getElementById("runs");
    if (body.dataset.shown !== html) {
      const focused = document.activeElement?.getAttribute?.("href");
      body.innerHTML = body.dataset.shown = html;
      if (focused) body.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    }
  } catch {
    // The server has ended, or the tunnel to it: what was shown last stays.
  }
}
setInterval(renew, 3000);
document.body.dataset.ready = "yes";
