// Histograms and points of scores: what is dragged across one becomes a filter, or a what-if.
"use strict";
const form = document.getElementById("bounds");
const score = document.getElementById("b-score");
const low = document.getElementById("b-low");
const high = document.getElementById("b-high");
const line = document.getElementById("line");
const said = document.getElementById("said");
const run = form.dataset.run;
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLOURS = {
  pool: ["--kept"], chosen: ["--in", "solid"], random: ["--out", "dot"], length_matched: ["--aside", "dash"],
  out: ["--kept"], "random control": ["--out"],
};
const CONFIG = { displayModeBar: false, responsive: true };

function asked(path, values) {
  const query = new URLSearchParams(Object.entries({ run, ...values }).filter(([, v]) => v !== ""));
  return `${path}?${query}`;
}

function layout(more) {
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line") };
  return {
    font: { family: "system-ui, sans-serif", size: 12, color: colour("--ink") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 46, r: 12, t: 34, b: 30 }, dragmode: "select", selectdirection: "h",
    legend: { orientation: "h", y: -0.14, font: { size: 11 } },
    ...more, xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis },
  };
}

const short = number => Number(number.toPrecision(4));

// The line for the recipe: bounds of the step that there is, or a step of its own.
function settings() {
  const step = score.selectedOptions[0].dataset.step;
  const ends = [["at_least", low.value], ["at_most", high.value]].filter(([, value]) => value !== "");
  if (!ends.length) return { told: "drag, or fill in a bound", sets: [] };
  const own = ends.map(([name, value]) => `${name}: ${value}`).join(", ");
  const told = `- {method: threshold, score: ${score.value}, ${own}}`;
  return { told: step ? ends.map(([n, v]) => `${step}.${n}: ${v}`).join("   ") : told,
    sets: step ? ends.map(([n, v]) => `${step}.${n}=${v}`) : null, ends };
}

function tell() {
  line.textContent = settings().told;
  low.name = low.value === "" ? "" : `min.${score.value}`;
  high.name = high.value === "" ? "" : `max.${score.value}`;
}
for (const field of [score, low, high]) field.addEventListener("input", tell);

const button = document.getElementById("try");
if (button) button.addEventListener("click", () => {
  const { sets, ends } = settings();
  if (sets && !sets.length) return said.append(" Set a bound first.");
  const query = new URLSearchParams(run ? { run } : {});
  if (sets) for (const each of sets) query.append("set", each);
  else {
    query.append("bound", score.value);
    query.append("line", line.textContent);
    for (const [name, value] of ends) query.append(name, value);
  }
  location.href = `/what-if?${query}`;
});

function drawHistogram(each, place) {
  const middles = each.edges.slice(1).map((end, at) => (end + each.edges[at]) / 2);
  const traces = Object.entries(each.groups).map(([name, group]) => {
    const [variable, dash] = COLOURS[name];
    const drawn = dash ? { mode: "lines", line: { shape: "hvh", color: colour(variable), dash, width: 2 } }
      : { type: "bar", width: each.edges.slice(1).map((end, at) => end - each.edges[at]), marker: { color: colour(variable), line: { width: 0 } } };
    return { name: `${name} (${group.rows.toLocaleString("en")})`, x: middles, y: group.shares, ...drawn,
      hovertemplate: "%{x:.4g}: %{y:.1%}<extra>%{fullData.name}</extra>" };
  });
  const missing = each.rows - each.scored;
  Plotly.newPlot(place, traces, layout({
    title: { text: `${each.label} <span style="font-size:.85em">in ${each.unit}</span>${missing ? ` · ${missing.toLocaleString("en")} rows without` : ""}`, font: { size: 13 }, x: 0.01, xanchor: "left" },
    xaxis: { type: each.logarithmic ? "log" : "linear" },
    yaxis: { tickformat: ".0%", rangemode: "tozero" }, height: 250,
  }), CONFIG);
  place.on("plotly_selected", event => {
    if (!event || !event.range) return;
    const [from, to] = event.range.x.map(Number).sort((a, b) => a - b);
    const last = each.edges.length - 1;
    score.value = each.label;
    low.value = from <= each.edges[0] ? "" : short(from);
    high.value = to >= each.edges[last] ? "" : short(to);
    tell();
    said.textContent = `${each.label} from ${low.value || "the least"} to ${high.value || "the most"}.`;
  });
}

async function drawAll() {
  const all = await (await fetch(asked("/scores/histograms", {}))).json();
  const box = document.getElementById("histograms");
  for (const each of all) {
    const place = document.createElement("div");
    place.className = "picture";
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `Histogram of ${each.label}`);
    box.append(place);
    drawHistogram(each, place);
  }
  box.dataset.drawn = all.length;
}

const across = document.getElementById("x"), up = document.getElementById("y");
const within = document.getElementById("within");

async function drawPoints() {
  const place = document.getElementById("points");
  const found = await (await fetch(asked("/scores/points", { x: across.value, y: up.value }))).json();
  const traces = Object.entries(found.groups).map(([name, group]) => ({
    name: `${name} (${group.x.length.toLocaleString("en")})`, x: group.x, y: group.y, text: group.ids,
    mode: "markers",
    marker: { size: name === "chosen" ? 5 : 4, opacity: name === "out" ? 0.45 : 0.85, color: colour((COLOURS[name] || COLOURS.chosen)[0]) },
    hovertemplate: "%{text}: %{x:.4g}, %{y:.4g}<extra>%{fullData.name}</extra>",
  }));
  await Plotly.newPlot(place, traces, layout({ height: 460, selectdirection: "any", margin: { l: 56, r: 12, t: 14, b: 44 }, legend: { orientation: "h", y: 1.08 },
    xaxis: { title: { text: across.value } }, yaxis: { title: { text: up.value } } }), CONFIG);
  place.dataset.drawn = found.drawn;
  document.getElementById("drawn").textContent = found.drawn < found.rows
    ? `${found.drawn.toLocaleString("en")} of ${found.rows.toLocaleString("en")} rows that have both are drawn, always the same.`
    : `All ${found.rows.toLocaleString("en")} rows that have both are drawn.`;
  place.on("plotly_selected", event => {
    if (!event || !event.range) return;
    const ends = {};
    for (const [name, range] of [[across.value, event.range.x], [up.value, event.range.y]]) {
      const [from, to] = range.map(Number).sort((a, b) => a - b);
      ends[`min.${name}`] = short(from);
      ends[`max.${name}`] = short(to);
    }
    within.href = asked("/rows", ends);
    within.hidden = false;
  });
  place.on("plotly_click", event => {
    const [point] = event.points;
    location.href = asked("/rows", { start: point.text });
  });
}
for (const select of [across, up]) select.addEventListener("change", drawPoints);
tell();
drawAll();
drawPoints();
