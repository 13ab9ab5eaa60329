/* SPDX-License-Identifier: Apache-2.0 */
/* What the page shows now. */
const state = {
  view: data.views[0], /* "raw" or "causal" */
  cells: "maps", /* or "entropy" */
  sort: "layer", /* or "entropy", "kind", "search" */
  unsearched: "layer", /* what to sort by once the search is empty again */
  search: "",
  merged: false, /* word pieces joined */
  head: null, /* the open one: layer * heads + head */
  details: false, /* whether a head's measures are open */
};
