'use strict';

/*
 * The passes of examples/image.js. Each writes the rows `from` up to `to` of its target and nothing else; what it
 * computes for a pixel depends on the source alone, so any split of the rows gives the same picture.
 */

const RADIUS = 6;
const KERNEL = gaussian(RADIUS);

/** @param {number} radius */
function gaussian(radius) {
  const sigma = radius / 3;
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)),
  );
  const sum = weights.reduce((total, weight) => total + weight);
  return Float64Array.from(weights, (weight) => weight / sum);
}

/**
 * Gaussian blur along the rows. Beyond the border, the outermost pixel is repeated.
 * @param {Uint8Array} source RGBA
 * @param {Float32Array} target RGB
 * @param {number} width
 * @param {number} from
 * @param {number} to
 */
function blurRows(source, target, width, from, to) {
  for (let y = from; y < to; y++) {
    for (let x = 0; x < width; x++) {
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let k = -RADIUS; k <= RADIUS; k++) {
        const at = (y * width + Math.min(width - 1, Math.max(0, x + k))) * 4;
        const weight = KERNEL[k + RADIUS];
        red += weight * source[at];
        green += weight * source[at + 1];
        blue += weight * source[at + 2];
      }
      const to3 = (y * width + x) * 3;
      target[to3] = red;
      target[to3 + 1] = green;
      target[to3 + 2] = blue;
    }
  }
}

/**
 * Gaussian blur along the columns.
 * @param {Float32Array} source RGB
 * @param {Float32Array} target RGB
 * @param {number} width
 * @param {number} height
 * @param {number} from
 * @param {number} to
 */
function blurColumns(source, target, width, height, from, to) {
  const stride = width * 3;
  for (let y = from; y < to; y++) {
    for (let i = 0; i < stride; i++) {
      let sum = 0;
      for (let k = -RADIUS; k <= RADIUS; k++) {
        sum += KERNEL[k + RADIUS] * source[Math.min(height - 1, Math.max(0, y + k)) * stride + i];
      }
      target[y * stride + i] = sum;
    }
  }
}

/**
 * Darkens the blurred picture where its brightness changes: Sobel's gradient.
 * @param {Float32Array} source RGB
 * @param {Uint8Array} target RGBA
 * @param {number} width
 * @param {number} height
 * @param {number} from
 * @param {number} to
 */
function drawEdges(source, target, width, height, from, to) {
  const light = (/** @type {number} */ x, /** @type {number} */ y) => {
    const at = (Math.min(height - 1, Math.max(0, y)) * width + Math.min(width - 1, Math.max(0, x))) * 3;
    return 0.2126 * source[at] + 0.7152 * source[at + 1] + 0.0722 * source[at + 2];
  };
  for (let y = from; y < to; y++) {
    for (let x = 0; x < width; x++) {
      const [nw, ne, sw, se] = [
        light(x - 1, y - 1),
        light(x + 1, y - 1),
        light(x - 1, y + 1),
        light(x + 1, y + 1),
      ];
      const across = ne + 2 * light(x + 1, y) + se - nw - 2 * light(x - 1, y) - sw;
      const down = sw + 2 * light(x, y + 1) + se - nw - 2 * light(x, y - 1) - ne;
      const keep = Math.max(0, 1 - Math.sqrt(across * across + down * down) / 160);
      const at = y * width + x;
      for (let channel = 0; channel < 3; channel++) {
        target[at * 4 + channel] = keep * source[at * 3 + channel];
      }
      target[at * 4 + 3] = 255;
    }
  }
}

module.exports.blurRows = blurRows;
module.exports.blurColumns = blurColumns;
module.exports.drawEdges = drawEdges;
