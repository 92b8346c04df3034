// Tables of the items of mapped steps: all items are searched and sorted, and the first ones are shown.
const MAX_ITEMS = 200;

function itemText(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : value;
}

// Numbers by size, also those that are texts; everything else by its characters; empty cells last.
function compareCells(first, second) {
  const empty = (value) => value === null || value === undefined || value === "";
  if (empty(first) || empty(second)) return empty(first) - empty(second);
  const [a, b] = [Number(first), Number(second)];
  if (!Number.isNaN(a) && !Number.isNaN(b)) return a - b;
  return String(first).localeCompare(String(second), "en", { numeric: true });
}

function drawItems(node, data) {
  const table = node.querySelector("table");
  const input = node.querySelector("input");
  const found = node.querySelector("output");
  const [firstNumber, lastNumber] = data.numbers;
  const isNumber = (column) => column >= firstNumber && column <= lastNumber;
  const texts = data.rows.map((cells) => cells.map(itemText).join(" ").toLowerCase());
  let order = data.rows.map((_, position) => position);
  let sorted = null, ascending = true;
  const body = element("tbody");
  const heads = data.columns.map((title, column) => {
    const head = element("th", undefined, { scope: "col", class: isNumber(column) ? "number" : "" });
    const button = element("button", title, { type: "button", class: "sort" });
    button.addEventListener("click", () => sort(column));
    head.append(button);
    return head;
  });
  const fill = () => {
    const wanted = input.value.toLowerCase();
    const kept = wanted ? order.filter((position) => texts[position].includes(wanted)) : order;
    body.replaceChildren(...kept.slice(0, MAX_ITEMS).map((position) => {
      const row = element("tr");
      data.rows[position].forEach((value, column) => {
        const state = column === 1 ? `state ${value.split(",")[0]}` : "";
        row.append(element("td", itemText(value), { class: isNumber(column) ? "number" : state }));
      });
      return row;
    }));
    const shown = kept.length > MAX_ITEMS ? `, the first ${MAX_ITEMS} are shown` : "";
    found.textContent = `${kept.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")}${shown}`;
  };
  const sort = (column) => {
    ascending = sorted === column ? !ascending : true;
    sorted = column;
    const sign = ascending ? 1 : -1;
    order = order.slice().sort((a, b) => {
      const [first, second] = [data.rows[a][column], data.rows[b][column]];
      const isEmpty = [first, second].some((value) => value === null || value === "");
      return compareCells(first, second) * (isEmpty ? 1 : sign) || a - b;
    });
    heads.forEach((head, position) => {
      if (position === column) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    fill();
  };
  const line = element("tr");
  line.append(...heads);
  const top = element("thead");
  top.append(line);
  table.replaceChildren(top, body);
  input.addEventListener("input", fill);
  fill();
}

function openMap(index) {
  const node = document.getElementById(`map-${index}`);
  if (!node) return;
  node.open = true;
  node.scrollIntoView({ block: "start" });
  node.querySelector("summary").focus({ preventScroll: true });
}

for (const node of document.querySelectorAll(".map")) {
  unpacked(`map-data-${node.dataset.index}`).then((text) => drawItems(node, JSON.parse(text)));
}
