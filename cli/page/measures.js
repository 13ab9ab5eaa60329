/* SPDX-License-Identifier: Apache-2.0 */
/* Heads in words: their names, their kinds, and the numbers that these come from. */
const KINDS = {
  previous: ["previous token", "on the token before"],
  next: ["next token", "on the token after"],
  first: ["first token", "on the first token"],
  self: ["self", "on the token itself"],
  separator: ["separator", "on separators"],
  duplicate: ["duplicate token", "on others of its token"],
  induction: ["induction", "after an earlier one of its token"],
  local: ["local", `at most ${data.near} away`],
  broad: ["broad", ""],
  mixed: ["mixed", ""],
};

function percent(share) {
  return `${Math.round(100 * share)}\u00a0%`;
}

/* "1 head", "2 heads" */
function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/* An element with properties, class names among them, and children. */
function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name in made) {
      made[name] = value;
    } else {
      made.setAttribute(name, value);
    }
  }
  made.append(...children);
  return made;
}

function headName(head) {
  const [layer, number] = data.heads[head];
  return `Layer ${layer}, head ${number}`;
}

/* "previous token, mean entropy 1.234 nats, 45 % of the most" */
function describeHead(sentence, head) {
  const summary = summaryOf(sentence, head);
  const kind = KINDS[summary.kind][0];
  const entropy = `mean entropy ${summary.entropy.toFixed(3)}\u00a0nats`;
  return `${kind}, ${entropy}, ${percent(summary.spread)} of the most`;
}

/* The same of all sentences, one after the other. */
function describeAll(head) {
  const parts = data.sentences.map((_, sentence) => describeHead(sentence, head));
  if (parts.length === 1) {
    return parts[0];
  }
  return parts.map((part, index) => `sentence ${index + 1}: ${part}`).join("; ");
}

/* A table of where the head's weight lies, beside where that of even attention would. A place that
 * the text doesn't have is left out. */
function measuresTable(sentence, index) {
  const summary = summaryOf(sentence, index);
  const even = evenOf(sentence);
  const places = [...summary.mass.keys()].filter((place) => summary.mass[place] !== null);
  const rows = places.map((place) => {
    const mass = summary.mass[place];
    const kind = data.kinds[place];
    const excess = even[place] < 1 ? (mass - even[place]) / (1 - even[place]) : 0;
    return element(
      "tr",
      { className: kind === summary.kind ? "chosen" : "" },
      element("th", { scope: "row" }, KINDS[kind][1]),
      element("td", null, percent(mass)),
      element("td", null, percent(even[place])),
      element("td", null, (Math.round(100 * excess) / 100 || 0).toFixed(2)),
    );
  });
  const names = ["Mean weight", "head", "even", "excess"];
  const heading = names.map((name) => element("th", { scope: "col" }, name));
  const head = element("thead", null, element("tr", null, ...heading));
  return element("table", { className: "measures" }, head, element("tbody", null, ...rows));
}

function rulesText() {
  return (
    "Excess is (head − even) ÷ (1 − even), where even attention gives every key in sight the " +
    "same weight. The kind is the place with the largest excess, but for local, if it reaches " +
    `${data.excess}, else local if that does, else broad if the rows’ entropy reaches ` +
    `${percent(data.spread)} of the most, else mixed. Places are left out that the text doesn’t ` +
    `have; repeated tokens need ${data.repeats} rows. All numbers are of single tokens.`
  );
}
