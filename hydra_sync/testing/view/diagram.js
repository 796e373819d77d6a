"use strict";
// The space-time diagram: a lane a host, time down, arrows for messages, bands for what is broken.
// Only what is in sight is drawn, so the length of the run does not matter.

const GUTTER = 104; // for times
const HEAD = 26; // for the names of hosts
const LINE = 16; // of one event, unzoomed
const LANE_MIN = 74;
const FAILURE_ROOM = 24; // below the row that failed, for its message
const GAP_NS = 2e7; // a longer silence is drawn as a gap

function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const paint = canvas.getContext("2d");
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  return paint;
}

class Diagram {
  constructor(canvas, scroller, spacer) {
    Object.assign(this, { canvas, scroller, spacer, shown: [], lanes: [], ys: new Float64Array(0), slots: new Map(), position: new Map() });
  }

  // Put every shown row at its height. ``byTime``: true distances; else a line an event, and gaps for silence.
  layout(shown, lanes, zoom, byTime) {
    this.shown = shown;
    this.lanes = lanes;
    this.line = LINE * zoom;
    this.ys = new Float64Array(shown.length);
    const first = shown.length ? shown[0].time : 0;
    const span = shown.length ? shown[shown.length - 1].time - first : 0;
    const perNs = span ? shown.length * this.line / span : 0;
    let y = this.line, last = first;
    shown.forEach((row, index) => {
      const silence = row.time - last;
      if (byTime) y = this.line + (row.time - first) * perNs;
      else y += index ? this.line + (silence > GAP_NS ? Math.min(40, 12 + 6 * Math.log2(silence / GAP_NS)) * Math.min(1, zoom) : 0) : 0;
      this.ys[index] = y;
      if (!byTime && failure && row === failure.row) y += FAILURE_ROOM;
      last = row.time;
    });
    this.position = new Map(shown.map((row, index) => [row, index]));
    this.height = (shown.length ? this.ys[shown.length - 1] : 0) + 60;
    // The scenario does little, so its lane, the first, is narrow.
    this.indent = lanes[0] === SCENARIO ? LANE_MIN : 0;
    const wide = lanes.length - (this.indent ? 1 : 0);
    this.lane = Math.max(LANE_MIN, (this.scroller.clientWidth - GUTTER - 4 - this.indent) / Math.max(1, wide));
    this.width = GUTTER + this.indent + this.lane * wide;
    this.laneOf = new Map(lanes.map((host, lane) => [host, lane]));
    this.giveSlots();
    this.spacer.style.height = `${Math.max(0, this.height + HEAD - this.scroller.clientHeight)}px`;
    this.spacer.style.width = `${this.width}px`;
    prepare(this.canvas, this.scroller.clientWidth, this.scroller.clientHeight); // it takes part in the height
  }

  // Links that are broken are stripes beside the lane they start from; those of one lane do not overlap.
  giveSlots() {
    this.slots.clear();
    const used = new Map();
    for (const band of bands) {
      if (band.kind === "down" || band.kind === "paused") continue;
      const key = `${band.kind} ${band.other}`;
      const lane = used.get(band.host) ?? used.set(band.host, new Map()).get(band.host);
      if (!lane.has(key)) lane.set(key, lane.size);
      this.slots.set(band, lane.get(key));
    }
    this.stripe = this.lane < 110 ? 4 : 11;
  }

  // Of the lane itself: what is written stands to its right.
  x(host) {
    if (host === SCENARIO) return GUTTER + 8;
    const lane = this.laneOf.get(host) - (this.indent ? 1 : 0);
    return GUTTER + this.indent + (lane + (this.lane < 110 ? .25 : .3)) * this.lane;
  }

  // The first shown row that fits; all after it do.
  search(fits) {
    let low = 0, high = this.shown.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (fits(middle)) high = middle; else low = middle + 1;
    }
    return low;
  }

  draw(colors, state) {
    const { scroller } = this;
    const width = scroller.clientWidth, height = scroller.clientHeight;
    const paint = this.paint = prepare(this.canvas, width, height);
    this.colors = colors;
    this.state = state;
    this.top = scroller.scrollTop;
    this.first = this.search((index) => this.ys[index] >= this.top - 40);
    this.last = this.search((index) => this.ys[index] > this.top + height);
    paint.fillStyle = colors.paper;
    paint.fillRect(0, 0, width, height);
    paint.lineJoin = "round";
    paint.save();
    paint.translate(-scroller.scrollLeft, HEAD - this.top);
    this.drawLanes(height);
    this.drawBands(height);
    this.drawArrows(height);
    this.drawRows();
    paint.restore();
    this.drawTimes(height);
    this.drawFailure(width);
    this.drawHeads(width);
  }

  drawLanes(height) {
    const { paint, colors } = this;
    paint.strokeStyle = colors.lane;
    paint.lineWidth = 1.5;
    for (const host of this.lanes) {
      paint.setLineDash(host === SCENARIO ? [2, 4] : []);
      paint.beginPath();
      paint.moveTo(this.x(host), this.top - HEAD);
      paint.lineTo(this.x(host), this.top + height);
      paint.stroke();
    }
    paint.setLineDash([]);
  }

  span(band) {
    const from = this.search((index) => this.shown[index].n >= band.start);
    let to = this.shown.length;
    if (band.stop !== null) to = this.search((index) => this.shown[index].n >= band.stop);
    else if (band.stopTime !== null) to = this.search((index) => this.shown[index].time >= band.stopTime);
    const y = (index) => index < this.shown.length ? this.ys[index] : this.height;
    const opens = from === 0 && this.shown.length && this.shown[0].n > band.start ? -1e4 : y(from);
    return [opens, y(to)];
  }

  drawBands(height) {
    const { paint, colors } = this;
    for (const band of bands) {
      if (!this.laneOf.has(band.host)) continue;
      const [from, to] = this.span(band);
      const top = Math.max(from, this.top - HEAD - 20), bottom = Math.min(to, this.top + height);
      if (bottom <= top) continue;
      const x = this.x(band.host);
      if (band.kind === "down" || band.kind === "paused") this.drawOutage(band, x, top, bottom, to - from);
      else this.drawStripe(band, x, top, bottom);
    }
    paint.globalAlpha = 1;
    paint.fillStyle = colors.ink;
  }

  drawOutage(band, x, top, bottom) {
    const { paint, colors } = this;
    const left = x - this.lane * .22, width = this.lane * .9;
    paint.globalAlpha = .13;
    paint.fillStyle = colors[band.kind];
    paint.fillRect(left, top, width, bottom - top);
    paint.globalAlpha = .5;
    paint.strokeStyle = colors[band.kind];
    paint.lineWidth = 1;
    paint.save();
    paint.beginPath();
    paint.rect(left, top, width, bottom - top);
    paint.clip();
    paint.beginPath();
    const phase = Math.floor((top - width) / 14) * 14;
    for (let y = phase; y < bottom; y += 14) { paint.moveTo(left, y + width); paint.lineTo(left + width, y); }
    paint.globalAlpha = .16;
    paint.stroke();
    paint.restore();
    // The lane is broken while nothing runs.
    paint.globalAlpha = 1;
    paint.strokeStyle = colors.paper;
    paint.lineWidth = 3;
    paint.setLineDash([4, 4]);
    paint.beginPath(); paint.moveTo(x, top); paint.lineTo(x, bottom); paint.stroke();
    paint.setLineDash([]);
    const length = band.stopTime === null ? "" : ` ${duration(band.stopTime - band.startTime)}`;
    paint.fillStyle = colors[band.kind];
    this.writeDown(band.label + length, left + width - 8, Math.max(top, this.top), bottom, "600 11px system-ui, sans-serif");
  }

  // Along a band, again and again if it is long.
  writeDown(text, x, top, bottom, font) {
    const { paint } = this;
    paint.font = font;
    paint.textAlign = "left";
    paint.textBaseline = "middle";
    const length = paint.measureText(text).width;
    for (let y = top + length + 6; y < bottom; y += length + 160) {
      paint.save();
      paint.translate(x, y);
      paint.rotate(-Math.PI / 2);
      paint.fillText(text, 0, 0);
      paint.restore();
    }
  }

  drawStripe(band, x, top, bottom) {
    const { paint, colors, stripe } = this;
    const left = x - 8 - (this.slots.get(band) + 1) * (stripe + 2);
    if (left < x - this.lane * .4) return; // no room: the rows and the panel still tell
    paint.globalAlpha = .25;
    paint.fillStyle = colors[band.kind];
    paint.fillRect(left, top, stripe, bottom - top);
    paint.globalAlpha = 1;
    paint.fillRect(left, top, 1.5, bottom - top);
    if (stripe < 10) return;
    this.writeDown(band.label, left + stripe / 2 + 1, Math.max(top, this.top), bottom, "10px system-ui, sans-serif");
  }

  // 1 in the past of the selected row, 2 in its future, 0 neither.
  side(row) {
    const { selected, past, future } = this.state;
    if (!selected) return 0;
    if (past[row.index] || (row === selected)) return 1;
    return future[row.index] ? 2 : 0;
  }

  drawArrows(height) {
    const { paint, colors, state, shown, ys } = this;
    const from = this.top - HEAD, to = this.top + height;
    paint.lineWidth = 1.3;
    shown.forEach((row, index) => {
      if (row.cause && row.cause.host !== row.host) {
        const start = this.position.get(row.cause);
        const y = ys[index], y0 = start === undefined ? y - 14 : ys[start];
        if (y < from || y0 > to || !this.laneOf.has(row.cause.host)) return;
        const side = this.side(row) && this.side(row.cause) ? this.side(row) === 1 ? 1 : this.side(row.cause) === 1 && row.cause !== state.selected ? 0 : 2 : 0;
        this.arrow(row, this.x(row.cause.host), y0, this.x(row.host), y, side, start === undefined);
      } else if (index >= this.first && index < this.last) this.drawUnheard(row, ys[index]);
    });
    paint.globalAlpha = 1;
    paint.fillStyle = colors.ink;
  }

  arrow(row, x0, y0, x1, y1, side, cutOff) {
    const { paint, colors, state } = this;
    paint.strokeStyle = paint.fillStyle = [colors[groupOf(row.kind)], colors.past, colors.future][side];
    const calm = y1 - y0 > 3 * this.scroller.clientHeight ? .2 : .6; // those that take long would hide the rest
    paint.globalAlpha = state.selected && !side ? .12 : side ? 1 : calm;
    paint.lineWidth = side ? 1.8 : 1.2;
    if (cutOff) { x0 = x1 + (x0 - x1) * .2; paint.setLineDash([2, 3]); }
    const length = Math.hypot(x1 - x0, y1 - y0) || 1, dx = (x1 - x0) / length, dy = (y1 - y0) / length;
    const tip = [x1 - dx * 4, y1 - dy * 4];
    paint.beginPath(); paint.moveTo(x0, y0); paint.lineTo(...tip); paint.stroke();
    paint.setLineDash([]);
    paint.beginPath();
    paint.moveTo(...tip);
    paint.lineTo(tip[0] - dx * 8 - dy * 3.2, tip[1] - dy * 8 + dx * 3.2);
    paint.lineTo(tip[0] - dx * 8 + dy * 3.2, tip[1] - dy * 8 - dx * 3.2);
    paint.fill();
  }

  // A message that nobody got, lost, cut off or under way at the end; or that arrives where we do not draw.
  drawUnheard(row, y) {
    const heard = !isUnheard(row);
    if (!["send", "fin", "rst"].includes(row.kind) || row.effects.some((effect) => this.position.has(effect))) return;
    const other = otherEnd(row);
    if (other === undefined || !this.laneOf.has(other)) return;
    const { paint, colors, state } = this;
    const x = this.x(row.host);
    const way = this.x(other) > x ? 8 : -Math.min(26, this.lane * .3); // to the right, the row's words begin soon
    paint.strokeStyle = heard ? colors.messages : colors.trouble;
    paint.globalAlpha = state.selected && !this.side(row) ? .15 : .85;
    paint.lineWidth = 1.3;
    paint.setLineDash(heard ? [2, 3] : []);
    paint.beginPath();
    paint.moveTo(x, y); paint.lineTo(x + way, y + 6);
    if (!heard) {
      paint.moveTo(x + way - 3, y + 3); paint.lineTo(x + way + 3, y + 9);
      paint.moveTo(x + way + 3, y + 3); paint.lineTo(x + way - 3, y + 9);
    }
    paint.stroke();
    paint.setLineDash([]);
  }

  drawRows() {
    const { paint, colors, state, shown, ys } = this;
    const written = new Map();
    for (let index = this.first; index < this.last; index++) {
      const row = shown[index], x = this.x(row.host), y = ys[index];
      const side = this.side(row), faint = state.selected && !side;
      const color = colors[groupOf(row.kind)];
      paint.globalAlpha = faint ? .25 : 1;
      if (state.found.has(row)) {
        paint.fillStyle = colors.found;
        paint.fillRect(x - 8, y - 7, this.lane * .75, 14);
      }
      this.mark(row, x, y, side ? [0, colors.past, colors.future][side] : color);
      if (row === state.selected || row === state.hovered) {
        paint.strokeStyle = colors.ink;
        paint.lineWidth = row === state.selected ? 2 : 1;
        paint.beginPath(); paint.arc(x, y, 7, 0, 7); paint.stroke();
      }
      const above = written.get(row.host) ?? -1e9;
      if (y - above >= 11 || row === state.hovered || row === state.selected) {
        written.set(row.host, y);
        const strong = row === state.hovered || row === state.selected || groupOf(row.kind) === "trouble";
        const ink = isUnheard(row) ? colors.trouble : groupOf(row.kind) === "messages" ? colors.ink : color;
        this.write(labelOf(row), x + 14, y, row.host === SCENARIO ? 1.35 * LANE_MIN : this.lane, ink,
          `${strong ? "600 " : ""}11px system-ui, sans-serif`);
      }
    }
    paint.globalAlpha = 1;
  }

  mark(row, x, y, color) {
    const { paint } = this;
    const small = Math.min(1, .55 + this.line / 35);
    paint.fillStyle = paint.strokeStyle = color;
    paint.lineWidth = 2;
    paint.beginPath();
    switch (groupOf(row.kind)) {
      case "messages": paint.arc(x, y, 3 * small, 0, 7); paint.fill(); break;
      case "disk": paint.moveTo(x - 7 * small, y); paint.lineTo(x + 7 * small, y); paint.stroke(); break;
      case "life": paint.moveTo(x - 4, y - 4); paint.lineTo(x + 4, y - 4); paint.lineTo(x, y + 4); paint.fill(); break;
      case "trouble":
        paint.moveTo(x - 4, y - 4); paint.lineTo(x + 4, y + 4);
        paint.moveTo(x + 4, y - 4); paint.lineTo(x - 4, y + 4);
        paint.stroke(); break;
      default: paint.rect(x - 3 * small, y - 3 * small, 6 * small, 6 * small); paint.fill();
    }
  }

  write(text, x, y, lane, color, font) {
    const { paint, colors } = this;
    const room = lane * .72;
    paint.font = font;
    paint.textAlign = "left";
    paint.textBaseline = "middle";
    if (text.length * 4 > room && paint.measureText(text).width > room) {
      while (text.length > 1 && paint.measureText(`${text}…`).width > room) text = text.slice(0, -1);
      text += "…";
    }
    const alpha = paint.globalAlpha;
    paint.globalAlpha = .82; // arrows pass behind the words
    paint.fillStyle = colors.paper;
    paint.fillRect(x - 2, y - 6.5, paint.measureText(text).width + 4, 13);
    paint.globalAlpha = alpha;
    paint.fillStyle = color;
    paint.fillText(text, x, y);
  }

  drawFailure(width) {
    const { paint, colors } = this;
    const index = failure && failure.row ? this.search((i) => this.shown[i].n >= failure.row.n) : -1;
    if (index < 0 || !this.shown.length) return;
    const down = index < this.shown.length ? this.ys[index] : this.ys[this.shown.length - 1] + 14;
    const y = down + HEAD - this.top;
    paint.strokeStyle = paint.fillStyle = colors.failure;
    paint.lineWidth = 2;
    paint.setLineDash([7, 3]);
    paint.beginPath(); paint.moveTo(0, y + 9); paint.lineTo(width, y + 9); paint.stroke();
    paint.setLineDash([]);
    if (this.laneOf.has(failure.host)) {
      const x = this.x(failure.host) - this.scroller.scrollLeft;
      paint.beginPath(); paint.arc(x, y, 9, 0, 7); paint.lineWidth = 2.5; paint.stroke();
    }
    paint.font = "600 12px system-ui, sans-serif";
    let words = `✖ ${failure.words}`;
    const room = width - 30;
    while (words.length > 9 && paint.measureText(words).width > room) words = `${words.slice(0, -2)}…`;
    const size = paint.measureText(words).width + 14;
    paint.fillRect(4, y + 9, size, 18);
    paint.fillStyle = colors.paper;
    paint.textAlign = "left";
    paint.textBaseline = "middle";
    paint.fillText(words, 11, y + 18.5);
  }

  drawTimes(height) {
    const { paint, colors, shown, ys } = this;
    paint.fillStyle = colors.paper;
    paint.globalAlpha = .9;
    paint.fillRect(0, HEAD, GUTTER - 22, height);
    paint.globalAlpha = 1;
    paint.font = "10.5px ui-monospace, 'DejaVu Sans Mono', monospace";
    paint.textAlign = "right";
    paint.textBaseline = "middle";
    const failed = failure && failure.row && this.position.has(failure.row) ? ys[this.position.get(failure.row)] : -1e9;
    let written = -1e9, text = "";
    for (let index = this.first; index < this.last; index++) {
      const y = ys[index] + HEAD - this.top;
      const now = clockTime(shown[index].time).slice(0, -4);
      const hidden = ys[index] - failed > 0 && ys[index] - failed < 30;
      if (y - written < 12 || now === text || hidden) continue;
      const silence = index ? shown[index].time - shown[index - 1].time : 0;
      paint.fillStyle = colors.quiet;
      paint.fillText(now, GUTTER - 26, y);
      if (silence > GAP_NS && ys[index] - ys[index - 1] > this.line + 10) {
        paint.fillStyle = colors.accent;
        paint.fillText(`+ ${duration(silence)}`, GUTTER - 26, y - 13);
      }
      written = y;
      text = now;
    }
  }

  drawHeads(width) {
    const { paint, colors, scroller } = this;
    paint.fillStyle = colors.panel;
    paint.fillRect(0, 0, width, HEAD);
    paint.fillStyle = colors.line;
    paint.fillRect(0, HEAD - 1, width, 1);
    paint.textBaseline = "middle";
    paint.font = "11px system-ui, sans-serif";
    paint.fillStyle = colors.quiet;
    paint.textAlign = "right";
    paint.fillText("seconds", GUTTER - 26, HEAD / 2);
    paint.textAlign = "center";
    for (const host of this.lanes) {
      const failed = failure && failure.host === host && host !== SCENARIO;
      paint.font = `${host === SCENARIO ? "italic" : "600"} 13px system-ui, sans-serif`;
      paint.fillStyle = failed ? colors.failure : colors.ink;
      const x = this.x(host) - scroller.scrollLeft;
      if (x > GUTTER - 30) paint.fillText(nameOf(host), host === SCENARIO ? x + 16 : x, HEAD / 2, this.lane - 8);
    }
  }

  // The row that is drawn nearest to a point of the canvas, or null.
  rowAt(x, y) {
    if (y < HEAD) return null;
    const down = y - HEAD + this.scroller.scrollTop, across = x + this.scroller.scrollLeft;
    const from = this.search((index) => this.ys[index] >= down - 12);
    let best = null, nearest = Infinity;
    for (let index = from; index < this.shown.length && this.ys[index] <= down + 12; index++) {
      const row = this.shown[index];
      const dx = across - this.x(row.host), dy = Math.abs(this.ys[index] - down);
      const aside = dx > -10 && dx < this.lane * .7 ? Math.abs(dx) / 50 : Infinity;
      if (dy + aside < nearest) [best, nearest] = [row, dy + aside];
    }
    return best;
  }

  yOf(row) {
    const index = this.position.get(row);
    return index === undefined ? null : this.ys[index];
  }
}
