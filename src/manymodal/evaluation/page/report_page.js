// The heatmap's switches, and the line below it that says what a figure is of.
const table = document.getElementById("heatmap");
const about = document.getElementById("about");
const metric = document.getElementById("metric");
const variant = document.getElementById("variant");
const cells = [...table.querySelectorAll("td[data-figures]")];

function paint() {
  for (const cell of cells) {
    const figures = JSON.parse(cell.dataset.figures)[variant ? variant.value : 0];
    const share = figures[metric.value];
    const star = "leak" in cell.dataset ? "*" : "";
    cell.textContent = (share === null ? "–" : (100 * share).toFixed(1)) + star;
    cell.style.setProperty("--share", Math.round(100 * Math.sqrt(share || 0)));
    cell.classList.toggle("hot", share > 0.36);
  }
}

function tell(event) {
  const cell = event.target.closest("td[data-figures]");
  if (cell) about.textContent = cell.title;
}

// One cell is reached by the tab key; arrows go from it to the next figure that way.
function walk(event) {
  const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
  const start = event.target.closest("td[data-figures]");
  if (!start || !(down || right)) return;
  event.preventDefault();
  const rows = [...table.rows];
  for (let y = rows.indexOf(start.parentNode) + down, x = start.cellIndex + right; rows[y] && x > 0; y += down, x += right) {
    const next = rows[y].cells[x];
    if (right && !next) return;
    if (next && "figures" in next.dataset) {
      start.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      return;
    }
  }
}

if (cells.length) {
  document.querySelector(".switches").hidden = false;
  for (const cell of cells) cell.tabIndex = -1;
  cells[0].tabIndex = 0;
  for (const select of [metric, variant]) if (select) select.addEventListener("change", paint);
  for (const kind of ["mouseover", "focusin", "click"]) table.addEventListener(kind, tell);
  table.addEventListener("keydown", walk);
}
