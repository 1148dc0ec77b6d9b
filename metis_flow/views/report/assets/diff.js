// What changed between two answers, word by word; line by line where they are long.
const DIFF_MOST = 2500;

function pieces(text) {
  const words = text.match(/\s+|[\p{L}\p{N}_.]+|[^\s\p{L}\p{N}_.]/gu) || [];
  return words.length <= DIFF_MOST ? words : text.match(/[^\n]*\n|[^\n]+$/g) || [];
}

// Pairs of kind ("same", "ins", "del") and text; null where both are too long to compare.
function differences(before, after) {
  const left = pieces(before), right = pieces(after);
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head++;
  let tail = 0;
  while (tail < left.length - head && tail < right.length - head && left[left.length - 1 - tail] === right[right.length - 1 - tail]) tail++;
  const a = left.slice(head, left.length - tail), b = right.slice(head, right.length - tail);
  if (a.length > DIFF_MOST || b.length > DIFF_MOST) return null;
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
  const found = [["same", left.slice(0, head).join("")]];
  const add = (kind, text) => (found[found.length - 1][0] === kind ? (found[found.length - 1][1] += text) : found.push([kind, text]));
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { add("same", a[i]); i++; j++; }
    else if (j >= b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) add("del", a[i++]);
    else add("ins", b[j++]);
  }
  add("same", left.slice(left.length - tail).join(""));
  return found;
}

function diffView(before, after) {
  const parts = differences(before, after);
  if (!parts) return el("p", { class: "soft" }, "Both are too long to compare here.");
  return el("pre", { class: "diff", tabindex: "0" }, parts.map(([kind, text]) => (kind === "same" ? text : el(kind, {}, text))));
}
