/* SPDX-License-Identifier: Apache-2.0 */
/* The grid of all heads: made once, then sorted; maps are drawn as they come into sight. */
const LARGEST_MAP = 128; /* pixels; more tokens than that share them */
const DRAW_BUDGET = 10; /* milliseconds of a frame that may go into drawing */

const grid = document.getElementById("grid");
const headCount = data.heads.length;
const cells = [];
const inSight = new Set();
const waiting = new Set();
let current = 0; /* the head that Tab leads to */

const observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const head = Number(entry.target.dataset.head);
      if (entry.isIntersecting) {
        inSight.add(head);
        draw(head);
      } else {
        inSight.delete(head);
      }
    }
  },
  { rootMargin: "200px" },
);

function makeCell(head) {
  const maps = element("div", { className: "maps" });
  data.sentences.forEach(() => {
    maps.append(element("canvas", { ariaHidden: "true" }));
    maps.append(element("div", { className: "share", hidden: true }));
  });
  const caption = element("div", { className: "caption" });
  caption.append(element("span"), element("span", { className: "soft score" }));
  const cell = element("div", { className: "cell", role: "gridcell", tabIndex: -1 }, maps, caption);
  cell.dataset.head = head;
  cell.addEventListener("click", () => openHead(head));
  cell.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && showTip(head));
  cell.addEventListener("pointerleave", hideTip);
  cell.addEventListener("focus", () => {
    setCurrent(head);
    if (cell.matches(":focus-visible")) {
      showTip(head);
    }
  });
  cell.addEventListener("blur", hideTip);
  observer.observe(cell);
  return cell;
}

function setCurrent(head) {
  cells[current].tabIndex = -1;
  current = head;
  cells[current].tabIndex = 0;
}

/* Draws a head's maps in this frame or in one of the next. */
function draw(head) {
  if (waiting.size === 0) {
    requestAnimationFrame(drawWaiting);
  }
  waiting.add(head);
}

function drawWaiting() {
  const end = performance.now() + DRAW_BUDGET;
  for (const head of waiting) {
    waiting.delete(head);
    if (inSight.has(head)) {
      drawCell(head);
    }
    if (performance.now() > end) {
      break;
    }
  }
  if (waiting.size > 0) {
    requestAnimationFrame(drawWaiting);
  }
}

function drawCell(head) {
  const shown = `${state.view} ${state.cells} ${state.merged}`;
  const cell = cells[head];
  if (cell.dataset.shown === shown) {
    return;
  }
  cell.dataset.shown = shown;
  data.sentences.forEach((_, sentence) => {
    const [canvas, share] = [...cell.firstChild.children].slice(2 * sentence);
    canvas.hidden = state.cells !== "maps";
    share.hidden = !canvas.hidden;
    if (share.hidden) {
      const weights = new Weights(sentence, head, state.view, state.merged);
      paintWeights(canvas, weights, LARGEST_MAP);
    } else {
      const spread = summaryOf(sentence, head).spread;
      share.textContent = percent(spread);
      share.style.background = rampColor(spread);
      share.style.color = spread > 0.5 ? "#000" : "#fff";
    }
  });
}

/* The groups of heads in the order that is asked for: [heading, note, heads]. */
function sortedGroups() {
  const all = cells.map((_, head) => head);
  const by = (key) => (a, b) => key(a) - key(b) || a - b;
  const spread = (head) => meanOf((sentence) => summaryOf(sentence, head).spread);
  if (state.sort === "layer") {
    return [...new Set(data.heads.map(([layer]) => layer))].map((layer) => [
      `Layer ${layer}`,
      "",
      all.filter((head) => data.heads[head][0] === layer),
    ]);
  }
  if (state.sort === "entropy") {
    return [["Focused", "to broad", all.sort(by(spread))]];
  }
  if (state.sort === "search") {
    const attention = new Map(all.map((head) => [head, attentionToFound(head)]));
    return [["Most", "attention first", all.sort(by((head) => -attention.get(head)))]];
  }
  return data.kinds
    .map((kind, index) => {
      const heads = all.filter((head) => summaryOf(0, head).kind === kind);
      const strength = (head) => -(summaryOf(0, head).mass[index] ?? summaryOf(0, head).spread);
      const name = KINDS[kind][0];
      const title = name[0].toUpperCase() + name.slice(1);
      return [title, counted(heads.length, "head"), heads.sort(by(strength))];
    })
    .filter(([, , heads]) => heads.length > 0);
}

function labelCell(head) {
  const [name, score] = cells[head].lastChild.children;
  name.textContent = data.heads[head].join("·");
  let described = describeAll(head);
  if (state.sort === "search" && state.search.trim()) {
    const attention = attentionToFound(head).toFixed(3);
    score.textContent = attention;
    described += `, gives ${attention} to the search`;
  } else if (state.sort === "entropy" || (state.sort === "layer" && state.cells === "entropy")) {
    score.textContent = meanOf((s) => summaryOf(s, head).entropy).toFixed(2);
  } else {
    const kinds = new Set(data.sentences.map((_, sentence) => summaryOf(sentence, head).kind));
    score.textContent = [...kinds].join(", ");
  }
  cells[head].ariaLabel = `${headName(head)}: ${described}`;
}

/* Brings the grid up to date with the state. */
function updateGrid() {
  const focused = grid.contains(document.activeElement);
  grid.replaceChildren(
    ...sortedGroups().map(([heading, note, heads]) => {
      const title = element("h2", { role: "rowheader" }, heading);
      if (note) {
        title.append(element("span", { className: "soft" }, note));
      }
      const row = element("div", { className: "cells", role: "presentation" });
      row.append(...heads.map((head) => cells[head]));
      return element("div", { className: "group", role: "row" }, title, row);
    }),
  );
  cells.forEach((_, head) => labelCell(head));
  inSight.forEach(draw);
  if (focused) {
    cells[current].focus();
  }
  updateLegend();
}

function updateLegend() {
  const scale = element("span", { className: "scale", ariaHidden: "true" });
  const stops = Array.from({ length: 9 }, (_, i) => rampColor(i / 8));
  scale.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
  const legend = document.getElementById("legend");
  legend.replaceChildren();
  if (state.cells === "maps") {
    const pooled = data.sentences.some((sentence) =>
      SIDES.some((side) => sentence[side].tokens.length > LARGEST_MAP),
    );
    legend.append("Rows are queries, columns keys: 0", scale, "the head’s largest weight");
    legend.append(pooled ? "; of cells that share a pixel, the largest." : ".");
  } else {
    legend.append("Mean entropy of the rows, as a share of the most: 0 %, one key alone", scale);
    legend.append("100 %, all keys alike.");
  }
  const below = {
    kind: data.sentences.length > 1 ? "kind, sorted by that in sentence 1" : "kind",
    layer: "kind",
    entropy: "mean entropy in nats",
    search: state.search.trim() ? "attention to the search" : "kind",
  }[state.sort === "layer" && state.cells === "entropy" ? "entropy" : state.sort];
  legend.append(` Below: layer·head, ${below}.`, groupText());
}

/* What a cell stands for, if not for one token and one other. */
function groupText() {
  const size = data.group;
  const sums = "weights summed over the keys, and their mean over the queries";
  return size > 1 ? ` A weight is of ${size} queries and ${size} keys: ${sums}.` : "";
}

/* The nearest cell in the direction of an arrow key, as the grid lies now. */
function neighbour(from, key) {
  const order = [...grid.querySelectorAll(".cell")];
  const index = order.indexOf(cells[from]);
  if (key === "ArrowLeft" || key === "ArrowRight") {
    return order[index + (key === "ArrowLeft" ? -1 : 1)];
  }
  const here = cells[from].getBoundingClientRect();
  const way = key === "ArrowUp" ? -1 : 1;
  let best, least = Infinity;
  for (const cell of order) {
    const there = cell.getBoundingClientRect();
    const down = way * (there.top - here.top);
    const distance = 4 * down + Math.abs(there.left - here.left);
    if (down > here.height / 2 && distance < least) {
      [best, least] = [cell, distance];
    }
  }
  return best;
}

grid.addEventListener("keydown", (event) => {
  const order = grid.querySelectorAll(".cell");
  let target;
  if (event.key.startsWith("Arrow")) {
    target = neighbour(current, event.key);
  } else if (event.key === "Home") {
    target = order[0];
  } else if (event.key === "End") {
    target = order[order.length - 1];
  } else if (event.key === "Enter" || event.key === " ") {
    openHead(current);
  } else {
    return;
  }
  event.preventDefault();
  target?.focus();
});

const tip = document.getElementById("tip");

function showTip(head) {
  tip.replaceChildren(element("strong", null, headName(head)));
  data.sentences.forEach((sentence, index) => {
    const own = data.sentences.length > 1 ? `Sentence ${index + 1}: ` : "";
    tip.append(element("p", { className: "summary" }, own + describeHead(index, head)));
    tip.append(measuresTable(index, head));
  });
  tip.hidden = false;
  const cell = cells[head].getBoundingClientRect();
  const box = tip.getBoundingClientRect();
  const left = Math.min(cell.left, innerWidth - box.width - 8);
  const below = cell.bottom + 6 + box.height < innerHeight;
  tip.style.left = `${Math.max(left, 8)}px`;
  tip.style.top = `${below ? cell.bottom + 6 : Math.max(cell.top - box.height - 6, 8)}px`;
}

function hideTip() {
  tip.hidden = true;
}

for (let head = 0; head < headCount; head++) {
  cells.push(makeCell(head));
}
setCurrent(0);
