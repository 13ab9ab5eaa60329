/* SPDX-License-Identifier: Apache-2.0 */
/* Colours: the command's ramp for numbers, the page's own for everything else. */
const RAMP = new Uint32Array(256); /* as a pixel: alpha, blue, green, red */
for (let level = 0; level < 256; level++) {
  const rgb = parseInt(data.ramp.slice(6 * level, 6 * level + 6), 16);
  RAMP[level] = 0xff000000 | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16);
}

function levelOf(value) {
  return Math.round(255 * Math.min(Math.max(value, 0), 1));
}

function rampColor(value) {
  const level = levelOf(value);
  return `#${data.ramp.slice(6 * level, 6 * level + 6)}`;
}

/* Colours of the page in the present theme, as a canvas takes them. */
function pageColors() {
  const probe = document.getElementById("status");
  const colors = {};
  for (const name of ["ink", "soft", "query", "key"]) {
    probe.style.color = `var(--${name})`;
    colors[name] = getComputedStyle(probe).color;
  }
  probe.style.color = "";
  return colors;
}

/*
 * Draws weights one pixel a cell, or as many cells a pixel as keep each side within `most` pixels,
 * which show the largest of them. What a query doesn't see stays clear.
 */
function paintWeights(canvas, weights, most) {
  const [down, across] = [weights.rows, weights.columns].map((count) => Math.ceil(count / most));
  canvas.width = Math.ceil(weights.columns / across);
  canvas.height = Math.ceil(weights.rows / down);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const strongest = new Float32Array(pixels.length).fill(-1);
  for (let query = 0; query < weights.rows; query++) {
    const row = Math.floor(query / down) * canvas.width;
    const [first, last] = weights.sights[query];
    for (let key = first; key <= last; key++) {
      const pixel = row + Math.floor(key / across);
      strongest[pixel] = Math.max(strongest[pixel], weights.at(query, key));
    }
  }
  for (let pixel = 0; pixel < pixels.length; pixel++) {
    const level = levelOf(weights.largest && strongest[pixel] / weights.largest);
    pixels[pixel] = strongest[pixel] < 0 ? 0 : RAMP[level];
  }
  context.putImageData(image, 0, 0);
}
