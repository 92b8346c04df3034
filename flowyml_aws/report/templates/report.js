const query = document.getElementById("query");
const state = document.getElementById("state");
const rows = [...document.querySelectorAll(".job")];
const perPart = Number(document.body.dataset.jobsPerPart);
const parts = new Map();

// Okabe and Ito, "Color Universal Design": distinct for the colour-blind.
const LIGHT = { waiting: "#999999", pull: "#cc79a7", download: "#56b4e9", compute: "#0072b2", upload: "#009e73", lost: "#d55e00" };
const DARK = { waiting: "#8d97a5", pull: "#e6a3c8", download: "#a9d9f7", compute: "#2f9be6", upload: "#2fc79b", lost: "#ff8a3d" };
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
const UNITS = { cores: "cores", mib: "MiB", mib_s: "MiB/s", percent: "%" };

const kindColor = (name) => (dark.matches ? DARK : LIGHT)[name];
const interval = (length, ticks) => STEPS.find((step) => length / step <= ticks) ?? 86400 * Math.ceil(length / 86400 / ticks);

function seconds(value) {
  const whole = Math.round(value);
  if (Math.abs(value) < 10) return `${Number(value.toFixed(1))} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
  const minutes = Math.round(value / 60);
  return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
}

function openJob(name, overview) {
  const lane = overview.jobs.indexOf(name);
  const row = rows[overview.rows[lane]];
  if (!row) return openMap(overview.maps[lane]);
  row.hidden = false;
  row.open = true;
  row.scrollIntoView({ block: "start" });
  row.querySelector("summary").focus({ preventScroll: true });
}

function drawTimeline(overview) {
  const node = document.getElementById("timeline-chart");
  if (!overview.segments.length) {
    node.replaceWith(element("p", "No job has started.", { class: "note" }));
    return;
  }
  const used = overview.kinds.filter((_, kind) => overview.segments.some((segment) => segment[1] === kind));
  const visible = Math.min(overview.jobs.length, 40);
  node.style.height = `${visible * 20 + 96}px`;
  const option = () => {
    const longest = overview.jobs.reduce((most, name) => Math.max(most, name.length), 0);
    const labels = Math.min(node.clientWidth < 600 ? 96 : 240, longest * 7 + 24);
    const axis = { axisLabel: { color: color("dim") }, axisLine: { lineStyle: { color: color("line") } }, splitLine: { lineStyle: { color: color("line"), opacity: 0.5 } } };
    const zoom = overview.jobs.length > visible;
    const end = overview.segments.reduce((last, segment) => Math.max(last, segment[3]), 0);
    return {
      animation: false,
      aria: { enabled: true },
      grid: { left: labels + 8, right: zoom ? 40 : 16, top: node.clientWidth < 600 ? 60 : 40, bottom: 32 },
      legend: { top: 0, left: 0, itemWidth: 14, itemHeight: 12, textStyle: { color: color("text") }, data: used },
      tooltip: tooltip(({ value }) => {
        const step = value[4] ? `, ${value[4]}` : "";
        return `${overview.jobs[value[0]]}${step}\n${overview.kinds[value[1]]}: ${seconds(value[3] - value[2])}, after ${seconds(value[2])}`;
      }),
      xAxis: { type: "value", min: 0, max: end, interval: interval(end, node.clientWidth < 600 ? 3 : 8), ...axis, axisLabel: { color: color("dim"), formatter: seconds, hideOverlap: true } },
      yAxis: {
        type: "category", inverse: true, data: overview.jobs, axisTick: { show: false }, axisLine: axis.axisLine,
        axisLabel: { color: color("text"), width: labels, overflow: "truncate", interval: 0,
          formatter: (name, row) => `${MARKS[overview.states[row]]} ${name}` },
      },
      dataZoom: zoom ? [{ type: "slider", yAxisIndex: 0, startValue: 0, endValue: visible - 1, right: 4, width: 20, showDetail: false, showDataShadow: false, brushSelect: false, filterMode: "filter", textStyle: { color: color("dim") } }] : [],
      series: used.map((name) => ({
        name, type: "custom", itemStyle: { color: kindColor(name) }, encode: { x: [2, 3], y: 0 }, clip: true,
        data: overview.segments.filter((segment) => overview.kinds[segment[1]] === name),
        renderItem: (_, api) => {
          const [left, middle] = api.coord([api.value(2), api.value(0)]);
          const [right] = api.coord([api.value(3), api.value(0)]);
          const thick = name === "waiting" ? 4 : 12;
          return { type: "rect", shape: { x: left, y: middle - thick / 2, width: Math.max(right - left, 1.5), height: thick }, style: { fill: kindColor(name) } };
        },
      })),
    };
  };
  draw(node, option).on("click", ({ value }) => value && openJob(overview.jobs[value[0]], overview));
}

function unitOf(name) {
  const suffix = Object.keys(UNITS).sort((a, b) => b.length - a.length).find((unit) => name.endsWith(`_${unit}`));
  return suffix ? [name.slice(0, -suffix.length - 1).replaceAll("_", " "), UNITS[suffix]] : [name, ""];
}

function curveTitle(series, requested) {
  const [label, unit] = unitOf(series.name);
  const peak = Math.max(...series.high);
  const limit = requested[series.name];
  const share = limit ? `, ${Math.round((100 * peak) / limit)}% of the requested ${limit.toLocaleString("en")}` : "";
  return `${label}: highest ${Number(peak.toPrecision(3)).toLocaleString("en")} ${unit}${share}`;
}

function drawCurve(parent, series, detail) {
  const figure = element("figure");
  const node = element("div", undefined, { class: "curve" });
  const title = curveTitle(series, detail.requested);
  figure.append(element("figcaption", title), node);
  parent.append(figure);
  const at = (values) => values.map((value, index) => [index * detail.period, value]);
  const length = Math.max((series.low.length - 1) * detail.period, 0.1);
  const width = series.high.map((value, index) => value - series.low[index]);
  draw(node, () => ({
    animation: false,
    aria: { enabled: true, label: { description: title } },
    grid: { left: 48, right: 8, top: 8, bottom: 24 },
    tooltip: tooltip((items) => `after ${seconds(items[0].value[0])}: ${items[0].value[1]} to ${Number((items[0].value[1] + items[1].value[1]).toPrecision(3))}`, "axis"),
    xAxis: { type: "value", max: length, interval: interval(length, 4), axisLabel: { color: color("dim"), formatter: seconds, hideOverlap: true }, splitLine: { show: false } },
    yAxis: { type: "value", min: 0, splitNumber: 3, axisLabel: { color: color("dim") }, splitLine: { lineStyle: { color: color("line"), opacity: 0.6 } } },
    series: [
      { type: "line", stack: "range", data: at(series.low), showSymbol: false, lineStyle: { color: kindColor("compute"), width: 1 } },
      { type: "line", stack: "range", data: at(width), showSymbol: false, lineStyle: { color: kindColor("compute"), width: 1 }, areaStyle: { color: kindColor("compute"), opacity: 0.35 } },
    ],
  }));
}

function previewNode({ name, preview }) {
  const node = element("div", undefined, { class: "preview" });
  const shape = preview.kind === "table" && preview.shape.length ? `, ${preview.shape.map((n) => n.toLocaleString("en")).join(" × ")}` : "";
  node.append(element("b", name), shape);
  if (preview.kind === "none") node.append(element("span", `: no preview, ${preview.text}`, { class: "note" }));
  if (preview.kind === "text") node.append(element("pre", preview.text, { tabindex: "0" }));
  if (preview.kind === "image" && preview.image.startsWith("data:image/")) {
    node.append(element("br"), element("img", undefined, { src: preview.image, alt: name }));
  }
  if (preview.rows.length) {
    const table = element("table");
    if (preview.columns.length) {
      const head = element("tr");
      preview.columns.forEach((column) => head.append(element("th", column, { scope: "col" })));
      table.append(head);
    }
    for (const cells of preview.rows) {
      const row = element("tr");
      cells.forEach((cell) => row.append(element("td", cell)));
      table.append(row);
    }
    const scroll = element("div", undefined, { class: "scroll", tabindex: "0" });
    scroll.append(table);
    node.append(scroll);
  }
  return node;
}

function logNode(log, command) {
  const node = element("div");
  node.append(element("h4", "Log"));
  if (log.problem) {
    node.append(element("p", log.problem));
    return node;
  }
  const omitted = log.omitted_bytes ? `\n\n… ${log.omitted_bytes.toLocaleString("en")} bytes left out: ${command} …\n\n` : "";
  const lines = (log.head + omitted + log.tail).split("\n");
  const label = element("label", "Search this log ");
  const input = element("input", undefined, { type: "search", autocomplete: "off" });
  const found = element("output", "", { class: "note" });
  const pre = element("pre", undefined, { tabindex: "0", "aria-label": "Log" });
  const fill = () => {
    const wanted = input.value.toLowerCase();
    const kept = wanted ? lines.filter((line) => line.toLowerCase().includes(wanted)) : lines;
    found.textContent = wanted ? ` ${kept.length.toLocaleString("en")} lines` : "";
    pre.replaceChildren();
    for (const line of kept) {
      let start = 0;
      const lower = line.toLowerCase();
      // Lowercase can have another length in a few languages; then nothing is marked.
      for (let at; wanted && lower.length === line.length && (at = lower.indexOf(wanted, start)) >= 0; start = at + wanted.length) {
        pre.append(line.slice(start, at), element("mark", line.slice(at, at + wanted.length)));
      }
      pre.append(`${line.slice(start)}\n`);
    }
    if (!wanted) requestAnimationFrame(() => (pre.scrollTop = pre.scrollHeight));
  };
  input.addEventListener("input", fill);
  label.append(input, found);
  node.append(label, pre);
  fill();
  return node;
}

async function fillJob(row) {
  const index = Number(row.dataset.index);
  const part = Math.floor(index / perPart);
  if (!parts.has(part)) parts.set(part, unpacked(`part-${part}`).then(JSON.parse));
  const detail = (await parts.get(part))[index % perPart];
  const node = row.querySelector(".more");
  if (row.dataset.filled) return;
  row.dataset.filled = "yes";
  const previews = detail.previews.filter((each) => each.preview);
  if (previews.length) node.append(element("h4", "Values"), ...previews.map(previewNode));
  if (detail.curves.length) {
    const curves = element("div", undefined, { class: "curves" });
    node.append(element("h4", "Use of the machine"), curves);
    await loaded;
    detail.curves.forEach((series) => drawCurve(curves, series, detail));
  }
  detail.missing.forEach((reason) => node.append(element("p", `Not measured: ${reason}`, { class: "note" })));
  if (detail.log) node.append(logNode(detail.log, detail.command));
}

function filterRows() {
  const wanted = query.value.toLowerCase();
  let count = 0;
  for (const row of rows) {
    row.search ??= row.querySelector("summary").textContent.toLowerCase() + [...row.querySelectorAll(".step h3, .io")].map((each) => each.textContent.toLowerCase()).join(" ");
    row.hidden = !(row.search.includes(wanted) && (!state.value || row.dataset.state === state.value));
    count += !row.hidden;
  }
  document.getElementById("count").textContent = `${count} of ${rows.length}`;
}

query.addEventListener("input", filterRows);
state.addEventListener("change", filterRows);
document.getElementById("search").addEventListener("submit", (event) => event.preventDefault());
for (const row of rows) {
  row.addEventListener("toggle", () => row.open && fillJob(row));
}

async function start() {
  const [overview] = await Promise.all([unpacked("overview").then(JSON.parse), loaded]);
  drawTimeline(overview);
  drawGraph(overview.nodes, (name) => openJob(name, overview));
  rows.filter((row) => row.open).forEach(fillJob);
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start();
