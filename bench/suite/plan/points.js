'use strict';

/**
 * Returns the points of a curve.
 * @param {number[]} values
 * @param {(x: number) => { scenario: string, args?: string[] }} point
 */
const points = (values, point) => values.map((x) => ({ x, ...point(x) }));

module.exports.points = points;
