/* SPDX-License-Identifier: Apache-2.0 */
/* The data of the page: weights are decoded when a head is looked at, a few heads are kept. */

const data = JSON.parse(document.getElementById("data").textContent);

/* A weight has four significant digits in 16 bits: see pack.h. */
const PER_DECADE = 9000;
const DECADES = 7;
const ONE = 1 + DECADES * PER_DECADE;
const VALUES = new Float64Array(ONE + 1);
for (let code = 1; code <= ONE; code++) {
  const digits = 1000 + ((code - 1) % PER_DECADE);
  const decade = Math.floor((code - 1) / PER_DECADE);
  VALUES[code] = digits / 10 ** (3 + DECADES - decade);
}

/* A number with so many significant digits, zeros at the end included. */
function significant(value, digits) {
  if (value === 0) {
    return "0";
  }
  const exponent = Number(value.toExponential(digits - 1).split("e")[1]);
  return exponent < -4 ? value.toExponential(digits - 1) : value.toFixed(digits - 1 - exponent);
}

const KEPT = 16;
const kept = new Map();

/* The numbers of one head in one view. */
function decode(sentence, head, view) {
  const id = `${view}-${sentence}-${data.heads[head].join("-")}`;
  let found = kept.get(id);
  if (!found) {
    const bytes = atob(document.getElementById(id).textContent);
    const numbers = new Uint16Array(bytes.length / 2);
    for (let i = 0; i < numbers.length; i++) {
      numbers[i] = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8);
    }
    const weights = numbers.length - data.sentences[sentence].queries.tokens.length;
    found = { codes: numbers.subarray(0, weights), entropies: numbers.subarray(weights) };
    if (kept.size >= KEPT) {
      kept.delete(kept.keys().next().value);
    }
    kept.set(id, found);
  }
  return found;
}

/* The words of the queries or keys, each with its tokens: one each, or those of a word together. */
function wordsOf(sentence, side, merged) {
  const { tokens, words } = data.sentences[sentence][side];
  if (!merged || !words) {
    return tokens.map((name, index) => ({ name, tokens: [index] }));
  }
  return words.map(([start, name], index) => {
    const end = words[index + 1]?.[0] ?? tokens.length;
    return { name, tokens: Array.from({ length: end - start }, (_, i) => start + i) };
  });
}

const SIDES = ["queries", "keys"];
const hasPieces = data.sentences.some((sentence) =>
  SIDES.some((side) => sentence[side].words?.length < sentence[side].tokens.length),
);

function clamp(number, least, most) {
  return Math.min(Math.max(number, least), most);
}

/* Which of the keys that are shown a query sees, from the first to before the end: see sight.h. */
function keysInSight(sentence, view, query) {
  const { counts, offset, keys } = data.sentences[sentence];
  const { causal, left, right } = data.sentences[sentence][view].sight;
  const position = offset + query;
  const later = right < 0 ? counts[1] - 1 : position + right;
  const end = Math.min(causal ? position : counts[1] - 1, later) + 1;
  const first = clamp((left < 0 ? 0 : position - left) - keys.first, 0, keys.count);
  return [first, clamp(end - keys.first, first, keys.count)];
}

/* The same for cells, of which each may be of several tokens. */
function cellsInSight(sentence, view, row) {
  const last = Math.min((row + 1) * data.group, data.sentences[sentence].counts[0]) - 1;
  const [first] = keysInSight(sentence, view, row * data.group);
  const [, end] = keysInSight(sentence, view, last);
  return end > first ? [Math.floor(first / data.group), Math.ceil(end / data.group)] : [0, 0];
}

/*
 * A head's weights between words. A word of several tokens gets the sum of what these get, and gives
 * the mean of what they give.
 */
class Weights {
  constructor(sentence, head, view, merged) {
    this.queries = wordsOf(sentence, "queries", merged);
    this.keys = wordsOf(sentence, "keys", merged);
    this.rows = this.queries.length;
    this.columns = this.keys.length;
    const { queries, keys } = data.sentences[sentence];
    this.exact = this.rows === queries.tokens.length && this.columns === keys.tokens.length;
    const block = decode(sentence, head, view);
    this.entropies = block.entropies;
    this.values = new Float32Array(this.rows * this.columns);
    this.sights = [];
    const wordOf = this.keys.flatMap((word, index) => word.tokens.map(() => index));
    let start = 0; /* of a row's codes */
    this.queries.forEach((word, query) => {
      let [low, high] = [Infinity, -1];
      for (const row of word.tokens) {
        const [first, end] = cellsInSight(sentence, view, row);
        for (let column = first; column < end; column++) {
          const value = VALUES[block.codes[start + column - first]];
          this.values[query * this.columns + wordOf[column]] += value / word.tokens.length;
        }
        start += end - first;
        low = end > first ? Math.min(low, wordOf[first]) : low;
        high = end > first ? Math.max(high, wordOf[end - 1]) : high;
      }
      this.sights.push([low, high]);
    });
    this.largest = this.values.reduce((most, value) => Math.max(most, value), 0);
  }

  at(query, key) {
    return this.values[query * this.columns + key];
  }

  sees(query, key) {
    return key >= this.sights[query][0] && key <= this.sights[query][1];
  }

  /* The weight as text: as it was rounded, or to three digits where weights were added. */
  text(query, key) {
    const value = this.at(query, key);
    return value > 0 && value < 1e-7 ? "0" : significant(value, this.exact ? 4 : 3);
  }

  /* The entropy of a row in nats: as C found it, or where rows were joined that of the result. */
  entropy(query) {
    if (this.exact) {
      return (this.entropies[query] / 1000).toFixed(3);
    }
    let entropy = 0;
    for (let key = 0; key < this.columns; key++) {
      const weight = this.at(query, key);
      entropy -= weight > 0 ? weight * Math.log(weight) : 0;
    }
    return Math.max(entropy, 0).toFixed(2);
  }
}

/* What C found out about a head in the view that is shown. */
function summaryOf(sentence, head) {
  return data.sentences[sentence][state.view].heads[head];
}

function evenOf(sentence) {
  return data.sentences[sentence][state.view].even;
}

/* The mean over sentences of a number of each. */
function meanOf(numberOf) {
  let sum = 0;
  data.sentences.forEach((_, sentence) => (sum += numberOf(sentence)));
  return sum / data.sentences.length;
}

/* Which tokens of one side belong to a word that contains what is wanted. */
function findTokens(sentence, side, wanted) {
  const found = new Set();
  for (const merged of wanted ? [false, true] : []) {
    for (const word of wordsOf(sentence, side, merged)) {
      if (word.name.toLowerCase().includes(wanted)) {
        word.tokens.forEach((token) => found.add(token));
      }
    }
  }
  return found;
}

/* Those that the search finds; kept until it changes. */
const lastFound = { wanted: null, tokens: [] };
function foundTokens(sentence, side) {
  const wanted = state.search.trim().toLowerCase();
  if (lastFound.wanted !== wanted) {
    lastFound.wanted = wanted;
    lastFound.tokens = data.sentences.map((_, index) =>
      Object.fromEntries(SIDES.map((name) => [name, findTokens(index, name, wanted)])),
    );
  }
  return lastFound.tokens[sentence][side];
}

/* The mean weight that the found tokens get together from a query that sees them. */
function attentionToFound(head) {
  return meanOf((sentence) => {
    const received = summaryOf(sentence, head).received;
    let sum = 0;
    foundTokens(sentence, "keys").forEach((token) => (sum += received[token]));
    return sum;
  });
}
