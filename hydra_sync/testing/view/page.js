"use strict";
// What people do with the page: look, choose, filter, find, walk through causes.

const $ = (id) => document.getElementById(id);
const RADII = [50, 200, 1000, 5000, Infinity];
const EVERY_RADIUS = 200;

const state = {
  radius: EVERY_RADIUS, zoom: 1, byTime: false, centre: failure?.row ?? rows[rows.length - 1] ?? null,
  hosts: new Set(hosts), kinds: new Set(run.kinds), selected: null, hovered: null, past: null, future: null,
  query: "", found: new Set(),
};
const diagram = new Diagram($("diagram"), $("scroller"), $("spacer"));
const overview = new Overview($("overview"));
let colors = {};
let drawing = false;

// What is shown

function readColors() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "panel", "line", "lane", "ink", "quiet", "accent", "messages", "disk", "life", "trouble", "notes",
    "down", "paused", "cut", "clog", "shape", "past", "future", "failure", "found"];
  colors = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function shownRows() {
  const fitting = rows.filter((row) => row === failure?.row || (state.hosts.has(row.host) && state.kinds.has(row.kind)));
  if (!state.centre) return fitting;
  const at = fitting.findIndex((row) => row.index >= state.centre.index);
  const centre = at < 0 ? fitting.length : at;
  return fitting.slice(Math.max(0, centre - state.radius), centre + state.radius + 1);
}

// Lay everything out again; the row in question stays where it is on the screen, or comes to the middle.
function update(anchor = state.selected ?? state.centre, middle = false) {
  const before = anchor && !middle ? diagram.yOf(anchor) : null;
  const offset = before !== null ? before - $("scroller").scrollTop : null;
  const lanes = hosts.filter((host) => state.hosts.has(host) || host === failure?.row?.host);
  diagram.layout(shownRows(), lanes, state.zoom, state.byTime);
  const y = anchor ? diagram.yOf(anchor) : null;
  if (y !== null) $("scroller").scrollTop = y - (offset ?? $("scroller").clientHeight * .55);
  showStatus();
  draw();
}

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    overview.draw(colors, inSight());
    diagram.draw(colors, state);
  });
}

function inSight() {
  const { shown, scroller } = diagram;
  if (!shown.length) return null;
  const first = Math.min(shown.length - 1, diagram.search((index) => diagram.ys[index] >= scroller.scrollTop));
  const last = diagram.search((index) => diagram.ys[index] > scroller.scrollTop + scroller.clientHeight - HEAD) - 1;
  return { from: shown[first].time, to: shown[Math.max(first, last)].time };
}

function showStatus() {
  const count = (number) => number.toLocaleString("en");
  const found = state.query ? `${count(state.found.size)} found, ` : "";
  $("status").textContent = rows.length
    ? `${found}${count(diagram.shown.length)} of ${count(run.total)} rows drawn`
    : "the run was not recorded: there are no rows to draw";
  $("radius").value = String(state.radius);
  $("axis").textContent = state.byTime ? "by time" : "by event";
}

// Make sure that a row is drawn, and in sight.
function reveal(row, middle = false) {
  state.hosts.add(row.host);
  state.kinds.add(row.kind);
  showChips();
  if (middle || !diagram.position.has(row)) {
    state.centre = row;
    update(row, true);
    return;
  }
  const y = diagram.yOf(row), { scroller } = diagram;
  if (y < scroller.scrollTop + 30) scroller.scrollTop = y - 80;
  if (y > scroller.scrollTop + scroller.clientHeight - HEAD - 30) scroller.scrollTop = y - scroller.clientHeight + HEAD + 80;
  const x = diagram.x(row.host);
  if (x < scroller.scrollLeft + GUTTER || x > scroller.scrollLeft + scroller.clientWidth - 60) scroller.scrollLeft = x - scroller.clientWidth / 2;
  draw();
}

function select(row, middle = false) {
  state.selected = row;
  state.past = row && causalPast(row);
  state.future = row && causalFuture(row);
  history.replaceState(null, "", row ? `#row=${row.n}` : "#");
  showRow(row ?? failure?.row ?? null);
  if (row) reveal(row, middle);
  draw();
}

// The panel

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text; // never markup: rows may hold anything
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function rowLink(row) {
  const made = element("button", `#${row.n} ${nameOf(row.host)}: ${labelOf(row)}`, { class: "link" });
  made.addEventListener("click", () => select(row));
  return made;
}

function tableRow(table, name, ...cells) {
  const line = table.appendChild(element("tr"));
  line.append(element("th", name));
  for (const cell of cells) {
    const made = line.appendChild(element("td"));
    made.append(cell);
  }
  return line;
}

function showRow(row) {
  const panel = $("row");
  panel.replaceChildren();
  $("moment").replaceChildren();
  if (!row) {
    panel.append(element("p", "Hover over a row for its details, click it for its past and future.", { class: "quiet" }));
    return;
  }
  const isFailure = row === failure?.row;
  panel.append(element("h2", isFailure ? "where it failed" : row === state.selected ? "selected row" : "row"));
  panel.append(element("h3", `${nameOf((row.kind === "fail" && failure?.host) || row.host)}: ${row.kind}`));
  const table = panel.appendChild(element("table"));
  if (isFailure) tableRow(table, "failure", failure.words);
  tableRow(table, "row", `#${row.n.toLocaleString("en")}${row.life ? `, incarnation ${row.life}` : ""}`);
  tableRow(table, "time", `${clockTime(row.time)} s`);
  const names = FIELDS[row.kind] ?? [];
  row.data.forEach((value, index) => tableRow(table, names[index] ?? "", String(value)));
  const other = otherEnd(row);
  if (other !== undefined) tableRow(table, "other end", other);
  if (row.cause) tableRow(table, "cause", rowLink(row.cause));
  else if (row.causeNumber >= 0) tableRow(table, "cause", `#${row.causeNumber}, not in this file`);
  row.effects.slice(0, 5).forEach((effect) => {
    tableRow(table, "effect", rowLink(effect));
    if (effect.host !== row.host) tableRow(table, "took", duration(effect.time - row.time));
  });
  if (row.effects.length > 5) tableRow(table, "", `and ${row.effects.length - 5} more effects`);
  if (row === state.selected) {
    const sum = (marks) => marks.reduce((total, mark) => total + mark, 0);
    const past = sum(state.past), future = sum(state.future);
    const line = panel.appendChild(element("p"));
    line.append(element("span", `${past.toLocaleString("en")} before`, { class: "past" }), ", ",
      element("span", `${future.toLocaleString("en")} after`, { class: "future" }),
      `, ${(rows.length - 1 - past - future).toLocaleString("en")} unrelated`);
  }
  showMoment(row);
}

function showMoment(row) {
  const moment = momentOf(row);
  const logs = [...new Set([...moment.values()].flatMap((one) => [...one.logs.keys()]))].slice(0, 7);
  const panel = $("moment");
  panel.append(element("h2", logs.length ? "at this moment: hosts, and seq of each log" : "at this moment"));
  const table = panel.appendChild(element("table"));
  if (logs.length) {
    const head = table.appendChild(element("tr"));
    head.append(element("th"), ...logs.map((log) => element("th", log)), element("th"));
  }
  for (const [host, one] of moment) {
    const well = one.life ? "" : "not started";
    const line = tableRow(table, host, ...logs.map((log) => String(one.logs.get(log) ?? "–")), one.states.join(", ") || well);
    if (one.states.length) line.lastChild.className = "bad";
  }
}

// Filters

function chips(panel, values, chosen, words, color) {
  panel.replaceChildren(...values.map((value) => {
    const chip = element("button", `${words(value)} `, { "aria-pressed": String(chosen.has(value)) });
    chip.append(element("small", counted(panel.id, value).toLocaleString("en")));
    chip.style.setProperty("--chip", `var(--${color(value)})`);
    chip.addEventListener("click", (event) => {
      if (event.detail > 1) { chosen.clear(); chosen.add(value); }
      else if (!chosen.delete(value)) chosen.add(value);
      showChips();
      update();
    });
    return chip;
  }));
}

const counts = { hosts: new Map(), kinds: new Map() };
for (const row of rows) {
  counts.hosts.set(row.host, (counts.hosts.get(row.host) ?? 0) + 1);
  counts.kinds.set(row.kind, (counts.kinds.get(row.kind) ?? 0) + 1);
}

function counted(what, value) {
  return counts[what].get(value) ?? 0;
}

function showChips() {
  const order = [...Object.keys(GROUPS), "notes"];
  const kinds = [...run.kinds].sort((one, other) => order.indexOf(groupOf(one)) - order.indexOf(groupOf(other)));
  chips($("hosts"), hosts, state.hosts, nameOf, (host) => host && host === failure?.host ? "failure" : "lane");
  chips($("kinds"), kinds, state.kinds, (kind) => kind, groupOf);
}

function showAll(what, all) {
  state[what] = new Set(all);
  showChips();
  update();
}

// Finding

function find(query) {
  state.query = query.toLowerCase();
  state.found = new Set(!query ? [] : rows.filter((row) =>
    [row.host, row.kind, labelOf(row), ...row.data].join(" ").toLowerCase().includes(state.query)));
  showStatus();
  draw();
}

function nextFound(way) {
  const found = [...state.found];
  const here = (state.selected ?? state.centre)?.index ?? -1;
  const next = way > 0 ? found.find((row) => row.index > here) : found.findLast((row) => row.index < here);
  if (next) select(next);
}

// Walking

function step(way, sameHost) {
  const { shown, position } = diagram;
  const from = state.selected ?? failure?.row ?? state.centre;
  if (!from) return;
  if (!state.selected) { select(from); return; }
  for (let index = (position.get(from) ?? 0) + way; index >= 0 && index < shown.length; index += way) {
    if (!sameHost || shown[index].host === from.host) { select(shown[index]); return; }
  }
}

function zoom(factor) {
  state.zoom = factor === 0 ? 1 : Math.min(8, Math.max(.12, state.zoom * factor));
  update(middleRow());
}

function middleRow() {
  if (state.selected && diagram.position.has(state.selected)) return state.selected;
  const middle = diagram.scroller.scrollTop + diagram.scroller.clientHeight / 2;
  return diagram.shown[Math.min(diagram.shown.length - 1, diagram.search((index) => diagram.ys[index] >= middle))] ?? null;
}

function widen(way) {
  const next = RADII.indexOf(state.radius) + way;
  if (next < 0 || next >= RADII.length) return;
  state.radius = RADII[next];
  recentre();
}

function recentre() {
  state.centre = middleRow() ?? state.centre;
  update(state.centre);
}

function switchAxis() {
  const row = middleRow();
  state.byTime = !state.byTime;
  update(row);
}

function switchTheme(to) {
  const root = document.documentElement;
  root.dataset.theme = to ?? (root.dataset.theme === "dark" ? "light" : "dark");
  readColors();
  draw();
}

const KEYS = {
  j: () => step(1, false), ArrowDown: () => step(1, false), k: () => step(-1, false), ArrowUp: () => step(-1, false),
  J: () => step(1, true), K: () => step(-1, true),
  c: () => state.selected?.cause && select(state.selected.cause),
  e: () => state.selected?.effects.length && select(state.selected.effects[0]),
  f: () => failure?.row && select(failure.row, true),
  n: () => nextFound(1), N: () => nextFound(-1), "/": () => $("find").focus(),
  w: () => widen(1), W: () => widen(-1), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(.8), 0: () => zoom(0),
  t: switchAxis, a: () => { state.kinds = new Set(run.kinds); showAll("hosts", hosts); }, d: () => switchTheme(),
  "?": () => $("keys").showModal(), Escape: () => select(null),
};

function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || $("keys").open || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  $("diagram").addEventListener("mousemove", (event) => {
    const row = diagram.rowAt(event.offsetX, event.offsetY);
    if (row === state.hovered) return;
    state.hovered = row;
    $("diagram").style.cursor = row ? "pointer" : "";
    showRow(row ?? state.selected ?? failure?.row ?? null);
    draw();
  });
  $("diagram").addEventListener("mouseleave", () => {
    state.hovered = null;
    showRow(state.selected ?? failure?.row ?? null);
    draw();
  });
  $("diagram").addEventListener("click", (event) => {
    const row = diagram.rowAt(event.offsetX, event.offsetY);
    select(row === state.selected ? null : row);
  });
  $("scroller").addEventListener("scroll", draw);
  $("scroller").addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.15 : .87);
  }, { passive: false });
  $("overview").addEventListener("mousedown", (event) => look(event));
  $("overview").addEventListener("mousemove", (event) => event.buttons & 1 && look(event));
  $("find").addEventListener("input", () => find($("find").value));
  $("find").addEventListener("keydown", (event) => {
    if (event.key === "Enter") nextFound(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") $("scroller").focus();
  });
  $("radius").addEventListener("change", () => { state.radius = Number($("radius").value); recentre(); });
  $("axis").addEventListener("click", switchAxis);
  $("smaller").addEventListener("click", () => zoom(.8));
  $("larger").addEventListener("click", () => zoom(1.25));
  $("to-failure").addEventListener("click", KEYS.f);
  $("to-failure").disabled = !failure?.row;
  $("all-hosts").addEventListener("click", () => showAll("hosts", hosts));
  $("all-kinds").addEventListener("click", () => showAll("kinds", run.kinds));
  $("theme").addEventListener("click", () => switchTheme());
  $("help").addEventListener("click", KEYS["?"]);
  $("copy").addEventListener("click", copyReplay);
  window.addEventListener("resize", () => update());
  window.addEventListener("hashchange", () => goToHash());
}

function look(event) {
  const time = overview.timeAt(event.offsetX);
  const row = rows.find((one) => one.time >= time) ?? rows[rows.length - 1];
  if (!row) return;
  state.centre = row;
  update(row, true);
}

function copyReplay() {
  const range = document.createRange();
  range.selectNodeContents($("replay"));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  document.execCommand("copy"); // the modern way is not allowed to files
}

function goToHash() {
  const number = /^#row=(\d+)$/.exec(location.hash);
  const row = number && byNumber.get(Number(number[1]));
  if (row) select(row, true);
}

switchTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
listen();
showChips();
showRow(failure?.row ?? null);
overview.draw(colors, null); // takes its room
update(state.centre, true);
goToHash();
