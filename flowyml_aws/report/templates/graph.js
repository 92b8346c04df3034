// Draws nodes below the nodes that they come after. `open` is called with the job of a node that is clicked, or
// selected with the keyboard and opened with Enter.
function drawGraph(nodes, open) {
  const node = document.getElementById("graph-chart");
  const graph = new charts.Graph();
  graph.setGraph({ rankdir: "TB", nodesep: 24, ranksep: 48, marginx: 8, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  const text = (item) => [MARKS[item.state] ? `${MARKS[item.state]} ${item.title}` : item.title, ...item.lines];
  for (const item of nodes) {
    const lines = text(item);
    const longest = Math.max(...lines.map((line) => line.length));
    graph.setNode(item.name, { width: longest * 7.4 + 24, height: lines.length * 17 + 14 });
  }
  for (const item of nodes) {
    for (const [source, assets] of Object.entries(item.after)) {
      if (!graph.hasNode(source)) continue;
      const joined = assets.join(", ");
      const label = nodes.length > 40 ? "" : joined.length > 32 ? `${joined.slice(0, 32)}…` : joined;
      graph.setEdge(source, item.name, label ? { label, width: label.length * 6.2 + 8, height: 16, labelpos: "c" } : {});
    }
  }
  charts.layout(graph);
  const { width, height } = graph.graph();
  // The chart has the size of the layout, so a pixel of one is a pixel of the other.
  Object.assign(node.style, { width: `${Math.ceil(width)}px`, height: `${Math.ceil(height)}px` });
  const names = new Map(nodes.map((item) => [item.name, item]));
  const colors = (name) => ({ succeeded: color("good"), failed: color("bad"), blocked: color("bad"), lost: color("bad"), running: color("busy"), starting: color("busy") })[name] ?? color("dim");
  const option = () => {
    const data = [], links = [];
    graph.nodes().forEach((name) => {
      const { x, y, width: w, height: h } = graph.node(name);
      const item = names.get(name);
      // The box is the label's, because a symbol that is not a square gets borders of two widths.
      data.push({
        id: `job ${name}`, name, x, y, symbol: "rect", symbolSize: [w, h], itemStyle: { color: "transparent" },
        label: {
          show: true, formatter: () => text(item).join("\n"), color: color("text"), fontFamily: "monospace", fontSize: 12,
          lineHeight: 17, width: w - 16, height: h - 12, padding: [6, 8], align: "center", verticalAlign: "middle",
          backgroundColor: color("panel"), borderColor: colors(item.state), borderWidth: item.state === "failed" ? 3 : 1.5, borderRadius: 6,
        },
      });
    });
    // Each bend of an edge is an invisible node. So are two corners, which fix the scale.
    const point = (id, x, y) => data.push({ id, name: "", x, y, symbolSize: 0.01, itemStyle: { opacity: 0 }, label: { show: false }, tooltip: { show: false } });
    point("corner 0", 0, 0);
    point("corner 1", Math.ceil(width), Math.ceil(height));
    graph.edges().forEach((edge, number) => {
      const { points } = graph.edge(edge);
      const ids = points.map((place, position) => {
        point(`bend ${number} ${position}`, place.x, place.y);
        return `bend ${number} ${position}`;
      });
      const assets = (names.get(edge.w).after[edge.v] ?? []).join(", ");
      ids.slice(1).forEach((id, position) => {
        const last = position === ids.length - 2;
        links.push({ source: ids[position], target: id, symbol: ["none", last ? "arrow" : "none"], symbolSize: 8, value: assets || "runs after" });
      });
    });
    graph.edges().forEach((edge, number) => {
      const { label, x, y } = graph.edge(edge);
      if (!label) return;
      data.push({
        id: `label ${number}`, name: "", x, y, symbolSize: 0.01, itemStyle: { color: "transparent" }, tooltip: { show: false },
        label: { show: true, formatter: () => label, color: color("dim"), fontSize: 11, backgroundColor: color("page"), padding: [3, 4] },
      });
    });
    return {
      animation: false,
      tooltip: tooltip(({ dataType, data: item }) => dataType === "edge" ? item.value : text(names.get(item.name)).join("\n")),
      series: [{ type: "graph", layout: "none", left: 0, top: 0, width: "100%", height: "100%", data, links, lineStyle: { color: color("dim"), width: 1.2, opacity: 0.9 }, emphasis: { disabled: true } }],
    };
  };
  draw(node, option).on("click", ({ dataType, data: item }) => {
    const job = dataType === "node" && names.get(item.name)?.job;
    if (job) open(job);
  });
  const order = graph.nodes().sort((a, b) => graph.node(a).y - graph.node(b).y || graph.node(a).x - graph.node(b).x);
  selectable(node, {
    label: "Graph of the jobs",
    keys: `Arrow keys select a job${nodes.some((item) => item.job) ? ", Enter opens it" : ""}, Escape ends the selection.`,
    move: (key, at) => moveInRanks(key, at, order.map((name) => graph.node(name))),
    box: (at) => {
      const { x, y, width: w, height: h } = graph.node(order[at]);
      return [x - w / 2 - 4, y - h / 2 - 4, w + 8, h + 8];
    },
    text: (at) => {
      const item = names.get(order[at]);
      const state = item.state ? [item.state] : [];
      const sources = Object.entries(item.after).map(([source, assets]) => `after ${names.get(source)?.title ?? source}${assets.length ? ` (${assets.join(", ")})` : ""}`);
      return [item.title, ...state, ...item.lines, ...sources].join("; ");
    },
    open: (at) => {
      const { job } = names.get(order[at]);
      if (job) open(job);
    },
  });
}

// Returns the node that a key selects: left and right in reading order, up and down in the next rank, the nearest one.
function moveInRanks(key, at, places) {
  const direction = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (direction === undefined) return moveInSequence(key, at, places.length, 10);
  if (at < 0) return direction > 0 ? 0 : places.length - 1;
  const from = places[at];
  const distance = ({ x, y }) => 1000 * Math.abs(y - from.y) + Math.abs(x - from.x);
  return places.reduce((best, place, index) => {
    const isThere = (place.y - from.y) * direction > 1;
    return isThere && (best === at || distance(place) < distance(places[best])) ? index : best;
  }, at);
}
