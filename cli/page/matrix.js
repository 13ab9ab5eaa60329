/* SPDX-License-Identifier: Apache-2.0 */
/* The matrix of one sentence's weights, with labels, and with the chosen row and column marked. */
const LARGEST_CELL = 30;
const LABEL_FONT = "12px system-ui, sans-serif";
const LABEL_HEIGHT = 13;
const LONGEST_LABEL = 92;
const LARGEST_CANVAS = 16384; /* pixels of a side, which browsers allow */
const HIGHEST = 2; /* of the width */

class Matrix {
  constructor(weights, found, choose) {
    this.weights = weights;
    this.found = found;
    this.choice = { query: null, key: null };
    this.map = element("canvas");
    paintWeights(this.map, weights, LARGEST_CANVAS);
    this.canvas = element("canvas", { ariaHidden: "true" });
    this.box = element("div", { className: "matrix", role: "application", tabIndex: 0 });
    this.box.append(this.canvas);
    const size = `${weights.rows} by ${weights.columns}`;
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
    const [bottom, end] = [this.weights.rows - 1, this.weights.columns - 1];
    const query = this.choice.query ?? (event.key === "ArrowDown" ? -1 : 0);
    const key = this.choice.key ?? (event.key === "ArrowRight" ? -1 : 0);
    const steps = {
      ArrowUp: [Math.max(query - 1, 0), key],
      ArrowDown: [Math.min(query + 1, bottom), key],
      ArrowLeft: [query, Math.max(key - 1, 0)],
      ArrowRight: [query, Math.min(key + 1, end)],
      Home: [query, 0],
      End: [query, end],
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
    const key = Math.floor((event.clientX - box.left - this.left) / this.across);
    const query = Math.floor((event.clientY - box.top - this.top) / this.down);
    const { rows, columns } = this.weights;
    const inside = Math.min(query, key) >= 0 && query < rows && key < columns;
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
      const clip = (word) => this.clip(context, word.name);
      this.labels = SIDES.map((side) => this.weights[side].map(clip));
      const widest = (most, label) => Math.max(most, context.measureText(label).width);
      [this.left, this.top] = this.labels.map((all) => Math.ceil(all.reduce(widest, 0)) + 10);
    }
    const { rows, columns } = this.weights;
    this.across = Math.min((width - this.left - 1) / columns, LARGEST_CELL);
    this.down = Math.min(this.across, (HIGHEST * width) / rows);
    this.width = this.across * columns;
    this.height = this.down * rows;
  }

  draw() {
    const width = this.box.clientWidth;
    const context = this.canvas.getContext("2d");
    this.measure(context, width);
    const scale = devicePixelRatio;
    const height = Math.ceil(this.top + this.height + 2);
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.canvas.style.height = `${height}px`;
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.map, this.left, this.top, this.width, this.height);
    this.colors = pageColors();
    this.drawLabels(context);
    this.drawChoice(context);
  }

  drawLabels(context) {
    context.font = LABEL_FONT;
    context.textBaseline = "middle";
    this.drawSide(context, false, this.choice.query, this.found.queries);
    this.drawSide(context, true, this.choice.key, this.found.keys);
  }

  /* Every label, or every second, third and so on where rows are narrow. */
  drawSide(context, column, chosen, found) {
    const words = this.weights[column ? "keys" : "queries"];
    const step = Math.ceil(LABEL_HEIGHT / (column ? this.across : this.down));
    for (let index = 0; index < words.length; index += step) {
      if (chosen === null || Math.abs(index - chosen) >= step) {
        const marked = words[index].tokens.some((token) => found.has(token));
        this.drawLabel(context, index, column, marked ? "ink" : "soft");
      }
    }
    if (chosen !== null) {
      this.drawLabel(context, chosen, column, column ? "key" : "query");
    }
  }

  drawLabel(context, index, column, color) {
    context.save();
    context.fillStyle = this.colors[color];
    if (column) {
      context.translate(this.left + (index + 0.5) * this.across, this.top - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
    } else {
      context.translate(this.left - 6, this.top + (index + 0.5) * this.down);
      context.textAlign = "right";
    }
    context.fillText(this.labels[Number(column)][index], 0, 0);
    context.restore();
  }

  drawChoice(context) {
    const { query, key } = this.choice;
    context.lineWidth = 1.5;
    if (query !== null) {
      const thick = Math.max(this.down, 3);
      const y = this.top + (query + 0.5) * this.down - thick / 2;
      context.strokeStyle = this.colors.query;
      context.strokeRect(this.left, y, this.width, thick);
    }
    if (key !== null) {
      const thick = Math.max(this.across, 3);
      const x = this.left + (key + 0.5) * this.across - thick / 2;
      context.strokeStyle = this.colors.key;
      context.strokeRect(x, this.top, thick, this.height);
    }
  }
}
