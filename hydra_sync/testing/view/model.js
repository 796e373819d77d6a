"use strict";
// The run as values: rows, what caused what, who is on the other end. Draws nothing.

const run = JSON.parse(document.getElementById("run").textContent);

const SCENARIO = ""; // the host of rows that belong to none
const GROUPS = {
  messages: ["send", "receive", "fin", "end", "dial", "dialed", "listen"],
  disk: ["sync", "sync_dir", "disk", "replace"],
  life: ["start", "exit", "resume", "heal"],
  trouble: ["fail", "fault", "crash", "pause", "cut", "clog", "reshape", "rst", "reset", "rot", "sync_error"],
};
const FIELDS = {
  send: ["connection", "bytes", "hash"], receive: ["connection", "bytes"], fin: ["connection"], end: ["connection"],
  rst: ["connection"], reset: ["connection"], dial: ["connection", "address", "port"],
  dialed: ["connection", "host", "error"], listen: ["address", "port"], crash: ["keep", "sockets"],
  disk: ["keep", "writes lost", "kept", "torn", "entries lost", "entries kept", "fingerprint"],
  sync: ["path", "bytes", "hash"], sync_dir: ["path", "changes"], sync_error: ["path", "writes lost"],
  rot: ["path", "offset"], replace: ["fingerprint"], cut: ["to"], heal: ["to"], clog: ["to", "for ns"],
  reshape: ["to", "latency ns", "jitter ns", "bytes/s", "loss ppm"], fault: ["fault"], fail: ["error"],
  seq: ["log", "seq"],
};

const rows = run.rows.map(([n, time, host, life, kind, cause, data], index) => ({
  index, n, time, host: run.hosts[host], life, kind: run.kinds[kind], cause: null, effects: [], data,
  causeNumber: cause, before: null, after: null,
}));
const byNumber = new Map(rows.map((row) => [row.n, row]));
link();

const bands = run.bands.map(([kind, host, other, label, start, startTime, stop, stopTime]) => ({
  kind, host, other, label, start, startTime, stop, stopTime,
}));
const failure = run.failure && { ...run.failure, row: byNumber.get(run.failure.row) ?? null };
const hosts = [...run.hosts].sort((one, other) => (other === SCENARIO) - (one === SCENARIO));

function link() {
  const last = new Map();
  for (const row of rows) {
    row.cause = byNumber.get(row.causeNumber) ?? null;
    if (row.cause) row.cause.effects.push(row);
    if (row.host === SCENARIO) continue; // it sees everything at once: its order says nothing
    row.before = last.get(row.host) ?? null;
    if (row.before) row.before.after = row;
    last.set(row.host, row);
  }
}

function groupOf(kind) {
  return Object.keys(GROUPS).find((group) => GROUPS[group].includes(kind)) ?? "notes";
}

function nameOf(host) {
  return host === SCENARIO ? "scenario" : host;
}

// The host at the other end of the connection that a row is about, or undefined.
function otherEnd(row) {
  if (!FIELDS[row.kind] || FIELDS[row.kind][0] !== "connection") return undefined;
  const number = Number(row.data[0]);
  const ends = run.connections[Math.abs(number)];
  return ends && (number > 0 ? ends[1] : ends[0]);
}

// Happened-before, as Lamport has it: the order of each host, and messages.
function causalPast(row) {
  const past = new Uint8Array(rows.length);
  past[row.index] = 1;
  for (let index = row.index; index >= 0; index--) {
    if (!past[index]) continue;
    const { before, cause } = rows[index];
    if (before) past[before.index] = 1;
    if (cause) past[cause.index] = 1;
  }
  past[row.index] = 0;
  return past;
}

function causalFuture(row) {
  const future = new Uint8Array(rows.length);
  future[row.index] = 1;
  for (let index = row.index + 1; index < rows.length; index++) {
    const { before, cause } = rows[index];
    future[index] = (before && future[before.index]) || (cause && future[cause.index]) ? 1 : 0;
  }
  future[row.index] = 0;
  return future;
}

// What was so when a row happened: the state of each host, and how far it had each log.
function momentOf(row) {
  const moment = new Map(hosts.filter((host) => host !== SCENARIO).map((host) => [host, { life: 0, states: [], logs: new Map() }]));
  for (let index = 0; index <= row.index; index++) {
    const one = moment.get(rows[index].host);
    if (one) one.life = Math.max(one.life, rows[index].life);
  }
  for (const [n, log, seq] of run.progress) {
    if (n > row.n) break;
    moment.get(byNumber.get(n).host)?.logs.set(log, seq);
  }
  for (const band of bands) {
    const over = band.stop !== null ? band.stop <= row.n : band.stopTime !== null && band.stopTime <= row.time;
    if (band.start <= row.n && !over) moment.get(band.host)?.states.push(band.label);
  }
  return moment;
}

// Whether a message was never received: lost, cut off, or under way when the run ended.
function isUnheard(row) {
  return ["send", "fin", "rst"].includes(row.kind) && !row.effects.length;
}

function labelOf(row) {
  return isUnheard(row) ? `${wordsOf(row)} ✕` : wordsOf(row);
}

// A file or directory, with its directory if that is named by a key: the key's beginning tells one from another.
function shortName(path) {
  const [name, above] = String(path).split("/").reverse();
  const short = (part) => part.replace(/^0{4,}(?=\d)/, "").replace(/^([0-9a-f]{6})[0-9a-f]{10,}/, "$1…");
  return (above && short(above) !== above ? `${short(above)}/` : "") + short(name) || "/";
}

function wordsOf(row) {
  const other = otherEnd(row);
  const [first, second] = row.data;
  switch (row.kind) {
    case "send": return `${second} B → ${other ?? "?"}`;
    case "receive": return `${second} B ← ${other ?? "?"}`;
    case "fin": case "rst": return `${row.kind} → ${other ?? "?"}`;
    case "end": case "reset": return `${row.kind} ← ${other ?? "?"}`;
    case "dial": return `dial ${other ?? `${first}:${second}`}`;
    case "dialed": return row.data[2] === 0 ? `connected ${second}` : `no connection to ${second}`;
    case "sync": case "sync_dir": case "sync_error": return `${row.kind.replace("_", " ")} ${shortName(first)}`;
    case "cut": case "heal": case "clog": case "reshape": return `${row.kind} → ${first}`;
    case "seq": return `${first} ${second}`;
    case "fault": return first; // it is marked as trouble, and the lane is narrow
    case "fail": return row.kind;
    case "disk": return `disk: ${row.data[1]} lost, ${row.data[3]} torn, ${row.data[4]} names lost`;
    default: return [row.kind, ...row.data].join(" ");
  }
}

const TIME_UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];

function duration(time) {
  for (const [size, unit] of TIME_UNITS) {
    if (Math.abs(time) >= size) return `${Number((time / size).toPrecision(3))} ${unit}`;
  }
  return "0 s";
}

function clockTime(time) {
  const fraction = String(time % 1e9).padStart(9, "0");
  return `${Math.floor(time / 1e9)}.${fraction.slice(0, 3)} ${fraction.slice(3, 6)} ${fraction.slice(6)}`;
}
