"""The style and the script of the timeline page, kept within it: it fetches nothing."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfbf9; --ink: #1c1e22; --soft: #565b64; --line: #dcdcd6; --shade: #efeee8;
  --bar: #2f63c4; --add: #8a4fbf; --area: #2f63c433; --edge: #2f63c4; --clock: #b3470a;
  --holiday: #1f7a4d; --tip: #1c1e22; --tip-ink: #fbfbf9; --focus: #d4008f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --ink: #e8e8e4; --soft: #a5abb5; --line: #33373f; --shade: #1d2026;
    --bar: #7aa5f5; --add: #c397ee; --area: #7aa5f533; --edge: #7aa5f5; --clock: #f2965c;
    --holiday: #6ccb9b; --tip: #e8e8e4; --tip-ink: #15171b; --focus: #ff7ad1;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 110rem; padding: 1rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, "Liberation Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: .2rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .2rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .2rem 0 .6rem; max-width: 75rem; }
.soft { color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; margin: .6rem 0;
  list-style: none; }
.legend i { display: inline-block; width: 1.1rem; height: .7rem; margin-right: .4rem;
  border-radius: 2px; background: var(--bar); }
.legend .add i { background: var(--add); }
.legend .force i { background: var(--area); border-top: 2px solid var(--edge); border-radius: 0; }
.legend b { margin-right: .4rem; } .legend .clock b { color: var(--clock); }
.legend .holiday b { color: var(--holiday); }
.legend .weekend i { background: var(--shade); outline: 1px solid var(--line); }
.legend .now i { width: 0; height: 1rem; border-left: 2px solid var(--focus);
  vertical-align: -.15rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
.chart { --names: 13rem; position: relative; display: grid; min-width: max-content;
  grid-template-columns: var(--names) minmax(var(--width), 1fr); }
.label, .corner { position: sticky; left: 0; z-index: 3; background: var(--paper);
  border-right: 1px solid var(--line); padding: .2rem .5rem; overflow-wrap: anywhere; }
.label { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 .5rem;
  align-items: center; align-content: center; }
.label b { font-weight: 500; min-width: 0; } .scale b { white-space: nowrap; }
.label b, .label span { flex: 0 1 auto; }
.label span { color: var(--soft); white-space: nowrap; }
.track { position: relative; min-height: 1.7rem; }
.label, .track { border-top: 1px solid var(--line); }
.axis { position: relative; height: 1.5rem; z-index: 1; font-size: 12px; color: var(--soft); }
.axis span { position: absolute; white-space: nowrap; padding-left: 4px; line-height: 1.5rem; }
.track.level { height: 5.5rem; }
.label.scale { flex-wrap: nowrap; align-items: stretch; align-content: stretch; }
.label.scale span { display: flex; flex-direction: column; justify-content: space-between;
  text-align: right; font-size: 12px; }
.track.level svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.track.level path { fill: var(--area); } .track.level polyline { fill: none; stroke: var(--edge);
  stroke-width: 2px; vector-effect: non-scaling-stroke; }
.under { position: absolute; inset: 0 0 0 var(--names); pointer-events: none; }
.under i { position: absolute; top: 1.5rem; bottom: 0; border-left: 1px solid var(--line); }
.under i.weekend { background: var(--shade); border: 0; }
.under i.now { border-left: 2px solid var(--focus); z-index: 1; }
.under i.holiday { background: var(--holiday); opacity: .18; border: 0; }
.under i.clock { border-left: 2px dashed var(--clock); }
button { appearance: none; border: 0; padding: 0; margin: 0; background: none; color: inherit;
  font: inherit; }
.bar { position: absolute; top: calc(50% - .55rem); height: 1.1rem; background: var(--bar);
  border-radius: 2px; }
.bar.add { background: var(--add); }
.step { position: absolute; top: 0; bottom: 0; }
.mark { position: absolute; top: .15rem; width: 18px; height: 1.4rem; margin-left: -9px;
  line-height: 1.4rem; text-align: center; font-weight: 700; }
.mark.clock { color: var(--clock); } .mark.holiday { color: var(--holiday); }
button:hover { filter: brightness(1.25); cursor: default; }
button.step:hover, button.step:focus { background: var(--area); }
button:focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; z-index: 2; }
#tip { position: fixed; z-index: 9; max-width: min(26rem, calc(100vw - 16px)); padding: .5rem .7rem;
  border-radius: 6px; background: var(--tip); color: var(--tip-ink); font-size: 13px;
  white-space: pre-line; overflow-wrap: anywhere; pointer-events: none; }
#tip[hidden] { display: none; }
.scroll.fit { width: fit-content; max-width: 100%; }
.overview { margin: 1rem 0; } .overview a { color: inherit; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .4rem .6rem; }
th, td { padding: .25rem .7rem; text-align: left; border-top: 1px solid var(--line);
  white-space: nowrap; vertical-align: top; }
td.n, th.n { text-align: right; } td.wrap { white-space: normal; min-width: 14rem; }
details { margin: .6rem 0; } summary { cursor: pointer; padding: .2rem 0; }
li { margin: .2rem 0; max-width: 75rem; overflow-wrap: anywhere; }
@media (max-width: 700px) {
  body { padding: .6rem .6rem 3rem; }
  .chart { --names: 8.5rem; }
  .label { font-size: 13px; }
  .fit th, .fit td { padding: .25rem; white-space: normal; font-size: 12px; }
  .fit td:first-child:not(.wrap) { overflow-wrap: anywhere; min-width: 4.2rem; }
}
@media print { .scroll { overflow: visible; } }
"""

SCRIPT = """
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
"""
