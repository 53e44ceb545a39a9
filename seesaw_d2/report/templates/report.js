const value = (cell) => { const text = cell.dataset.v; return text === undefined || text === "" ? null : Number(text); };

// Show the difference of each value in the results table from the value of the chosen run.
const baseline = document.getElementById("baseline");
function compare() {
  const base = Number(baseline.value);
  const rows = all("#results tbody tr");
  for (const row of rows) {
    const reference = rows.find((other) => other.dataset.task === row.dataset.task && Number(other.dataset.run) === base);
    all("td[data-m]", row).forEach((cell, index) => {
      const mark = cell.querySelector("small");
      const a = value(cell), b = reference ? value(all("td[data-m]", reference)[index]) : null;
      mark.textContent = ""; mark.className = "";
      if (a === null || b === null || row === reference) return;
      const d = a - b;
      mark.textContent = " " + (d >= 0 ? "+" : "−") + Math.abs(d).toFixed(1);
      mark.className = d > 0.05 ? "up" : d < -0.05 ? "down" : "";
    });
  }
}
if (baseline) { baseline.addEventListener("change", compare); compare(); }

// Sort the category table by its header buttons, and filter it by name and group.
const table = document.getElementById("categories");
if (table) {
  const body = table.tBodies[0];
  all("th button", table).forEach((button) => button.addEventListener("click", () => {
    const header = button.parentElement, index = header.cellIndex;
    const down = header.getAttribute("aria-sort") !== "descending";
    all("th", table).forEach((other) => other.setAttribute("aria-sort", "none"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = all("tr", body);
    const text = header.dataset.kind === "text";
    rows.sort((first, second) => {
      const a = text ? first.cells[index].textContent : value(first.cells[index]);
      const b = text ? second.cells[index].textContent : value(second.cells[index]);
      if (a === null || b === null) return (a === null) - (b === null);  // unknown values are last in both orders
      return (text ? a.localeCompare(b) : a - b) * (down ? -1 : 1);
    });
    body.append(...rows);
  }));
  const search = document.getElementById("search"), group = document.getElementById("group");
  const count = document.getElementById("count");
  const filter = () => {
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !(row.cells[0].textContent.toLowerCase().includes(search.value.toLowerCase()) &&
        (group.value === "" || row.dataset.group === group.value));
      shown += !row.hidden;
    }
    count.textContent = shown + " of " + body.rows.length + " categories";
  };
  search.addEventListener("input", filter); group.addEventListener("change", filter); filter();
}

// Draw each image of the gallery when it comes near the visible part of the page.
const gallery = document.getElementById("gallery");
if (gallery) {
  const data = JSON.parse(document.getElementById("gallery-data").textContent);
  const svgNS = "http://www.w3.org/2000/svg";
  const shown = (kind) => { const box = document.getElementById("show-" + kind); return !box || box.checked; };
  function draw(figure, entry) {
    const svg = figure.querySelector("svg");
    svg.replaceChildren();
    const rect = (item, kind, run) => {
      const shape = document.createElementNS(svgNS, "rect");
      ["x", "y", "width", "height"].forEach((name, i) => shape.setAttribute(name, item.box[i]));
      shape.setAttribute("class", (run === undefined ? "" : "run" + run % 8 + " ") + kind);
      const title = document.createElementNS(svgNS, "title");
      title.textContent = item.name + (item.score === undefined ? "" : " " + item.score);
      shape.append(title); svg.append(shape);
    };
    if (shown("truth")) entry.truths.forEach((item) => rect(item, "truth"));
    entry.runs.forEach((run, index) => {
      if (shown(index)) run.detections.forEach((item) => rect(item, item.false ? "false" : "hit", index));
    });
  }
  function fill(figure) {
    const entry = data[Number(figure.dataset.index)];
    if (!figure.querySelector("img").src) figure.querySelector("img").src = "data:image/jpeg;base64," + entry.jpeg;
    figure.dataset.filled = "1";
    draw(figure, entry);
  }
  const observer = new IntersectionObserver((seen) => seen.forEach((one) => {
    if (one.isIntersecting) { fill(one.target); observer.unobserve(one.target); }
  }), { rootMargin: "400px" });
  const figures = all("figure", gallery);
  figures.forEach((figure) => observer.observe(figure));
  window.addEventListener("beforeprint", () => figures.forEach(fill));
  const pick = document.getElementById("gallery-group");
  const update = () => figures.forEach((figure) => {
    figure.hidden = pick.value !== "" && !figure.dataset.groups.includes(pick.value);
    if (figure.dataset.filled) draw(figure, data[Number(figure.dataset.index)]);
  });
  all("input, select", document.getElementById("gallery-controls")).forEach((one) => one.addEventListener("change", update));
}
