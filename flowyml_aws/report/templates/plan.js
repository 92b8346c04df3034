async function start() {
  const [nodes] = await Promise.all([unpacked("nodes").then(JSON.parse), loaded]);
  drawGraph(nodes, () => {});
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start();
