"use strict";
// Everything from the run is shown with textContent, so that it is never read as HTML.

const dark = matchMedia("(prefers-color-scheme: dark)");
const live = new Set(); // charts, redrawn if the colours change

const MARKS = { succeeded: "✓", failed: "✗", blocked: "⊘", cancelled: "⊘", running: "▶", starting: "▶", waiting: "…", queued: "…", lost: "?", skipped: "↷" };

async function unpacked(id) {
  const text = document.getElementById(id).textContent;
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function element(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  node.append(...(text === undefined ? [] : [text]));
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function draw(node, makeOption) {
  const chart = charts.init(node, null, { renderer: "svg" });
  const refresh = () => chart.setOption(makeOption(), true);
  const entry = { refresh, resize: () => chart.resize() };
  refresh();
  live.add(entry);
  new ResizeObserver(() => node.clientWidth && entry.resize()).observe(node);
  return chart;
}

dark.addEventListener("change", () => live.forEach((entry) => entry.refresh()));

const tooltip = (formatter, trigger = "item") => ({
  trigger, formatter, renderMode: "richText", confine: true, backgroundColor: color("panel"),
  borderColor: color("line"), textStyle: { color: color("text"), fontSize: 12 },
});

const loaded = unpacked("library").then((text) => {
  document.head.append(element("script", text));
});
