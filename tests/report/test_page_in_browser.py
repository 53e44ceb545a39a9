"""Test the detection report in Chromium: sorting, filters, pictures, and the widths of phone, tablet and desktop."""

import json
import re
import shutil
import subprocess

import pytest
import report

from tests.conftest import NUM_CLASSES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# This script is appended to the page. It uses the controls, and posts the results to the parent frame.
SCRIPT = """
<script>
window.errors = [];
window.addEventListener("error", (event) => window.errors.push(event.message));
document.addEventListener("securitypolicyviolation", (event) => window.errors.push(event.blockedURI));
window.addEventListener("load", () => setTimeout(() => {
  const names = () => all("#categories tbody tr").filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
  const seen = { before: names() };
  const column = (index) => all("#categories tbody tr").map((row) => value(row.cells[index]));
  const button = all("#categories th button")[2];
  button.focus(); button.click();
  seen.sorted = column(2); seen.sort = button.parentElement.getAttribute("aria-sort");
  button.click(); seen.again = column(2);
  const search = document.getElementById("search");
  search.value = seen.before[0]; search.dispatchEvent(new Event("input")); seen.found = names();
  search.value = ""; search.dispatchEvent(new Event("input"));
  const marks = () => all("#results small").map((mark) => mark.textContent);
  seen.first = marks();
  const base = document.getElementById("baseline");
  base.value = "1"; base.dispatchEvent(new Event("change")); seen.second = marks();
  seen.width = window.innerWidth;
  window.dispatchEvent(new Event("beforeprint"));
  seen.wide = document.documentElement.scrollWidth - window.innerWidth;
  seen.boxes = all("#gallery svg rect").length; seen.images = all("#gallery img[src]").length;
  const box = document.getElementById("show-truth");
  box.click(); seen.less = all("#gallery svg rect").length;
  seen.requests = performance.getEntriesByType("resource").filter((one) => !one.name.startsWith("data:")).length;
  const texts = all("td.text, th.text, #categories td:first-child").filter((cell) => cell.offsetParent);
  seen.left = texts.every((cell) => getComputedStyle(cell).textAlign === "left");
  seen.right = all("#results td[data-m]").every((cell) => getComputedStyle(cell).textAlign === "right");
  const frame = document.querySelector("#results").closest(".scroll");
  measure();  // the page's ResizeObserver calls it, but only when a frame is drawn, which --dump-dom does not ensure
  const overflows = frame.scrollWidth > frame.clientWidth + 1;
  const last = all("#results thead th").find((cell) => cell.textContent.trim() === "APf");
  seen.reach = last.getBoundingClientRect().right;
  seen.hinted = overflows === (getComputedStyle(frame.nextElementSibling).display !== "none");
  seen.csv = csvOf(document.getElementById("results")).split("\\r\\n");
  const fake = document.createElement("td"); fake.textContent = "=1+1"; seen.formula = csvCell(fake);
  const color = (one, part) => getComputedStyle(one, part).backgroundColor;
  const keys = all(".key").map((one) => color(one, null)), dots = all(".group").map((one) => color(one, "::before"));
  seen.colors = new Set([...keys, ...dots]).size;
  seen.errors = window.errors;
  parent.postMessage(JSON.stringify(seen), "*");
}, 300));
</script>
"""


# A browser window is at least 500 pixels wide. A frame inside may be narrower.
FRAME = """<iframe src="page.html" style="width: {}px; height: 900px; border: 0"></iframe>
<script>addEventListener("message", (event) => {{ document.body.dataset.seen = event.data; }});</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.slow
def test_in_a_browser(runs, width):
    page, long = runs / "page.html", runs / "Seesaw_Loss_with_a_long_name_and_NLA"
    (runs / "good").rename(long)
    assert report.main([str(runs / "confused"), str(long), "--output", str(page)]) == 0
    page.write_text(page.read_text().replace("</body>", SCRIPT + "</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=5000"]
    frame = runs / "frame.html"
    frame.write_text(FRAME.format(width))
    command = [CHROMIUM, *options, "--window-size=1500,900", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    seen = json.loads(re.search(r'data-seen="(.*?)"', done.stdout).group(1).replace("&quot;", '"'))
    assert seen["errors"] == []
    assert seen["requests"] == 0
    assert seen["sorted"] == sorted(seen["sorted"], reverse=True) == seen["again"][::-1]
    assert seen["sort"] == "descending"
    assert seen["found"] == [seen["before"][0]]
    assert len(seen["before"]) == NUM_CLASSES
    assert any(seen["first"])
    assert seen["first"] != seen["second"]
    assert seen["width"] == width
    assert seen["wide"] <= 0
    assert seen["reach"] <= width  # APr, APc and APf are in view without scrolling
    assert seen["images"] > 0
    assert 0 < seen["less"] < seen["boxes"]
    assert seen["left"]
    assert seen["right"]
    assert seen["hinted"]
    assert seen["csv"][0].startswith('"run","task","APr","APc","APf","AP"')
    assert len(seen["csv"]) == 1 + len(re.findall(r"data-task=", page.read_text())) + 1
    assert seen["formula"] == '"\'=1+1"'
    assert seen["colors"] >= 4  # two runs and at least two groups, each with its own color
