"use strict";
// The whole run at a glance: a strip a host, time to the right, what was broken, and where we are looking.

class Overview {
  constructor(canvas) {
    this.canvas = canvas;
    this.lanes = hosts.filter((host) => host !== SCENARIO);
    this.start = rows.length ? rows[0].time : 0;
    this.end = Math.max(this.start + 1, rows.length ? rows[rows.length - 1].time : 0);
    this.left = GUTTER;
  }

  draw(colors, view) {
    const strip = Math.max(4, Math.min(18, 110 / Math.max(1, this.lanes.length)));
    const height = Math.ceil(strip * this.lanes.length + 18);
    const paint = prepare(this.canvas, this.canvas.parentElement.clientWidth, height);
    this.width = this.canvas.parentElement.clientWidth - this.left - 8;
    paint.fillStyle = colors.paper;
    paint.fillRect(0, 0, this.canvas.width, height);
    paint.font = "11px system-ui, sans-serif";
    paint.textBaseline = "middle";
    this.lanes.forEach((host, lane) => this.strip(paint, colors, host, 2 + lane * strip, strip - 3));
    this.ticks(paint, colors, height);
    if (view) {
      const from = this.x(view.from), to = Math.max(from + 3, this.x(view.to));
      paint.fillStyle = colors.accent + "22";
      paint.strokeStyle = colors.accent;
      paint.fillRect(from, 0, to - from, height - 15);
      paint.strokeRect(from + .5, .5, to - from, height - 16);
    }
    if (failure && failure.row) {
      const x = this.x(failure.row.time);
      paint.fillStyle = colors.failure;
      paint.fillRect(x - 1, 0, 2, height - 15);
      paint.beginPath();
      paint.moveTo(x - 5, height - 8); paint.lineTo(x + 5, height - 8); paint.lineTo(x, height - 16);
      paint.fill();
    }
  }

  strip(paint, colors, host, top, height) {
    const columns = new Uint16Array(Math.ceil(this.width) + 1);
    for (const row of rows) if (row.host === host) columns[Math.floor(this.x(row.time) - this.left)]++;
    paint.fillStyle = colors.messages;
    columns.forEach((count, x) => {
      if (!count) return;
      paint.globalAlpha = Math.min(.75, .2 + count / 40);
      paint.fillRect(this.left + x, top + height * .3, 1, height * .4);
    });
    for (const band of bands) {
      if (band.host !== host) continue;
      const from = this.x(band.startTime), to = Math.max(from + 1, this.x(band.stopTime ?? this.end));
      const whole = band.kind === "down" || band.kind === "paused";
      paint.globalAlpha = whole ? .6 : .9;
      paint.fillStyle = colors[band.kind];
      if (whole) paint.fillRect(from, top, to - from, height);
      else paint.fillRect(from, band.kind === "cut" ? top : top + height - 1.5, to - from, 1.5);
    }
    paint.globalAlpha = 1;
    if (height < 8) return;
    paint.fillStyle = colors.ink;
    paint.textAlign = "right";
    paint.fillText(host, this.left - 8, top + height / 2, this.left - 12);
  }

  ticks(paint, colors, height) {
    const step = niceStep((this.end - this.start) / 8);
    paint.fillStyle = colors.quiet;
    paint.textAlign = "center";
    for (let time = Math.ceil(this.start / step) * step; time <= this.end; time += step) {
      const x = this.x(time);
      if (failure && failure.row && Math.abs(x - this.x(failure.row.time)) < 22) continue;
      paint.fillText(duration(time), x, height - 7);
    }
  }

  x(time) {
    return this.left + (time - this.start) / (this.end - this.start) * this.width;
  }

  timeAt(x) {
    return this.start + (x - this.left) / this.width * (this.end - this.start);
  }
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}
