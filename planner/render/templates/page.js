"use strict";
const tip = document.getElementById("tip");
let shown = null;

function show(mark) {
  tip.textContent = mark.getAttribute("aria-label");
  tip.hidden = false;
  shown = mark;
  const at = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const chart = mark.closest(".scroll").getBoundingClientRect();
  const middle = (Math.max(at.left, chart.left) + Math.min(at.right, chart.right)) / 2;
  const left = Math.min(Math.max(middle - own.width / 2, 8), innerWidth - own.width - 8);
  const below = at.bottom + 6, above = at.top - own.height - 6;
  const top = below + own.height <= innerHeight ? below : Math.max(above, 8);
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}
function hide() { tip.hidden = true; shown = null; }

function neighbour(mark, key) {
  const rows = [...mark.closest(".chart").querySelectorAll("[data-row]")]
    .map((row) => [...row.querySelectorAll("button")]).filter((row) => row.length);
  const y = rows.findIndex((row) => row.includes(mark)), row = rows[y], x = row.indexOf(mark);
  if (key === "ArrowRight") return row[x + 1];
  if (key === "ArrowLeft") return row[x - 1];
  if (key === "Home") return row[0];
  if (key === "End") return row[row.length - 1];
  const other = rows[y + (key === "ArrowDown" ? 1 : -1)];
  if (!other) return null;
  const here = mark.getBoundingClientRect().left;
  const off = (m) => Math.abs(m.getBoundingClientRect().left - here);
  return other.reduce((best, m) => (off(m) < off(best) ? m : best));
}
const KEYS = ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"];

for (const chart of document.querySelectorAll(".chart")) {
  const over = (event) => {
    const mark = event.target.closest("button");
    if (mark && mark !== shown) show(mark);
  };
  chart.addEventListener("mouseover", over);
  chart.addEventListener("focusin", over);
  chart.addEventListener("click", over);
  chart.addEventListener("mouseout", (event) => {
    if (event.target.closest("button") && document.activeElement !== shown) hide();
  });
  chart.addEventListener("focusout", hide);
  chart.addEventListener("keydown", (event) => {
    const mark = event.target.closest("button");
    if (event.key === "Escape") return hide();
    if (!mark || !KEYS.includes(event.key)) return;
    event.preventDefault();
    const next = neighbour(mark, event.key);
    if (!next) return;
    for (const other of next.closest("[data-row]").querySelectorAll("button")) {
      other.tabIndex = other === next ? 0 : -1;
    }
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
    show(next);
  });
}
addEventListener("scroll", () => shown && show(shown), { capture: true, passive: true });
addEventListener("resize", () => shown && show(shown));
