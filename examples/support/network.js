'use strict';

/*
 * The network of examples/learn.js: two inputs, one hidden layer of rectified units, softmax over the classes.
 *
 * All parameters lie in one array: for each hidden unit its two weights and its bias, then for each class its
 * weights from the hidden units and its bias.
 */

const { CLASSES, generator } = require('./spirals');

const HIDDEN = 64;
const OUTPUT = HIDDEN * 3;
const CLASS_STRIDE = HIDDEN + 1;
const PARAMETERS = OUTPUT + CLASSES * CLASS_STRIDE;

const LEARNING_RATE = 0.02;
const DECAY = { mean: 0.9, square: 0.999 };

/** State of the units for the current sample, in each thread. */
const hidden = new Float64Array(HIDDEN);
const output = new Float64Array(CLASSES);

/** Initial parameters, always the same. */
function initialParameters() {
  const random = generator(7);
  const parameters = new Float64Array(PARAMETERS);
  for (let i = 0; i < PARAMETERS; i++) {
    const scale = i < OUTPUT ? 2 : 1 / Math.sqrt(HIDDEN);
    parameters[i] = (2 * random() - 1) * scale;
  }
  return parameters;
}

/**
 * Computes `hidden`, and in `output` the probability of each class.
 * @param {Float64Array} parameters
 * @param {number} x
 * @param {number} y
 */
function forward(parameters, x, y) {
  for (let unit = 0; unit < HIDDEN; unit++) {
    const at = unit * 3;
    hidden[unit] = Math.max(0, parameters[at] * x + parameters[at + 1] * y + parameters[at + 2]);
  }
  let total = 0;
  for (let label = 0; label < CLASSES; label++) {
    const at = OUTPUT + label * CLASS_STRIDE;
    let sum = parameters[at + HIDDEN];
    for (let unit = 0; unit < HIDDEN; unit++) sum += parameters[at + unit] * hidden[unit];
    output[label] = Math.exp(sum);
    total += output[label];
  }
  for (let label = 0; label < CLASSES; label++) output[label] /= total;
}

/**
 * Adds the gradient of the cross-entropy of sample `index` to `gradient`.
 * @param {Float64Array} parameters
 * @param {import('./spirals').Samples} samples
 * @param {number} index
 * @param {Float64Array} gradient
 */
function addGradient(parameters, { points, labels }, index, gradient) {
  const x = points[2 * index];
  const y = points[2 * index + 1];
  forward(parameters, x, y);
  output[labels[index]] -= 1; // From here on, the error of each class instead of its probability.
  for (let label = 0; label < CLASSES; label++) {
    const at = OUTPUT + label * CLASS_STRIDE;
    for (let unit = 0; unit < HIDDEN; unit++) gradient[at + unit] += output[label] * hidden[unit];
    gradient[at + HIDDEN] += output[label];
  }
  for (let unit = 0; unit < HIDDEN; unit++) {
    if (hidden[unit] === 0) continue;
    let error = 0;
    for (let label = 0; label < CLASSES; label++) {
      error += output[label] * parameters[OUTPUT + label * CLASS_STRIDE + unit];
    }
    gradient[unit * 3] += error * x;
    gradient[unit * 3 + 1] += error * y;
    gradient[unit * 3 + 2] += error;
  }
}

/**
 * One step of Adam for one parameter.
 * @param {Float64Array} parameters
 * @param {Float64Array} moments mean and mean square of each parameter's gradient
 * @param {number} index
 * @param {number} gradient
 * @param {number} step from 1
 */
function adam(parameters, moments, index, gradient, step) {
  const mean = DECAY.mean * moments[2 * index] + (1 - DECAY.mean) * gradient;
  const square = DECAY.square * moments[2 * index + 1] + (1 - DECAY.square) * gradient * gradient;
  moments[2 * index] = mean;
  moments[2 * index + 1] = square;
  const unbiasedMean = mean / (1 - DECAY.mean ** step);
  const unbiasedSquare = square / (1 - DECAY.square ** step);
  parameters[index] -= (LEARNING_RATE * unbiasedMean) / (Math.sqrt(unbiasedSquare) + 1e-8);
}

/**
 * Returns the most probable class.
 * @param {Float64Array} parameters
 * @param {number} x
 * @param {number} y
 */
function predict(parameters, x, y) {
  forward(parameters, x, y);
  return output.indexOf(Math.max(...output));
}

module.exports.HIDDEN = HIDDEN;
module.exports.PARAMETERS = PARAMETERS;
module.exports.initialParameters = initialParameters;
module.exports.addGradient = addGradient;
module.exports.adam = adam;
module.exports.predict = predict;
