// The map of a tile: boxes of blends, dots of sources; wheel and drag to look closer, a click to choose a blend.
const DIVERGING = [[70, 160, 255], [62, 104, 158], [52, 62, 76], [176, 88, 60], [255, 128, 72]];
const GROWING = [[44, 54, 68], [38, 96, 116], [48, 160, 140], [180, 206, 96], [255, 232, 110]];
const NOT_FITTED = "#c2185b";
const map = byId("map"), pen = map.getContext("2d");
let view = { x: 0, y: 0, size: 1 };

function whole() {
  const { width, height } = tiles[state.tile], size = Math.max(width, height) * 1.04;
  view = { x: width / 2 - size / 2, y: height / 2 - size / 2, size };
}

/** Position on the canvas of a place of the tile, whose rows go upwards; and back. */
const scale = () => map.width / view.size;
const across = (x) => (x - view.x) * scale();
const down = (y) => map.height - (y - view.y) * scale();
function place(event) {
  const box = map.getBoundingClientRect();
  const u = (event.clientX - box.left) / box.width, v = (event.clientY - box.top) / box.height;
  return [view.x + u * view.size, view.y + (1 - v) * view.size];
}

/** A color between those of a list, for a number from 0 to 1. */
function mixed(list, t) {
  const at = Math.min(Math.max(t, 0), 1) * (list.length - 1), k = Math.min(Math.floor(at), list.length - 2);
  const parts = list[k].map((from, c) => Math.round(from + (list[k + 1][c] - from) * (at - k)));
  return `rgb(${parts})`;
}

const mostIterations = Math.max(...blends.iterations, 1), mostSources = Math.max(...blends.sources, 2);
const SCALES = {
  chi2: { label: "χ² per pixel", list: DIVERGING, ends: ["≤ 0.5", "≥ 2"],
    of: (k) => 0.5 + Math.log2(blends.chi2[k]) / 2 },
  iterations: { label: "iterations", list: GROWING, ends: ["0", mostIterations],
    of: (k) => Math.sqrt(blends.iterations[k] / mostIterations) },
  sources: { label: "sources of the blend", list: GROWING, ends: ["1", mostSources],
    of: (k) => Math.sqrt((blends.sources[k] - 1) / (mostSources - 1)) },
};

function draw() {
  const side = Math.round(map.getBoundingClientRect().width * (window.devicePixelRatio || 1));
  if (side && map.width !== side) map.width = map.height = side;
  const { width, height } = tiles[state.tile], chosen = SCALES[state.color], dot = window.devicePixelRatio || 1;
  pen.clearRect(0, 0, map.width, map.height);
  pen.strokeStyle = "#44505f";
  pen.lineWidth = dot;
  pen.strokeRect(across(-0.5), down(height - 0.5), width * scale(), height * scale());
  const box = (k, grow = 0) => {
    const length = blends.side[k] * scale() + 2 * grow;
    return [across(blends.x[k] - 0.5) - grow, down(blends.y[k] + blends.side[k] - 0.5) - grow, length, length];
  };
  for (const isOn of [false, true]) {
    for (const k of rows) {
      if (blends.tile[k] !== state.tile || matching.has(k) !== isOn) continue;
      pen.globalAlpha = isOn ? 0.85 : 0.15;
      pen.fillStyle = blends.state[k] === FAILED ? NOT_FITTED : mixed(chosen.list, chosen.of(k));
      pen.fillRect(...box(k));
      if (blends.state[k] === FAILED) cross(...box(k), dot);
    }
  }
  pen.globalAlpha = 1;
  const wanted = state.flags.size ? [...state.flags] : flags.map((_, bit) => bit);
  const radius = Math.min(Math.max(1.1 * dot, scale() * 2), 4 * dot);
  for (let k = 0; k < sources.x.length; k++) {
    if (sources.tile[k] !== state.tile) continue;
    const bit = wanted.find((each) => (sources.flags[k] >> each) & 1);
    pen.fillStyle = bit === undefined ? "#ffffffa0" : flags[bit].color;
    pen.beginPath();
    pen.arc(across(sources.x[k]), down(sources.y[k]), bit === undefined ? radius * 0.6 : radius * 1.2, 0, 7);
    pen.fill();
  }
  if (state.selected !== null && blends.tile[state.selected] === state.tile) {
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2.5 * dot;
    pen.strokeRect(...box(state.selected, 2 * dot));
  }
  legend(chosen);
}

function cross(x, y, width, height, dot) {
  pen.strokeStyle = "#fff";
  pen.lineWidth = 1.2 * dot;
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x + width, y + height);
  pen.moveTo(x + width, y);
  pen.lineTo(x, y + height);
  pen.stroke();
}

function legend(chosen) {
  const stops = chosen.list.map((color) => `rgb(${color})`).join(",");
  const ramp = element("span", { class: "ramp", style: `background:linear-gradient(90deg,${stops})` });
  byId("legend").replaceChildren(`${chosen.label}: ${chosen.ends[0]}`, ramp, String(chosen.ends[1]));
}

/** The blend at a place of the map: of several boxes the smallest, then the one whose middle is nearest. */
function blendAt([x, y]) {
  let best = null, least = Infinity;
  for (const k of rows) {
    const side = blends.side[k], u = x - blends.x[k] + 0.5, v = y - blends.y[k] + 0.5;
    if (blends.tile[k] !== state.tile || u < 0 || v < 0 || u > side || v > side) continue;
    const cost = (matching.has(k) ? 0 : 1e9) + side * 1e3 + Math.hypot(u - side / 2, v - side / 2);
    if (cost < least) [best, least] = [k, cost];
  }
  return best;
}

function gestures() {
  let from = null, moved = false;
  map.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [x, y] = place(event), factor = Math.exp(0.0015 * event.deltaY);
    const most = 1.04 * Math.max(tiles[state.tile].width, tiles[state.tile].height);
    const size = Math.min(Math.max(view.size * factor, 60), most), part = size / view.size;
    view = { x: x - (x - view.x) * part, y: y - (y - view.y) * part, size };
    draw();
  }, { passive: false });
  map.addEventListener("pointerdown", (event) => {
    from = { at: [event.clientX, event.clientY], view: { ...view } };
    moved = false;
    map.setPointerCapture(event.pointerId);
  });
  map.addEventListener("pointermove", (event) => {
    if (from) {
      const by = [event.clientX - from.at[0], event.clientY - from.at[1]];
      moved = moved || Math.hypot(...by) > 4;
      const step = view.size / map.getBoundingClientRect().width;
      if (moved) view = { ...view, x: from.view.x - by[0] * step, y: from.view.y + by[1] * step };
      if (moved) draw();
      return;
    }
    const k = blendAt(place(event)), tip = byId("tip");
    tip.style.display = k === null ? "none" : "block";
    if (k === null) return;
    tip.textContent = `blend ${blends.number[k]}: ${STATES[blends.state[k]]}\nχ² ${text(blends.chi2[k], 3)}, ` +
      `${blends.sources[k]} source${blends.sources[k] === 1 ? "" : "s"}`;
    tip.style.left = `${event.clientX + 14}px`;
    tip.style.top = `${event.clientY + 14}px`;
  });
  map.addEventListener("pointerup", (event) => {
    const k = moved ? null : blendAt(place(event));
    from = null;
    if (k !== null) select(k);
  });
  map.addEventListener("pointerleave", () => (byId("tip").style.display = "none"));
  map.addEventListener("dblclick", () => {
    whole();
    draw();
  });
  window.addEventListener("resize", draw);
}

