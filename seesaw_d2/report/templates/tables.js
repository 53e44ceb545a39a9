"use strict";
const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));

// Show a hint below tables that are wider than their frame and can be scrolled.
const frames = all(".scroll");
for (const frame of frames) {
  const hint = document.createElement("p");
  hint.className = "hint soft"; hint.textContent = "The table continues to the right: scroll →";
  frame.after(hint);
}
const measure = () => frames.forEach((frame) => frame.classList.toggle("overflows", frame.scrollWidth > frame.clientWidth + 1));
const sizes = new ResizeObserver(measure);  // a table becomes wider when report.js adds differences
frames.forEach((frame) => { sizes.observe(frame); all("table", frame).forEach((table) => sizes.observe(table)); });

// Add a button to each table that saves it as CSV. Text that a spreadsheet would treat as a formula gets an apostrophe.
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
