const query = document.getElementById("query");
const state = document.getElementById("state");
const rows = [...document.querySelectorAll(".job")];
const loggedRows = [...document.querySelectorAll(".logged")];
const perPart = Number(document.body.dataset.perPart);
const parts = new Map();

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
const UNITS = { cores: "cores", mib: "MiB", mib_s: "MiB/s", percent: "%" };

const kindColor = (name) => color(`kind-${name}`);
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
  const hidden = new Set();
  const visible = Math.min(overview.jobs.length, 40);
  node.style.height = `${visible * 20 + 56}px`;
  const option = () => {
    const longest = overview.jobs.reduce((most, name) => Math.max(most, name.length), 0);
    const labels = Math.min(node.clientWidth < 600 ? 96 : 240, longest * 7 + 24);
    const axis = { axisLabel: { color: color("dim") }, axisLine: { lineStyle: { color: color("line") } }, splitLine: { lineStyle: { color: color("line"), opacity: 0.5 } } };
    const zoom = overview.jobs.length > visible;
    const end = overview.segments.reduce((last, segment) => Math.max(last, segment[3]), 0);
    return {
      animation: false,
      grid: { left: labels + 8, right: zoom ? 40 : 16, top: 12, bottom: 32 },
      tooltip: tooltip(({ value }) => segmentText(overview, value).join("\n")),
      xAxis: { type: "value", min: 0, max: end, interval: interval(end, node.clientWidth < 600 ? 3 : 8), ...axis, axisLabel: { color: color("dim"), formatter: seconds, hideOverlap: true } },
      yAxis: {
        type: "category", inverse: true, data: overview.jobs, axisTick: { show: false }, axisLine: axis.axisLine,
        axisLabel: { color: color("text"), width: labels, overflow: "truncate", interval: 0,
          formatter: (name, row) => `${MARKS[overview.states[row]]} ${name}` },
      },
      dataZoom: zoom ? [{ type: "slider", yAxisIndex: 0, startValue: 0, endValue: visible - 1, right: 4, width: 20, showDetail: false, showDataShadow: false, brushSelect: false, filterMode: "filter", textStyle: { color: color("dim") } }] : [],
      series: used.filter((name) => !hidden.has(name)).map((name) => [name, kindColor(name)]).map(([name, fill]) => ({
        name, type: "custom", itemStyle: { color: fill }, encode: { x: [2, 3], y: 0 }, clip: true,
        data: overview.segments.filter((segment) => overview.kinds[segment[1]] === name),
        renderItem: (_, api) => {
          const [left, middle] = api.coord([api.value(2), api.value(0)]);
          const [right] = api.coord([api.value(3), api.value(0)]);
          const thick = name === "waiting" ? 4 : 12;
          return { type: "rect", shape: { x: left, y: middle - thick / 2, width: Math.max(right - left, 1.5), height: thick }, style: { fill } };
        },
      })),
    };
  };
  const chart = draw(node, option);
  chart.on("click", ({ value }) => value && openJob(overview.jobs[value[0]], overview));
  let items = [];
  const arrange = () => {
    const shown = overview.segments.filter((segment) => !hidden.has(overview.kinds[segment[1]]));
    items = shown.sort((a, b) => a[0] - b[0] || a[2] - b[2]);
  };
  arrange();
  const forget = selectable(node, {
    label: "Timeline of the jobs; the section Jobs has the same times as text",
    keys: "Arrow keys select a period, Enter opens its job, Escape ends the selection.",
    move: (key, at) => moveInRows(key, at, items),
    box: (at) => {
      const [row, , start, end] = items[at];
      const [zoom] = chart.getOption().dataZoom ?? [];
      if (zoom && (row < zoom.startValue || row > zoom.endValue)) {
        const first = Math.max(0, Math.min(overview.jobs.length - visible, row - Math.floor(visible / 2)));
        chart.dispatchAction({ type: "dataZoom", startValue: first, endValue: first + visible - 1 });
      }
      const [left, middle] = chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, [start, row]);
      const [right] = chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, [end, row]);
      return [left - 3, middle - 10, Math.max(right - left, 2) + 6, 20];
    },
    text: (at) => segmentText(overview, items[at]).join("; "),
    open: (at) => openJob(overview.jobs[items[at][0]], overview),
  });
  drawLegend(used, hidden, () => {
    arrange();
    forget();
    chart.setOption(option(), true);
  });
}

function segmentText(overview, [row, kind, start, end, step]) {
  const name = step ? `${overview.jobs[row]}, ${step}` : overview.jobs[row];
  return [name, `${overview.kinds[kind]}: ${seconds(end - start)}, after ${seconds(start)}`];
}

// Returns the period that a key selects. Up and down lead to the period of another row that begins next to this one.
function moveInRows(key, at, items) {
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[key];
  if (!items.length) return undefined;
  if (steps === undefined) return moveInSequence(key, at, items.length, 1);
  if (at < 0) return steps > 0 ? 0 : items.length - 1;
  const used = [...new Set(items.map(([row]) => row))];
  const place = used.indexOf(items[at][0]) + steps;
  const row = used[Math.max(0, Math.min(used.length - 1, place))];
  if (row === items[at][0]) return at;
  const distance = (item) => Math.abs(item[2] - items[at][2]);
  return items.reduce((best, item, index) => item[0] === row && (best < 0 || distance(item) < distance(items[best])) ? index : best, -1);
}

// Buttons that hide and show the periods of a kind.
function drawLegend(used, hidden, changed) {
  const legend = document.getElementById("timeline-legend");
  for (const name of used) {
    const button = element("button", undefined, { type: "button", "aria-pressed": "true" });
    const swatch = element("span", undefined, { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = `var(--kind-${name})`;
    button.append(swatch, name);
    button.addEventListener("click", () => {
      if (!hidden.delete(name)) hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      changed();
    });
    legend.append(button);
  }
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

// Draws a curve with its title. `text` returns a point as text, and `place` its coordinates, by its position.
function drawPoints(parent, title, count, option, text, place) {
  const figure = element("figure");
  const node = element("div", undefined, { class: "curve" });
  figure.append(element("figcaption", title), node);
  parent.append(figure);
  const chart = draw(node, option);
  selectable(node, {
    label: title,
    keys: "Left and right arrow keys select a point, Escape ends the selection.",
    move: (key, at) => moveInSequence(key, at, count, Math.ceil(count / 10)),
    box: (at) => {
      const [x, y] = chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, place(at));
      return [x - 6, y - 6, 12, 12];
    },
    text,
  });
}

function drawCurve(parent, series, detail) {
  const title = curveTitle(series, detail.requested);
  const at = (values) => values.map((value, index) => [index * detail.period, value]);
  const text = (index) => `after ${seconds(index * detail.period)}: ${series.low[index]} to ${series.high[index]}`;
  const length = Math.max((series.low.length - 1) * detail.period, 0.1);
  const width = series.high.map((value, index) => value - series.low[index]);
  const option = () => ({
    animation: false,
    grid: { left: 48, right: 8, top: 8, bottom: 24 },
    tooltip: tooltip((items) => text(items[0].dataIndex), "axis"),
    xAxis: { type: "value", max: length, interval: interval(length, 4), axisLabel: { color: color("dim"), formatter: seconds, hideOverlap: true }, splitLine: { show: false } },
    yAxis: { type: "value", min: 0, splitNumber: 3, axisLabel: { color: color("dim") }, splitLine: { lineStyle: { color: color("line"), opacity: 0.6 } } },
    series: [
      { type: "line", stack: "range", data: at(series.low), showSymbol: false, lineStyle: { color: kindColor("compute"), width: 1 } },
      { type: "line", stack: "range", data: at(width), showSymbol: false, lineStyle: { color: kindColor("compute"), width: 1 }, areaStyle: { color: kindColor("compute"), opacity: 0.35 } },
    ],
  });
  drawPoints(parent, title, series.high.length, option, text, (index) => [index * detail.period, series.high[index]]);
}

const figureText = (value) => Number(value.toPrecision(6)).toLocaleString("en", { maximumSignificantDigits: 6 });

function drawMetric(parent, { name, steps, values, low, high, last }) {
  const title = `${name}: last ${figureText(last)}, lowest ${figureText(low)}, highest ${figureText(high)}`;
  const text = (index) => `step ${steps[index].toLocaleString("en")}: ${figureText(values[index])}`;
  const option = () => ({
    animation: false,
    grid: { left: 56, right: 12, top: 8, bottom: 24 },
    tooltip: tooltip((items) => text(items[0].dataIndex), "axis"),
    xAxis: { type: "value", min: "dataMin", max: "dataMax", minInterval: 1, splitNumber: 4, axisLabel: { color: color("dim"), hideOverlap: true }, splitLine: { show: false } },
    yAxis: { type: "value", scale: true, splitNumber: 3, axisLabel: { color: color("dim") }, splitLine: { lineStyle: { color: color("line"), opacity: 0.6 } } },
    series: [{ type: "line", data: values.map((value, index) => [steps[index], value]), showSymbol: values.length <= 20, symbolSize: 5, itemStyle: { color: kindColor("compute") }, lineStyle: { color: kindColor("compute"), width: 1.5 } }],
  });
  drawPoints(parent, title, values.length, option, text, (index) => [steps[index], values[index]]);
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

// Returns the content of a row from the compressed parts whose ids have this prefix.
async function detailOf(row, prefix) {
  const index = Number(row.dataset.index);
  const id = `${prefix}-${Math.floor(index / perPart)}`;
  if (!parts.has(id)) parts.set(id, unpacked(id).then(JSON.parse));
  return (await parts.get(id))[index % perPart];
}

async function fillLogged(row) {
  const detail = await detailOf(row, "logged-part");
  await loaded;
  if (row.dataset.filled) return;
  row.dataset.filled = "yes";
  const node = row.querySelector(".more");
  if (detail.metrics.length) {
    const curves = element("div", undefined, { class: "curves" });
    node.append(curves);
    detail.metrics.forEach((metric) => drawMetric(curves, metric));
  }
  node.append(...detail.values.map(previewNode));
  detail.missing.forEach((reason) => node.append(element("p", `Left out: ${reason}`, { class: "note" })));
}

async function fillJob(row) {
  const detail = await detailOf(row, "part");
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
for (const row of loggedRows) {
  row.addEventListener("toggle", () => row.open && fillLogged(row));
}

async function start() {
  const [overview] = await Promise.all([unpacked("overview").then(JSON.parse), loaded]);
  drawTimeline(overview);
  drawGraph(overview.nodes, (name) => openJob(name, overview));
  rows.filter((row) => row.open).forEach(fillJob);
  await Promise.all(loggedRows.filter((row) => row.open).map(fillLogged));
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start();
