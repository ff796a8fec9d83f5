// The map: points by WebGL, a hundred thousand of them at once; a box leads to its rows.
"use strict";
const map = document.getElementById("map");
const canvas = map.querySelector("canvas");
const box = document.getElementById("box");
const said = document.getElementById("said");
const legend = document.getElementById("legend");
const pointed = document.getElementById("pointed");
const within = document.getElementById("within");
const colour = document.getElementById("colour");
const { run, method } = map.dataset;
const gl = canvas.getContext("webgl", { antialias: true });
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
// Twelve colours that differ in hue and in lightness; the last is that of all others.
const GROUPS = dark
  ? ["#7fd1a0", "#8a94a0", "#f2a07f", "#7cc4e6", "#d9c45f", "#c39af0", "#f08fb6", "#63d6c9", "#b9d96b", "#e0b48a", "#9aa8ff", "#5c636a"]
  : ["#1c6b3f", "#9aa3ac", "#c2410c", "#0b6fa4", "#a58a00", "#7a3fc0", "#c02b6e", "#008577", "#5f8a00", "#8a5a2b", "#3f51d6", "#c3c8cd"];
const RAMP = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]; // viridis
const STATUS = { chosen: GROUPS[0], out: GROUPS[1], "held out": GROUPS[5], undecided: GROUPS[4] };
const MISSING = dark ? "#4a5057" : "#c3c8cd";
let places = new Float32Array(0), drawing = null;
let view = { x: 0, y: 0, half: 1 }; // the middle, and half of the shown height, in units of the map

const asked = (path, values) =>
  `${path}?${new URLSearchParams(Object.entries({ run, ...values }).filter(([, v]) => v !== ""))}`;
const rgb = text => [1, 3, 5].map(at => parseInt(text.slice(at, at + 2), 16) / 255);
const wide = () => canvas.clientWidth / canvas.clientHeight;

function prepare() {
  const program = gl.createProgram();
  const parts = [
    [gl.VERTEX_SHADER, `attribute vec2 place; attribute vec4 colour; uniform vec2 middle, scale; uniform float size;
      varying vec3 shade;
      void main() { gl_Position = vec4((place - middle) * scale, -colour.a, 1.0); gl_PointSize = size; shade = colour.rgb; }`],
    [gl.FRAGMENT_SHADER, `precision mediump float; varying vec3 shade;
      void main() { if (length(gl_PointCoord - 0.5) > 0.5) discard; gl_FragColor = vec4(shade, 1.0); }`],
  ];
  for (const [kind, text] of parts) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST); // small groups lie above large ones
  gl.depthFunc(gl.LEQUAL);
  const uniform = name => gl.getUniformLocation(program, name);
  drawing = { program, middle: uniform("middle"), scale: uniform("scale"), size: uniform("size") };
}

function fill(name, values, width) {
  const at = gl.getAttribLocation(drawing.program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, width, gl.FLOAT, false, 0, 0);
}

function draw() {
  const dense = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * dense, canvas.clientHeight * dense].map(Math.round);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  gl.viewport(0, 0, width, height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.uniform2f(drawing.middle, view.x, view.y);
  gl.uniform2f(drawing.scale, 1 / (view.half * wide()), 1 / view.half);
  gl.uniform1f(drawing.size, dense * Math.min(8, Math.max(2, 260 / Math.sqrt(places.length / 2) / Math.sqrt(view.half / view.whole.half))));
  gl.drawArrays(gl.POINTS, 0, places.length / 2);
  const { half, x, y } = view;
  within.href = asked("/rows", { area: area(x - half * wide(), x + half * wide(), y - half, y + half) });
}

const short = number => Number(number.toPrecision(6));
const area = (...ends) => `${method}:${ends.map(short).join(",")}`;

// From a place on the screen to one on the map.
function on(event) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const across = 2 * (event.clientX - left) / width - 1, up = 1 - 2 * (event.clientY - top) / height;
  return [view.x + across * view.half * wide(), view.y + up * view.half];
}

function whole() {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let at = 0; at < places.length; at += 2) {
    left = Math.min(left, places[at]); right = Math.max(right, places[at]);
    low = Math.min(low, places[at + 1]); high = Math.max(high, places[at + 1]);
  }
  const half = 1.05 * Math.max((right - left) / 2 / wide(), (high - low) / 2, 1e-6);
  view = { x: (left + right) / 2, y: (low + high) / 2, half, whole: { half } };
  draw();
}

function zoom(by, [x, y] = [view.x, view.y]) { // what is under the pointer stays there
  view = { ...view, x: x + (view.x - x) * by, y: y + (view.y - y) * by, half: view.half * by };
  draw();
}

function nearest(event) {
  const [x, y] = on(event);
  let [best, found] = [(8 / canvas.clientHeight * 2 * view.half) ** 2, -1]; // within eight pixels
  for (let at = 0; at < places.length; at += 2) {
    const far = (places[at] - x) ** 2 + (places[at + 1] - y) ** 2;
    if (far < best) [best, found] = [far, at / 2];
  }
  return found;
}

async function read(path, values) {
  const answer = await fetch(asked(path, values));
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function tell(names) {
  legend.replaceChildren(...names.map(([shade, text]) => {
    const each = document.createElement("span"), swatch = document.createElement("i");
    swatch.style.background = shade;
    each.append(swatch, text);
    return each;
  }));
}

async function paint() {
  const found = await read("/map/colours", { by: method, colour: colour.value });
  const shades = new Float32Array(places.length / 2 * 4); // red, green, blue, and how far above others
  const many = number => number.toLocaleString("en");
  if (found.groups) {
    const own = found.groups.map(({ name }, at) => (colour.value === "status" && STATUS[name]) || (name === "all others" ? GROUPS[11] : GROUPS[at]));
    found.codes.forEach((code, at) => shades.set([...rgb(own[code]), code / 16], 4 * at));
    tell(found.groups.map((group, at) => [own[at], `${group.name} (${many(group.rows)})`]));
  } else {
    const had = found.values.filter(value => value !== null).sort((a, b) => a - b);
    const end = share => had[Math.min(had.length - 1, Math.floor(share * had.length))];
    const [low, high] = [end(0.02), end(0.98)]; // a few far ones would take all colours
    const steps = RAMP.map(rgb);
    found.values.forEach((value, at) => {
      if (value === null) return shades.set(rgb(MISSING), 4 * at);
      const share = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
      const step = Math.min(3, Math.floor(share * 4)), part = share * 4 - step;
      shades.set([0, 1, 2].map(n => steps[step][n] * (1 - part) + steps[step + 1][n] * part), 4 * at);
    });
    const missing = found.values.length - had.length;
    tell(had.length ? [...RAMP.map((shade, at) => [shade, short(low + (high - low) * at / 4).toPrecision(3)]),
      ...(missing ? [[MISSING, `none (${many(missing)})`]] : [])] : [[MISSING, "no row has it"]]);
  }
  fill("colour", shades, 4);
  draw();
  map.dataset.painted = colour.value;
}

let from = null, moving = null, asking = 0;
canvas.addEventListener("pointerdown", event => {
  canvas.setPointerCapture(event.pointerId);
  if (event.shiftKey || event.button === 1) moving = on(event);
  else from = event;
});
canvas.addEventListener("pointermove", event => {
  if (moving) {
    const [x, y] = on(event);
    view = { ...view, x: view.x + moving[0] - x, y: view.y + moving[1] - y };
    draw();
  } else if (from) {
    const { left, top } = canvas.getBoundingClientRect();
    const ends = [[from.clientX, event.clientX, left], [from.clientY, event.clientY, top]]
      .map(([a, b, edge]) => [Math.min(a, b) - edge, Math.abs(a - b)]);
    Object.assign(box.style, { left: `${ends[0][0]}px`, width: `${ends[0][1]}px`, top: `${ends[1][0]}px`, height: `${ends[1][1]}px` });
    box.hidden = false;
  } else {
    clearTimeout(asking);
    asking = setTimeout(() => point(nearest(event)), 120);
  }
});
canvas.addEventListener("pointerup", event => {
  const start = from;
  from = moving = null;
  box.hidden = true;
  if (!start) return;
  const [ax, ay] = on(start), [bx, by] = on(event);
  if (Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > 5) {
    location.href = asked("/rows", { area: area(Math.min(ax, bx), Math.max(ax, bx), Math.min(ay, by), Math.max(ay, by)) });
    return;
  }
  const found = nearest(event);
  if (found >= 0) read("/map/row", { by: method, n: found }).then(row => { location.href = asked(`/rows/${row.id}`, {}); });
});
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(Math.sign(event.deltaY) * 0.2), on(event));
}, { passive: false });
canvas.addEventListener("keydown", event => {
  const step = view.half / 5;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  const zooms = { "+": 0.8, "=": 0.8, "-": 1.25 };
  if (moves[event.key]) {
    view = { ...view, x: view.x + moves[event.key][0], y: view.y + moves[event.key][1] };
    draw();
  } else if (zooms[event.key]) zoom(zooms[event.key]);
  else return;
  event.preventDefault();
});
document.getElementById("closer").addEventListener("click", () => zoom(0.8));
document.getElementById("wider").addEventListener("click", () => zoom(1.25));
document.getElementById("whole").addEventListener("click", whole);

async function point(n) {
  if (n < 0) return;
  const row = await read("/map/row", { by: method, n });
  const link = document.createElement("a"), prompt = document.createElement("strong");
  link.href = asked(`/rows/${row.id}`, {});
  link.textContent = row.id.slice(0, 8);
  prompt.textContent = row.prompt;
  pointed.replaceChildren(link, ` ${row.status}${row.rank ? ` · ${row.rank}` : ""} `, prompt, ` ${row.response}`);
  pointed.hidden = false;
}

async function start() {
  if (!gl) throw new Error("This browser has no WebGL, which draws the map.");
  const found = await read("/map/points", { by: method });
  places = Float32Array.from(found.places);
  prepare();
  fill("place", places, 2);
  view.whole = view;
  whole();
  await paint();
  const many = number => number.toLocaleString("en"), drawn = places.length / 2;
  said.textContent = `${drawn < found.placed ? `${many(drawn)} of ${many(found.placed)}` : `All ${many(drawn)}`} rows with a place are drawn`
    + (drawn < found.placed ? ", always the same" : "") + `, by the embeddings of their ${found.of === "both" ? "prompt and response" : found.of}.`
    + (found.rows > found.placed ? ` ${many(found.rows - found.placed)} rows have none.` : "")
    + (found.variance === null ? "" : ` The two directions hold ${Math.round(100 * found.variance)} % of what differs between rows.`);
  map.dataset.drawn = drawn;
}
const fail = error => { said.textContent = error.message; };
colour.addEventListener("change", () => paint().catch(fail));
new ResizeObserver(() => { if (map.dataset.drawn) draw(); }).observe(canvas);
start().catch(fail);
