/* SPDX-License-Identifier: Apache-2.0 */
/* Lines between words: queries on the left, keys on the right. */
const FAINTEST = 0.02; /* of the largest weight: what is fainter has no line */
const MOST_LINES = 3000;
const STEPS = 1000; /* that tell weights apart, up to the largest */
const FEW_WORDS = 40; /* have tall rows */

/* The lines that show without a word chosen, the faintest first. Of equal steps of weight, as many
 * as there is room for. */
function listLines(weights) {
  const stepOf = (weight) => Math.floor((STEPS * weight) / weights.largest);
  const counts = new Uint32Array(STEPS + 1);
  const lines = [];
  if (weights.largest === 0) {
    return lines;
  }
  weights.values.forEach((weight) => counts[stepOf(weight)]++);
  let least = STEPS;
  let room = MOST_LINES;
  while (least > FAINTEST * STEPS && counts[least] <= room) {
    room -= counts[least--];
  }
  for (let query = 0; query < weights.rows; query++) {
    for (let key = 0; key < weights.columns; key++) {
      const weight = weights.at(query, key);
      const step = stepOf(weight);
      if (step > least || (step === least && room-- > 0)) {
        lines.push({ query, key, weight });
      }
    }
  }
  return lines.sort((a, b) => a.weight - b.weight);
}

/* The view of one sentence's lines; `choose` is told which word is hovered or moved to. */
class Lines {
  constructor(weights, found, choose) {
    this.weights = weights;
    this.all = listLines(weights);
    this.choice = { query: null, key: null };
    this.longest = Math.max(weights.rows, weights.columns);
    this.row = this.longest <= FEW_WORDS ? 28 : 22;
    this.canvas = element("canvas", { ariaHidden: "true" });
    this.wires = element("div", { className: "wires" }, this.canvas);
    this.sides = {
      query: this.makeSide("query", "queries", found.queries, choose),
      key: this.makeSide("key", "keys", found.keys, choose),
    };
    this.box = element("div", { className: "lines" });
    this.box.classList.toggle("scrolling", this.longest > FEW_WORDS);
    this.box.append(this.sides.query, this.wires, this.sides.key);
    this.box.style.setProperty("--row", `${this.row}px`);
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.box.addEventListener("pointerleave", () => choose({ query: null, key: null }, true));
  }

  makeSide(side, name, found, choose) {
    const list = element("div", { className: `words ${name}`, role: "listbox", tabIndex: 0 });
    const title = side === "query" ? "Queries" : "Keys";
    list.ariaLabel = `${title}; up and down choose a word, left and right the other side`;
    this.weights[name].forEach((word, index) => {
      const option = element(
        "div",
        { className: "word", role: "option", id: `${name}${Lines.made++}`, ariaSelected: "false" },
        element("span", { className: "name", title: word.name }, word.name),
        element("span", { className: "number" }),
      );
      option.classList.toggle("found", word.tokens.some((token) => found.has(token)));
      option.dataset.index = index;
      list.append(option);
    });
    const wordAt = (target) => target.closest(".word")?.dataset.index;
    const only = (index) => ({ query: null, key: null, [side]: Number(index) });
    list.addEventListener("pointerover", (event) => {
      const index = wordAt(event.target);
      if (index !== undefined && event.pointerType === "mouse") {
        choose(only(index), true);
      }
    });
    list.addEventListener("click", (event) => {
      const index = wordAt(event.target);
      if (index !== undefined) {
        choose(only(index), false);
      }
    });
    list.addEventListener("keydown", (event) => this.move(event, side, choose));
    return list;
  }

  move(event, side, choose) {
    const here = this.choice[side] ?? -1;
    const count = { query: this.weights.rows, key: this.weights.columns };
    const last = count[side] - 1;
    const other = side === "query" ? "key" : "query";
    const steps = {
      ArrowUp: Math.max(here - 1, 0),
      ArrowDown: Math.min(here + 1, last),
      Home: 0,
      End: last,
    };
    if (event.key in steps) {
      choose({ query: null, key: null, [side]: steps[event.key] }, false);
    } else if (event.key === (side === "query" ? "ArrowRight" : "ArrowLeft")) {
      choose({ query: null, key: null, [other]: clamp(here, 0, count[other] - 1) }, false);
      this.sides[other].focus();
    } else if (event.key === "Enter" || event.key === " ") {
      choose({ query: null, key: null }, false);
    } else if (!event.key.startsWith("Arrow")) {
      return;
    }
    event.preventDefault();
  }

  /* Shows the lines and numbers of the chosen query, key or both; of all words if there is none. */
  show(choice, scroll) {
    this.choice = choice;
    for (const [side, list] of Object.entries(this.sides)) {
      const other = side === "query" ? choice.key : choice.query;
      [...list.children].forEach((option, index) => {
        const active = choice[side] === index;
        option.classList.toggle("active", active);
        option.ariaSelected = String(active);
        const [query, key] = side === "query" ? [index, other] : [other, index];
        const seen = other !== null && this.weights.sees(query, key);
        const weight = seen ? this.weights.at(query, key) : 0;
        option.style.setProperty("--level", weight / this.weights.largest);
        const text = weight < 0.001 ? "< 0.001" : this.weights.text(query, key);
        option.lastChild.textContent = seen ? text : "";
        if (active) {
          list.setAttribute("aria-activedescendant", option.id);
          if (scroll) {
            this.reveal(index);
          }
        }
      });
      if (choice[side] === null) {
        list.removeAttribute("aria-activedescendant");
      }
    }
    this.draw();
  }

  reveal(index) {
    const top = index * this.row;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) {
      this.box.scrollTop = top;
    } else if (top + this.row > scrollTop + clientHeight) {
      this.box.scrollTop = top + this.row - clientHeight;
    }
  }

  chosenLines() {
    const { query, key } = this.choice;
    if (query === null && key === null) {
      return this.all;
    }
    const lines = [];
    const others = query === null ? this.weights.rows : this.weights.columns;
    for (let other = 0; other < others; other++) {
      const [q, k] = query === null ? [other, key] : [query, key === null ? other : key];
      const weight = this.weights.at(q, k);
      if (weight > 0) {
        lines.push({ query: q, key: k, weight });
      }
      if (query !== null && key !== null) {
        break;
      }
    }
    return lines.sort((a, b) => a.weight - b.weight);
  }

  /* Draws what is in sight of the scrolled list. */
  draw() {
    const height = Math.min(this.box.clientHeight, this.longest * this.row);
    this.wires.style.height = `${height}px`;
    const width = this.wires.clientWidth;
    const scale = devicePixelRatio;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    const top = this.box.scrollTop;
    const single = this.choice.query !== null || this.choice.key !== null;
    context.strokeStyle = pageColors()[this.choice.query === null && single ? "key" : "query"];
    context.lineWidth = single ? 2.5 : 1.75;
    for (const line of this.chosenLines()) {
      const left = (line.query + 0.5) * this.row - top;
      const right = (line.key + 0.5) * this.row - top;
      if (Math.max(left, right) < 0 || Math.min(left, right) > height) {
        continue;
      }
      context.globalAlpha = line.weight / this.weights.largest;
      context.beginPath();
      context.moveTo(2, left);
      context.bezierCurveTo(width * 0.4, left, width * 0.6, right, width - 2, right);
      context.stroke();
    }
  }
}
Lines.made = 0;
