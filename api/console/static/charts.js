// Draws every [data-chart] with uPlot in the page's own colours, again when those or the width change.
const colour = (name) => {
  // light-dark() is resolved only where it is used.
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};
const share = (values) => values.map((value) => (value === null ? "" : `${Math.round(100 * value)} %`));
const plain = (values) => values.map((value) => (value === null ? "" : String(+value.toPrecision(3))));
const unit = { time: false, range: [0, 1] };
const kinds = {
  roc: { x: "false positives", y: "true positives", scales: { x: unit, y: { range: [0, 1] } }, ticks: [share, share], diagonal: true },
  pr: { x: "found", y: "precision", scales: { x: unit, y: { range: [0, 1.02] } }, ticks: [share, share] },
  reliability: { x: "probability said", y: "AI-generated", scales: { x: unit, y: { range: [0, 1] } }, ticks: [share, share], diagonal: true, dots: true },
  histogram: { x: "probability", y: "images", scales: { x: unit, y: {} }, ticks: [share, plain], lines: [["not AI-generated", "--clear"], ["AI-generated", "--flag"]] },
  loss: { x: "step", y: "loss", scales: { x: { time: false }, y: {} }, ticks: [plain, plain] },
};
const drawn = new Map();

function diagonal(ink) {
  return (chart) => {
    const { ctx } = chart;
    ctx.save();
    ctx.strokeStyle = ink;
    ctx.setLineDash([5, 5]);
    ctx.beginPath();
    ctx.moveTo(chart.valToPos(0, "x", true), chart.valToPos(0, "y", true));
    ctx.lineTo(chart.valToPos(1, "x", true), chart.valToPos(1, "y", true));
    ctx.stroke();
    ctx.restore();
  };
}

function draw(place) {
  const kind = kinds[place.dataset.chart];
  const points = JSON.parse(place.dataset.points);
  const soft = colour("--soft"), line = colour("--line");
  const font = '12px Inter, ui-sans-serif, system-ui, sans-serif';
  const axis = (label, ticks, size) => ({
    label, size, font, labelFont: font, labelSize: 18, stroke: soft, values: (_, values) => ticks(values),
    grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 },
  });
  const lines = kind.lines ?? [[kind.y, "--accent"]];
  drawn.get(place)?.destroy();
  drawn.set(place, new uPlot({
    width: place.clientWidth, height: 260,
    scales: kind.scales,
    axes: [axis(kind.x, kind.ticks[0], 36), axis(kind.y, kind.ticks[1], 50)],
    series: [{ label: kind.x }, ...lines.map(([label, name]) => ({
      label, stroke: colour(name), width: 2, points: { show: Boolean(kind.dots), size: 7, fill: colour(name) },
    }))],
    legend: { show: Boolean(kind.lines), live: false },
    cursor: { y: false, drag: { x: false, y: false } },
    hooks: kind.diagonal ? { drawAxes: [diagonal(soft)] } : {},
    padding: [10, 24, 0, 0],
  }, points, place));
}

function drawAll() {
  for (const place of drawn.keys()) if (!place.isConnected) drawn.delete(place);
  for (const place of document.querySelectorAll("[data-chart]")) draw(place);
}
document.fonts.ready.then(drawAll);
document.addEventListener("assay:theme", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });

// While a run goes on, its losses are drawn as they are told.
const losses = document.querySelector("[data-losses]");
const state = document.querySelector("[data-live$='/state']");
if (losses && state) {
  const titles = JSON.parse(losses.dataset.titles);
  const lines = new Map();
  const stream = new EventSource(state.dataset.live.replace(/state$/, "events"));
  let due = null;
  const show = () => {
    due = null;
    const columns = losses.querySelector(".columns");
    for (const [name, points] of lines) {
      let place = columns.querySelector(`[data-line="${CSS.escape(name)}"]`);
      if (!place) {
        if (!columns.querySelector("[data-line]")) columns.replaceChildren();
        const figure = document.createElement("figure"), caption = document.createElement("figcaption"), title = document.createElement("strong");
        figure.className = "chart";
        title.textContent = titles[name] ?? name;
        caption.append(title);
        place = document.createElement("div");
        Object.assign(place.dataset, { chart: "loss", line: name });
        place.className = "plot";
        place.setAttribute("role", "img");
        figure.append(caption, place);
        columns.append(figure);
      }
      place.dataset.points = JSON.stringify(points);
      place.setAttribute("aria-label", `Loss of ${name}: ${points[1].at(-1)} after ${points[1].length} points`);
      losses.hidden = false;
      draw(place);
    }
  };
  stream.addEventListener("progress", (event) => {
    const told = JSON.parse(event.data);
    if (typeof told.loss !== "number") return;
    const along = told.step ?? told.done ?? told.progress;
    const name = told.detector ?? "loss";
    if (!lines.has(name)) lines.set(name, [[], []]);
    const [steps, values] = lines.get(name);
    if (steps.length && along <= steps.at(-1)) return;
    steps.push(along);
    values.push(told.loss);
    due ??= setTimeout(show, 250);
  });
  stream.addEventListener("end", () => stream.close());
}
