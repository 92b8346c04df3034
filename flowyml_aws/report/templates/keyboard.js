// Makes the items of a chart selectable with the keyboard. A line below the chart shows the selected item as text,
// which a screen reader reads, too. `chart` has:
//   label: name of the chart; keys: what the keys do, as text
//   move(key, at): number of the item that a key selects; undefined if the key does nothing. `at` is -1 at first
//   box(at): left, top, width and height of an item in pixels; text(at): its text
//   open(at): called for Enter; optional
// Returns a function that forgets the selection.
function selectable(node, chart) {
  const wrapper = element("div", undefined, { class: "selectable", tabindex: "0", role: "application", "aria-label": `${chart.label}. ${chart.keys}` });
  const ring = element("div", undefined, { class: "ring", hidden: "" });
  const line = element("p", "", { class: "note selected", role: "status" });
  node.replaceWith(wrapper);
  wrapper.append(node, ring);
  (wrapper.closest(".scroll") ?? wrapper).after(line);
  let at = -1;
  const place = () => {
    const [left, top, width, height] = chart.box(at);
    Object.assign(ring.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  };
  const show = () => {
    ring.hidden = at < 0;
    line.textContent = at < 0 ? chart.keys : chart.text(at);
    if (at < 0) return;
    place();
    ring.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
  };
  const select = (next) => {
    at = next;
    show();
  };
  wrapper.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") select(-1);
    else if (event.key === "Enter" && at >= 0 && chart.open) chart.open(at);
    else {
      const next = chart.move(event.key, at);
      if (next === undefined) return;
      select(next);
    }
    event.preventDefault();
  });
  // A chart without the focus shows no selection, and remembers it.
  wrapper.addEventListener("focus", show);
  wrapper.addEventListener("blur", () => {
    ring.hidden = true;
    line.textContent = "";
  });
  new ResizeObserver(() => at >= 0 && place()).observe(node);
  return () => {
    at = -1;
  };
}

// Returns the item that a key selects in a sequence; undefined for other keys.
function moveInSequence(key, at, count, page) {
  const next = {
    ArrowRight: at + 1, ArrowLeft: at < 0 ? count - 1 : at - 1, Home: 0, End: count - 1, PageDown: at + page, PageUp: at - page,
  }[key];
  return next === undefined ? undefined : Math.max(0, Math.min(count - 1, next));
}
