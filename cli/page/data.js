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
  const id = `${view}-${sentence}-${Math.floor(head / data.heads)}-${head % data.heads}`;
  let found = kept.get(id);
  if (!found) {
    const bytes = atob(document.getElementById(id).textContent);
    const numbers = new Uint16Array(bytes.length / 2);
    for (let i = 0; i < numbers.length; i++) {
      numbers[i] = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8);
    }
    const count = data.sentences[sentence].tokens.length;
    found = { entropies: numbers.subarray(0, count), codes: numbers.subarray(count) };
    if (kept.size >= KEPT) {
      kept.delete(kept.keys().next().value);
    }
    kept.set(id, found);
  }
  return found;
}

/* The words of a sentence, each with its tokens: one each, or the pieces of a word together. */
function wordsOf(sentence, merged) {
  const words = [];
  data.sentences[sentence].tokens.forEach((token, index) => {
    if (merged && words.length > 0 && token.startsWith("##")) {
      const word = words[words.length - 1];
      word.name += token.slice(2);
      word.tokens.push(index);
    } else {
      words.push({ name: token, tokens: [index] });
    }
  });
  return words;
}

const hasPieces = data.sentences.some((s) => s.tokens.some((token) => token.startsWith("##")));

/*
 * A head's weights between words. A word of several pieces gets the sum of what its pieces get, and
 * gives the mean of what they give.
 */
class Weights {
  constructor(sentence, head, view, merged) {
    this.words = wordsOf(sentence, merged);
    this.count = this.words.length;
    this.causal = view === "causal";
    this.exact = this.count === data.sentences[sentence].tokens.length;
    const block = decode(sentence, head, view);
    this.entropies = block.entropies;
    this.values = new Float32Array(this.count * this.count);
    this.largest = 0;
    for (let query = 0; query < this.count; query++) {
      if (this.exact) {
        this.copyRow(query, block.codes);
      } else {
        this.joinRow(query, block.codes, data.sentences[sentence].tokens.length);
      }
    }
  }

  copyRow(query, codes) {
    const seen = this.causal ? query + 1 : this.count;
    const start = this.causal ? (query * (query + 1)) / 2 : query * this.count;
    for (let key = 0; key < seen; key++) {
      const value = VALUES[codes[start + key]];
      this.values[query * this.count + key] = value;
      this.largest = Math.max(this.largest, value);
    }
  }

  joinRow(query, codes, tokens) {
    const rows = this.words[query].tokens;
    for (let key = 0; key < this.count; key++) {
      let sum = 0;
      for (const row of rows) {
        const start = this.causal ? (row * (row + 1)) / 2 : row * tokens;
        for (const column of this.words[key].tokens) {
          sum += this.causal && column > row ? 0 : VALUES[codes[start + column]];
        }
      }
      const value = sum / rows.length;
      this.values[query * this.count + key] = value;
      this.largest = Math.max(this.largest, value);
    }
  }

  at(query, key) {
    return this.values[query * this.count + key];
  }

  sees(query, key) {
    return !this.causal || key <= query;
  }

  /* The weight as text: as it was rounded, or to three digits where weights were added. */
  text(query, key) {
    const value = this.at(query, key);
    return value > 0 && value < 1e-7 ? "0" : significant(value, this.exact ? 4 : 3);
  }

  /* The entropy of a row in nats: the library's, or where rows were joined that of the result. */
  entropy(query) {
    if (this.exact) {
      return (this.entropies[query] / 1000).toFixed(3);
    }
    let entropy = 0;
    for (let key = 0; key < this.count; key++) {
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

/* Which tokens of a sentence belong to a word that contains what is wanted. */
function findTokens(sentence, wanted) {
  const found = new Set();
  for (const merged of wanted ? [false, true] : []) {
    for (const word of wordsOf(sentence, merged)) {
      if (word.name.toLowerCase().includes(wanted)) {
        word.tokens.forEach((token) => found.add(token));
      }
    }
  }
  return found;
}

/* Those that the search finds; kept until it changes. */
const lastFound = { wanted: null, tokens: [] };
function foundTokens(sentence) {
  const wanted = state.search.trim().toLowerCase();
  if (lastFound.wanted !== wanted) {
    lastFound.wanted = wanted;
    lastFound.tokens = data.sentences.map((_, index) => findTokens(index, wanted));
  }
  return lastFound.tokens[sentence];
}

/* The mean weight that the found tokens get together from a query that sees them. */
function attentionToFound(head) {
  return meanOf((sentence) => {
    const received = summaryOf(sentence, head).received;
    let sum = 0;
    foundTokens(sentence).forEach((token) => (sum += received[token]));
    return sum;
  });
}
