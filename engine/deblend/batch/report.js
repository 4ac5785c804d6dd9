"use strict";
// What Python has told: columns of blends and sources, tiles, flags, pictures of some blends (deblend/batch/report.py).
const told = JSON.parse(document.getElementById("told").textContent);
const { tiles, flags, blends, sources, pictures } = told;
const STATES = ["converged", "did not converge", "not fitted", "mended"];
const FAILED = 2, PAGE = 200;
const byId = (id) => document.getElementById(id);
const rows = blends.number.map((_, k) => k);
const rowOf = new Map(blends.number.map((number, k) => [number, k]));
const state = {
  tile: 0, color: "chi2", flags: new Set(), states: new Set(), least: null, most: null, selected: null,
  sort: "chi2", descending: true, shown: PAGE,
};
let matching = new Set(rows);

const chi2Of = (k) => (blends.chi2[k] === null ? Infinity : blends.chi2[k]);
const text = (value, digits) => (value === null || value === Infinity ? "–" : value.toFixed(digits));
const flagsOf = (bits) => flags.filter((_, bit) => (bits >> bit) & 1);

function element(name, attributes = {}, ...children) {
  const svg = ["svg", "rect", "text", "line", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// --- which blends are meant ---------------------------------------------------------------------------------------

function isMeant(k) {
  if (state.states.size && !state.states.has(blends.state[k])) return false;
  for (const bit of state.flags) if (!((blends.flags[k] >> bit) & 1)) return false;
  // what was not fitted has no χ²
  if (state.least !== null && !(blends.chi2[k] !== null && blends.chi2[k] >= state.least)) return false;
  return state.most === null || (blends.chi2[k] !== null && blends.chi2[k] <= state.most);
}

function filter() {
  matching = new Set(rows.filter(isMeant));
  state.shown = PAGE;
  for (const chip of document.querySelectorAll(".chip")) {
    const chosen = chip.dataset.kind === "flag" ? state.flags : state.states;
    chip.setAttribute("aria-pressed", chosen.has(Number(chip.dataset.value)));
  }
  byId("least").value = state.least ?? "";
  byId("most").value = state.most ?? "";
  byId("count").textContent = `${matching.size.toLocaleString("en")} of ${rows.length.toLocaleString("en")} blends`;
  table();
  draw();
}

function chips() {
  const made = (kind, value, label, count, color, meaning) => {
    const toggle = () => {
      const chosen = kind === "flag" ? state.flags : state.states;
      if (!chosen.delete(value)) chosen.add(value);
      filter();
    };
    const dot = color ? [element("i", { style: `background:${color}` })] : [];
    return element("button", { class: "chip", "data-kind": kind, "data-value": value, title: meaning, onclick: toggle },
      ...dot, label, element("small", {}, count.toLocaleString("en")));
  };
  STATES.forEach((label, value) => {
    const count = blends.state.filter((each) => each === value).length;
    if (count && count < rows.length) byId("chips").append(made("state", value, label, count, "", "blends"));
  });
  flags.forEach((flag, bit) => {
    if (flag.count) byId("chips").append(made("flag", bit, flag.name, flag.count, flag.color, flag.meaning));
  });
  for (const side of ["least", "most"]) {
    byId(side).addEventListener("change", (event) => {
      state[side] = event.target.value === "" ? null : Number(event.target.value);
      filter();
    });
  }
  byId("all").addEventListener("click", () => {
    state.flags.clear();
    state.states.clear();
    state.least = state.most = null;
    filter();
  });
}

// MAP

// --- one blend ----------------------------------------------------------------------------------------------------

function shots(number) {
  const shown = pictures[number] || {};
  return element("div", { class: "shots" }, ...Object.entries(shown).map(([name, source]) =>
    element("figure", {}, element("img", { src: source, alt: `${name} of blend ${number}` }),
      element("figcaption", {}, name))));
}

function select(k) {
  state.selected = k;
  const number = blends.number[k], command = told.view + number, names = flagsOf(blends.flags[k]);
  if (blends.tile[k] !== state.tile) {
    state.tile = blends.tile[k];
    byId("tile").value = state.tile;
    whole();
  }
  const middle = [blends.x[k], blends.y[k]].map((corner) => corner + Math.floor(blends.side[k] / 2));
  const facts = [
    ["ended", element("span", { class: `state-${blends.state[k]}` }, told.said[number] || STATES[blends.state[k]])],
    ["χ² per pixel", text(blends.chi2[k], 3)], ["iterations", blends.iterations[k]],
    ["sources", `${blends.sources[k]}, and ${blends.guests[k]} of other blends`],
    ["middle", `x ${middle[0]}, y ${middle[1]} of ${tiles[blends.tile[k]].name}, ${blends.side[k]} pix wide`],
    ["flags", names.length ? names.map((flag) => flag.name).join(", ") : "none"],
  ];
  const copy = element("button", { onclick: (event) => copied(command, event.target) }, "Copy");
  byId("blend").replaceChildren(
    element("h2", { style: "margin-top:0" }, `Blend ${number}`),
    element("dl", {}, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    shots(number),
    element("p", { style: "margin:.8rem 0 .3rem" }, "Open it in the window, mend it, save, and run the batch again:"),
    element("div", { class: "command" }, element("code", { id: "command" }, command), copy),
  );
  for (const each of document.querySelectorAll("[data-blend]")) {
    each.classList.toggle("on", Number(each.dataset.blend) === number);
  }
  history.replaceState(null, "", `#blend=${number}`);
  draw();
}

async function copied(command, button) {
  try {
    await navigator.clipboard.writeText(command);
    button.textContent = "Copied";
  } catch {
    // a page of a file may not write to the clipboard everywhere: mark the words, to be copied by keys
    getSelection().selectAllChildren(byId("command"));
    button.textContent = "Marked: Ctrl-C";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

// --- tables, charts -----------------------------------------------------------------------------------------------

const COLUMNS = [
  ["number", "blend", (k) => blends.number[k], true], ["tile", "tile", (k) => tiles[blends.tile[k]].name, false],
  ["x", "x", (k) => blends.x[k] + Math.floor(blends.side[k] / 2), true],
  ["y", "y", (k) => blends.y[k] + Math.floor(blends.side[k] / 2), true],
  ["sources", "sources", (k) => blends.sources[k], true], ["chi2", "χ²", chi2Of, true],
  ["iterations", "iterations", (k) => blends.iterations[k], true],
  ["state", "ended", (k) => STATES[blends.state[k]], false],
  ["flags", "flags", (k) => flagsOf(blends.flags[k]).map((flag) => flag.name).join(", "), false],
].filter(([key]) => key !== "tile" || tiles.length > 1);

function table() {
  const [, , value, isNumber] = COLUMNS.find(([key]) => key === state.sort), sign = state.descending ? -1 : 1;
  const compare = (a, b) => (isNumber ? value(a) - value(b) || 0 : value(a).localeCompare(value(b)));
  const ordered = [...matching].sort((a, b) => sign * compare(a, b) || blends.number[a] - blends.number[b]);
  const head = COLUMNS.map(([key, label, , number]) => {
    const sorted = key === state.sort ? (state.descending ? "descending" : "ascending") : "none";
    const sort = () => {
      state.descending = key === state.sort ? !state.descending : number;
      state.sort = key;
      table();
    };
    return element("th", { "data-key": key, "aria-sort": sorted, class: number ? "n" : "", onclick: sort }, label);
  });
  byId("head").replaceChildren(...head);
  const cell = (k, [key, , of, number]) => {
    const shown = key === "chi2" ? text(of(k), 3) : of(k);
    return element("td", { class: number ? "n" : key === "state" ? `state-${blends.state[k]}` : "" }, shown);
  };
  byId("rows").replaceChildren(...ordered.slice(0, state.shown).map((k) => element("tr", {
    "data-blend": blends.number[k], tabindex: 0, class: k === state.selected ? "on" : "", onclick: () => select(k),
    onkeydown: (event) => event.key === "Enter" && select(k),
  }, ...COLUMNS.map((column) => cell(k, column)))));
  const left = ordered.length - state.shown;
  byId("more").style.display = left > 0 ? "" : "none";
  byId("more").textContent = `Show more (${left.toLocaleString("en")} left)`;
}

/** A histogram; a click on a bar leaves the blends that it counts. */
function histogram(id, title, edges, values, chosen) {
  const counts = edges.slice(1).map((high, k) => values.filter((v) => v >= edges[k] && v < high).length);
  const most = Math.max(...counts, 1), width = 420, height = 130, base = height - 20, step = width / counts.length;
  const length = (count) => (count ? 4 + (base - 22) * Math.log1p(count) / Math.log1p(most) : 0);
  const bars = counts.flatMap((count, k) => {
    const name = `${title} ${edges[k].toPrecision(3)} to ${edges[k + 1].toPrecision(3)}: ${count} blends`;
    const x = k * step, grown = length(count);
    const bar = element("rect", { class: "count", x: x + 0.5, width: Math.max(step - 1, 1), y: base - grown, height: grown });
    const hit = { class: "hit", x, width: step, y: 0, height: base, onclick: () => chosen(edges[k], edges[k + 1]) };
    return [bar, element("rect", hit, element("title", {}, name))];
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const at = Math.round(part * (edges.length - 1)), anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    return element("text", { x: at * step, y: height - 5, "text-anchor": anchor }, String(Number(edges[at].toPrecision(2))));
  });
  byId(id).replaceChildren(element("div", {}, title), element("svg", { viewBox: `0 0 ${width} ${height}` },
    element("line", { x1: 0, x2: width, y1: base, y2: base }),
    element("text", { x: 0, y: 12 }, `bars grow with the logarithm; the highest has ${most.toLocaleString("en")}`),
    ...bars, ...ticks));
}

function charts() {
  const fitted = rows.filter((k) => blends.state[k] !== FAILED), n = 40;
  const low = 0.5, high = 4, edges = Array.from({ length: n + 1 }, (_, k) => low * (high / low) ** (k / n));
  const inside = fitted.map((k) => Math.min(Math.max(blends.chi2[k], low), high * 0.9999));
  histogram("of-chi2", "χ² per pixel (what lies beyond is in the last bars)", edges, inside, (from, to) => {
    state.least = from === low ? null : Number(from.toPrecision(4));
    state.most = to >= high ? null : Number(to.toPrecision(4));
    filter();
  });
  const bins = Math.min(mostIterations + 1, 40);
  const steps = Array.from({ length: bins + 1 }, (_, k) => (k * (mostIterations + 1)) / bins);
  histogram("of-iterations", "iterations", steps, fitted.map((k) => blends.iterations[k]), () => {
    [state.sort, state.descending] = ["iterations", true];
    table();
  });
}

function gallery() {
  const shown = rows.filter((k) => pictures[blends.number[k]]).sort((a, b) => chi2Of(b) - chi2Of(a) || a - b);
  byId("gallery").append(...shown.map((k) => {
    const number = blends.number[k], said = blends.state[k] === FAILED ? "not fitted" : `χ² ${text(blends.chi2[k], 2)}`;
    return element("button", { class: "panel", "data-blend": number, onclick: () => show(k) },
      element("b", {}, `Blend ${number}`), `, ${said}`, shots(number),
      element("p", {}, `${blends.sources[k]} source${blends.sources[k] === 1 ? "" : "s"}, ` +
        `${blends.iterations[k]} iterations`));
  }));
}

function show(k) {
  select(k);
  byId("map").scrollIntoView({ block: "center" });
}

function begin() {
  tiles.forEach((tile, k) => byId("tile").append(element("option", { value: k }, tile.name)));
  byId("tile").style.display = tiles.length > 1 ? "" : "none";
  byId("tile").addEventListener("change", (event) => {
    state.tile = Number(event.target.value);
    whole();
    draw();
  });
  byId("color").addEventListener("change", (event) => {
    state.color = event.target.value;
    draw();
  });
  byId("more").addEventListener("click", () => {
    state.shown += PAGE;
    table();
  });
  if (!rows.length) return;
  whole();
  chips();
  gestures();
  gallery();
  charts();
  filter();
  const asked = rowOf.get(Number(new URLSearchParams(location.hash.slice(1)).get("blend") ?? NaN));
  const worst = rows.reduce((best, k) => (chi2Of(k) > chi2Of(best) ? k : best), 0);
  select(asked ?? worst);
}

begin();
