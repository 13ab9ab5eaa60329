/* SPDX-License-Identifier: Apache-2.0 */
/* One head: for every sentence its numbers, lines and matrix, which show the same choice. */
const STRONGEST = 5; /* words that the readout lists */
const NOTHING = { query: null, key: null };
let views = [];

function describeRest(weights) {
  const largest = significant(weights.largest, weights.exact ? 4 : 3);
  const counts = `${weights.rows} × ${weights.columns} weights, the largest ${largest}`;
  return `${counts}. Point at a word or tap it, or use the arrow keys.${groupText()}`;
}

/* The strongest of a row or column in words: "animal 0.6831 · was 0.0712". */
function listStrongest(weights, entries) {
  return entries
    .filter(([query, key]) => weights.sees(query, key))
    .sort((a, b) => weights.at(...b) - weights.at(...a))
    .slice(0, STRONGEST)
    .map(([query, key, word]) => `${word.name} ${weights.text(query, key)}`)
    .join(" · ");
}

/* What the choice means, in words. */
function describeChoice(weights, { query, key }) {
  if (query === null && key === null) {
    return describeRest(weights);
  }
  if (key === null) {
    const strongest = listStrongest(weights, weights.keys.map((word, k) => [query, k, word]));
    const entropy = `entropy ${weights.entropy(query)} nats`;
    return `“${weights.queries[query].name}” attends to ${strongest}; ${entropy}`;
  }
  if (query === null) {
    const strongest = listStrongest(weights, weights.queries.map((word, q) => [q, key, word]));
    return `“${weights.keys[key].name}” gets most from ${strongest}`;
  }
  const names = `“${weights.queries[query].name}” to “${weights.keys[key].name}”`;
  const [first] = weights.sights[query];
  const hidden = `out of sight, it comes ${key < first ? "too early" : "later"}`;
  return `${names}: ${weights.sees(query, key) ? weights.text(query, key) : hidden}`;
}

/* The view of one sentence. A click or a key holds the choice; passing over words is for a moment. */
class SentenceView {
  constructor(sentence) {
    this.sentence = sentence;
    this.weights = new Weights(sentence, state.head, state.view, state.merged);
    this.held = NOTHING;
    this.choice = NOTHING;
    const found = Object.fromEntries(SIDES.map((side) => [side, foundTokens(sentence, side)]));
    const choose = (choice, passing) => this.choose(choice, passing);
    this.lines = new Lines(this.weights, found, choose);
    this.matrix = new Matrix(this.weights, found, choose);
    this.readout = element("p", { className: "readout", ariaLive: "polite" });
    this.box = element("section", { className: "sentence" }, ...this.content());
    this.box.ariaLabel = `Sentence ${sentence + 1}`;
  }

  content() {
    const panel = (title, note, view) => {
      const heading = element("h4", null, title, element("span", { className: "soft" }, note));
      return element("div", { className: "panel" }, heading, view.box);
    };
    const question = "Where the weight lies, and why it is of this kind";
    const details = element("details", null, element("summary", null, question));
    details.append(measuresTable(this.sentence, state.head));
    details.append(element("p", { className: "rule" }, rulesText()));
    details.open = state.details;
    details.addEventListener("toggle", () => (state.details = details.open));
    return [
      element("h3", null, data.sentences[this.sentence].text),
      element("p", { className: "summary soft" }, describeHead(this.sentence, state.head)),
      details,
      this.readout,
      element(
        "div",
        { className: "pair" },
        panel("Query → key", this.lineNote(), this.lines),
        panel("Matrix", "rows: queries, columns: keys", this.matrix),
      ),
    ];
  }

  lineNote() {
    const shown = this.lines.all.length;
    return shown === MOST_LINES ? `the ${shown} strongest` : "opacity: weight, to the largest";
  }

  choose(choice, passing) {
    const none = choice.query === null && choice.key === null;
    if (!passing) {
      this.held = choice;
    }
    this.show(passing && none ? this.held : choice, !passing);
  }

  show(choice, scroll) {
    if (choice.query === this.choice.query && choice.key === this.choice.key && !scroll) {
      return;
    }
    this.choice = choice;
    this.readout.textContent = describeChoice(this.weights, choice);
    this.lines.show(choice, scroll);
    this.matrix.show(choice);
  }
}

/* Shows the head of the state afresh; `choices` are held from before. */
function updateHead(choices = []) {
  document.getElementById("title").textContent = headName(state.head);
  views = data.sentences.map((_, sentence) => new SentenceView(sentence));
  document.getElementById("sentences").replaceChildren(...views.map((view) => view.box));
  views.forEach((view, index) => view.choose(choices[index] ?? NOTHING, false));
}

function redrawHead() {
  views.forEach((view) => {
    view.lines.draw();
    view.matrix.draw();
  });
}
