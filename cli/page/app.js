/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the page, its controls and keys. The address's hash names the open head: #3.1 */
const byId = (id) => document.getElementById(id);
const several = data.sentences.length > 1;
const systemDark = matchMedia("(prefers-color-scheme: dark)");
let scrolled = 0; /* how far the grid was when a head was opened */
let shownHash = null;

function say(text) {
  byId("status").textContent = text;
}

function update() {
  if (state.head === null) {
    updateGrid();
  } else {
    const same = ({ sentence, weights }) =>
      SIDES.every((side) => weights[side].length === wordsOf(sentence, side, state.merged).length);
    updateHead(views.map((view) => (same(view) ? view.held : NOTHING)));
  }
}

function openHead(head) {
  if (state.head === null) {
    scrolled = scrollY;
  }
  location.hash = data.heads[head].join(".");
  route();
}

/* Shows what the hash names: at once after a key or a click, and when the browser goes back. */
function route() {
  if (location.hash === shownHash) {
    return;
  }
  shownHash = location.hash;
  const named = data.heads.findIndex((numbers) => `#${numbers.join(".")}` === location.hash);
  const known = named >= 0;
  const opened = state.head === null;
  state.head = known ? named : null;
  hideTip();
  byId("overview").hidden = known;
  byId("head").hidden = !known;
  document.body.classList.toggle("in-head", known);
  if (known) {
    setCurrent(state.head);
    updateHead();
    if (opened) {
      scrollTo(0, 0);
    }
    views[0].lines.sides.query.focus({ preventScroll: true });
    say(`${headName(state.head)}: ${describeAll(state.head)}`);
  } else {
    views = [];
    byId("sentences").replaceChildren();
    updateGrid();
    if (!opened) {
      scrollTo(0, scrolled);
      cells[current].focus();
    }
  }
}

function goBack() {
  location.hash = "";
  route();
}

function stepHead(step) {
  openHead((state.head + step + headCount) % headCount);
}

/* The sides that have all of a text between them: queries of the keys' text are among the keys. */
function textSides(sentence) {
  return sentence.own ? ["keys"] : SIDES;
}

/* The sentences with what was found marked. */
function updateTexts() {
  byId("texts").replaceChildren(
    ...data.sentences.map((sentence, index) => {
      const line = element("p");
      if (several) {
        line.append(element("span", { className: "soft" }, `${index + 1}  `));
      }
      const sides = textSides(sentence);
      if (sides.every((side) => foundTokens(index, side).size === 0)) {
        line.append(sentence.text);
        return line;
      }
      sides.forEach((side, place) => {
        line.append(place > 0 ? " → " : "");
        wordsOf(index, side, true).forEach((word) => {
          const marked = word.tokens.some((token) => foundTokens(index, side).has(token));
          line.append(marked ? element("mark", null, word.name) : word.name, " ");
        });
      });
      return line;
    }),
  );
}

function setView(view) {
  state.view = view;
  document.querySelector(`input[name="view"][value="${view}"]`).checked = true;
  say(view === "causal" ? "Causal: queries see their own and earlier keys" : "All keys");
  update();
}

function setCells(what) {
  state.cells = what;
  document.querySelector(`input[name="cells"][value="${what}"]`).checked = true;
  update();
}

function setSort(sort) {
  state.sort = sort;
  byId("sort").value = sort;
  say(`Sorted ${byId("sort").selectedOptions[0].textContent}`);
  update();
}

function setMerged(merged) {
  state.merged = merged;
  byId("merge").checked = merged;
  update();
}

function setSearch(text) {
  const before = state.search.trim();
  state.search = text;
  if (text.trim() && !before && state.head === null) {
    state.unsearched = state.sort;
    state.sort = "search";
  } else if (!text.trim() && state.sort === "search") {
    state.sort = state.unsearched;
  }
  byId("sort").value = state.sort;
  updateTexts();
  update();
  const sizes = data.sentences.flatMap((sentence, index) =>
    textSides(sentence).map((side) => foundTokens(index, side).size),
  );
  const count = sizes.reduce((sum, size) => sum + size, 0);
  say(text.trim() ? `${counted(count, "token")} found` : "");
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
  root.dataset.theme = dark ? "light" : "dark";
  say(dark ? "Light" : "Dark");
  redrawHead();
}

const shortcuts = {
  "/": () => byId("search").focus(),
  "?": () => byId("keys").showModal(),
  "[": () => state.head !== null && stepHead(-1),
  "]": () => state.head !== null && stepHead(1),
  c: () => data.views.length > 1 && setView(data.views[1 - data.views.indexOf(state.view)]),
  e: () => state.head === null && setCells(state.cells === "maps" ? "entropy" : "maps"),
  m: () => hasPieces && setMerged(!state.merged),
  s: () => {
    const sorts = [...byId("sort").options].map((option) => option.value);
    if (state.head === null) {
      setSort(sorts[(sorts.indexOf(state.sort) + 1) % sorts.length]);
    }
  },
  t: toggleTheme,
  Escape: () => (state.head === null ? hideTip() : goBack()),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) {
    return;
  }
  if (event.target.matches('input[type="search"], select')) {
    const search = byId("search");
    if (event.key === "Escape" && event.target === search && search.value) {
      search.value = "";
      setSearch("");
    } else if (event.key === "Escape" || (event.key === "Enter" && event.target === search)) {
      (state.head === null ? grid.querySelector(".cell") : views[0].lines.sides.query).focus();
    } else {
      return;
    }
    event.preventDefault();
  } else if (Object.hasOwn(shortcuts, event.key)) {
    event.preventDefault();
    shortcuts[event.key]();
  }
});

for (const input of document.querySelectorAll('input[name="view"]')) {
  input.addEventListener("change", () => setView(input.value));
}
for (const input of document.querySelectorAll('input[name="cells"]')) {
  input.addEventListener("change", () => setCells(input.value));
}
byId("sort").addEventListener("change", () => setSort(byId("sort").value));
byId("merge").addEventListener("change", () => setMerged(byId("merge").checked));
byId("search").addEventListener("input", () => setSearch(byId("search").value));
byId("theme").addEventListener("click", toggleTheme);
byId("help").addEventListener("click", () => byId("keys").showModal());
byId("back").addEventListener("click", goBack);
byId("previous").addEventListener("click", () => stepHead(-1));
byId("next").addEventListener("click", () => stepHead(1));
systemDark.addEventListener("change", redrawHead);
addEventListener("hashchange", route);
addEventListener("resize", redrawHead);
addEventListener("scroll", hideTip, { passive: true });

/* How many heads there are in how many layers, as a product if all have as many. */
function sizeText() {
  const layers = counted(data.layers, "layer");
  const even = headCount === data.layers * widest;
  return even ? `${layers} × ${counted(widest, "head")}` : `${counted(headCount, "head")}, ${layers}`;
}

const widest = Math.max(...sortedGroups().map(([, , heads]) => heads.length)); /* by layer */
byId("model").textContent = [data.model, sizeText()].filter(Boolean).join(", ");
byId("merge-label").hidden = !hasPieces;
byId("views").hidden = data.views.length < 2;
const origin = data.computed
  ? `Computed by rapt ${data.version}, exactly, in f32`
  : `Shown by rapt ${data.version}; the weights are as they were given`;
const apart = data.views.length > 1 ? "; causal is a computation of its own" : "";
byId("facts").textContent =
  `${origin}${apart}. The page carries each weight rounded to four significant digits, and 0 for ` +
  "less than 0.0000001; what joined words get is added up from these and shown to three digits. " +
  "It needs no network.";
const [FEWEST_COLUMNS, MOST_COLUMNS] = [6, 16];
const columns = several ? Math.ceil(widest / 2) : widest;
byId("sentences").classList.toggle("several", several);
grid.style.setProperty("--columns", Math.min(Math.max(columns, FEWEST_COLUMNS), MOST_COLUMNS));
grid.style.setProperty("--columns-narrow", several ? 3 : 4);
updateTexts();
route();
