"use strict";
const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));

// Tables wider than their frame can be scrolled: say so below them.
const frames = all(".scroll");
for (const frame of frames) {
  const hint = document.createElement("p");
  hint.className = "hint soft"; hint.textContent = "The table continues to the right: scroll →";
  frame.after(hint);
}
const measure = () => frames.forEach((frame) => frame.classList.toggle("overflows", frame.scrollWidth > frame.clientWidth + 1));
const sizes = new ResizeObserver(measure);  // differences that are written later widen a table
frames.forEach((frame) => { sizes.observe(frame); all("table", frame).forEach((table) => sizes.observe(table)); });

// Each table can be saved as CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it.
const csvCell = (cell) => {
  const small = cell.querySelector("small");
  const text = (small ? cell.firstChild.textContent : cell.textContent).trim();
  const number = cell.dataset.v !== undefined && cell.dataset.v !== "" ? cell.dataset.v : text.replace("−", "-");
  const shown = number !== "" && !isNaN(Number(number)) ? number : (/^[=+\-@\t\r]/.test(text) ? "'" + text : text);
  return '"' + shown.replaceAll('"', '""') + '"';
};
const csvOf = (table) => Array.from(table.rows).map((row) => Array.from(row.cells).map(csvCell).join(",")).join("\r\n") + "\r\n";
for (const table of all("table[data-csv]")) {
  const button = document.createElement("button");
  button.type = "button"; button.className = "csv"; button.textContent = "Save as CSV";
  button.setAttribute("aria-label", "Save as CSV: " + table.dataset.csv);
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csvOf(table)], { type: "text/csv" }));
    link.download = table.dataset.csv.replace(/[^\w.-]+/g, "_") + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  const frame = table.closest(".scroll");
  (frame.nextElementSibling || frame).after(button);
}
