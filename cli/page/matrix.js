/* SPDX-License-Identifier: Apache-2.0 */
/* The matrix of one sentence's weights, with labels, and with the chosen row and column marked. */
const LARGEST_CELL = 30;
const LABEL_FONT = "12px system-ui, sans-serif";
const LABEL_HEIGHT = 13;
const LONGEST_LABEL = 92;

class Matrix {
  constructor(weights, found, choose) {
    this.weights = weights;
    this.found = found;
    this.choice = { query: null, key: null };
    this.map = element("canvas");
    paintWeights(this.map, weights, 1);
    this.canvas = element("canvas", { ariaHidden: "true" });
    this.box = element("div", { className: "matrix", role: "application", tabIndex: 0 });
    this.box.append(this.canvas);
    const size = `${weights.count} by ${weights.count}`;
    this.box.ariaLabel = `Matrix of ${size} weights: rows queries, columns keys; arrows move`;
    const point = (event, passing) => {
      const cell = this.cellAt(event);
      if (cell) {
        choose(cell, passing);
      }
    };
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") {
        point(event, true);
      }
    });
    const leave = () => choose({ query: null, key: null }, true);
    this.canvas.addEventListener("pointerleave", leave);
    this.canvas.addEventListener("click", (event) => point(event, false));
    this.box.addEventListener("keydown", (event) => this.move(event, choose));
  }

  move(event, choose) {
    const last = this.weights.count - 1;
    const query = this.choice.query ?? (event.key === "ArrowDown" ? -1 : 0);
    const key = this.choice.key ?? (event.key === "ArrowRight" ? -1 : 0);
    const steps = {
      ArrowUp: [Math.max(query - 1, 0), key],
      ArrowDown: [Math.min(query + 1, last), key],
      ArrowLeft: [query, Math.max(key - 1, 0)],
      ArrowRight: [query, Math.min(key + 1, last)],
      Home: [query, 0],
      End: [query, last],
    };
    if (event.key in steps) {
      event.preventDefault();
      const [row, column] = steps[event.key].map((index) => Math.max(index, 0));
      choose({ query: row, key: column }, false);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose({ query: null, key: null }, false);
    }
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const key = Math.floor((event.clientX - box.left - this.left) / this.cell);
    const query = Math.floor((event.clientY - box.top - this.top) / this.cell);
    const inside = Math.min(query, key) >= 0 && Math.max(query, key) < this.weights.count;
    return inside ? { query, key } : null;
  }

  show(choice) {
    this.choice = choice;
    this.draw();
  }

  /* As much of a name as fits. */
  clip(context, name) {
    let shown = name;
    while (shown.length > 1 && context.measureText(shown).width > LONGEST_LABEL - 10) {
      shown = `${shown.slice(0, shown.length - (shown.endsWith("…") ? 2 : 1))}…`;
    }
    return shown;
  }

  measure(context, width) {
    if (!this.labels) {
      context.font = LABEL_FONT;
      this.labels = this.weights.words.map((word) => this.clip(context, word.name));
      const widths = this.labels.map((label) => context.measureText(label).width);
      this.left = this.top = Math.ceil(Math.max(...widths)) + 10;
    }
    this.cell = Math.min((width - this.left - 1) / this.weights.count, LARGEST_CELL);
    this.size = this.cell * this.weights.count;
  }

  draw() {
    const width = this.box.clientWidth;
    const context = this.canvas.getContext("2d");
    this.measure(context, width);
    const scale = devicePixelRatio;
    const height = Math.ceil(this.top + this.size + 2);
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.canvas.style.height = `${height}px`;
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.map, this.left, this.top, this.size, this.size);
    this.colors = pageColors();
    this.drawLabels(context);
    this.drawChoice(context);
  }

  /* Every label, or every second, third and so on where rows are narrow. */
  drawLabels(context) {
    const step = Math.ceil(LABEL_HEIGHT / this.cell);
    context.font = LABEL_FONT;
    context.textBaseline = "middle";
    for (let index = 0; index < this.weights.count; index += step) {
      const { query, key } = this.choice;
      const near = (chosen) => chosen !== null && Math.abs(index - chosen) < step;
      const found = this.weights.words[index].tokens.some((token) => this.found.has(token));
      const color = found ? "ink" : "soft";
      if (!near(query)) {
        this.drawLabel(context, index, false, color);
      }
      if (!near(key)) {
        this.drawLabel(context, index, true, color);
      }
    }
    if (this.choice.query !== null) {
      this.drawLabel(context, this.choice.query, false, "query");
    }
    if (this.choice.key !== null) {
      this.drawLabel(context, this.choice.key, true, "key");
    }
  }

  drawLabel(context, index, column, color) {
    const at = (index + 0.5) * this.cell;
    context.save();
    context.fillStyle = this.colors[color];
    if (column) {
      context.translate(this.left + at, this.top - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
    } else {
      context.translate(this.left - 6, this.top + at);
      context.textAlign = "right";
    }
    context.fillText(this.labels[index], 0, 0);
    context.restore();
  }

  drawChoice(context) {
    const { query, key } = this.choice;
    const thick = Math.max(this.cell, 3);
    context.lineWidth = 1.5;
    if (query !== null) {
      const y = this.top + (query + 0.5) * this.cell - thick / 2;
      context.strokeStyle = this.colors.query;
      context.strokeRect(this.left, y, this.size, thick);
    }
    if (key !== null) {
      const x = this.left + (key + 0.5) * this.cell - thick / 2;
      context.strokeStyle = this.colors.key;
      context.strokeRect(x, this.top, thick, this.size);
    }
  }
}
