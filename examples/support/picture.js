'use strict';

/*
 * The picture that examples/image.js makes for itself: a coloured piece of the Mandelbrot set, which has edges of
 * every size.
 */

const STEPS = 160;
const CENTRE = { x: -0.7435, y: 0.1314 };
const SPAN = 0.012;

/**
 * @param {number} width
 * @param {number} height
 * @returns {Buffer} RGBA
 */
function paint(width, height) {
  const data = Buffer.alloc(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const steps = escape(
        CENTRE.x + ((x - width / 2) / width) * SPAN,
        CENTRE.y + ((y - height / 2) / width) * SPAN,
      );
      const at = (y * width + x) * 4;
      if (steps < STEPS) {
        const shade = Math.log2(steps + 1) * 1.7;
        data[at] = 127.5 + 127.5 * Math.sin(shade);
        data[at + 1] = 127.5 + 127.5 * Math.sin(shade + 0.8);
        data[at + 2] = 127.5 + 127.5 * Math.sin(shade + 1.9);
      }
      data[at + 3] = 255;
    }
  }
  return data;
}

/**
 * How many steps z = z² + c takes to leave the circle of radius 8; the fraction makes the shades smooth.
 * @param {number} cx
 * @param {number} cy
 */
function escape(cx, cy) {
  let x = 0;
  let y = 0;
  for (let step = 0; step < STEPS; step++) {
    const squares = x * x + y * y;
    if (squares > 64) return step + 1 - Math.log2(Math.log2(squares) / 2);
    [x, y] = [x * x - y * y + cx, 2 * x * y + cy];
  }
  return STEPS;
}

module.exports.paint = paint;
