'use strict';

const echarts = require('echarts');

/** Fits the width of a repository page. */
const WIDTH = 760;
const HEIGHT = 380;
/** Distinguishable with colour blindness (Okabe and Ito, "Color Universal Design", 2008). */
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'];

/**
 * Plots one curve per contender on logarithmic axes, on which proportional growth is a straight line.
 * @param {{ title: string, x: string, y: string, points: { x: number, values: Record<string, number> }[] }} plot
 * @returns {string} an SVG document
 */
function curves({ title, x, y, points }) {
  const names = [...new Set(points.flatMap(({ values }) => Object.keys(values)))];
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT });
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    color: COLORS,
    title: { text: title, left: 'center', textStyle: { fontSize: 15 } },
    legend: { bottom: 0 },
    grid: { left: 90, right: 30, top: 45, bottom: 75 },
    xAxis: { type: 'log', name: x, nameLocation: 'middle', nameGap: 28 },
    yAxis: { type: 'log', name: y, nameLocation: 'middle', nameGap: 65 },
    series: names.map((name) => ({
      name,
      type: 'line',
      symbol: 'circle',
      symbolSize: 7,
      data: points.filter(({ values }) => name in values).map(({ x: at, values }) => [at, values[name]]),
    })),
  });
  try {
    return `${chart.renderToSVGString()}\n`;
  } finally {
    chart.dispose();
  }
}

module.exports.curves = curves;
