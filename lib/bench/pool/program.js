'use strict';

/*
 * Runs one measurement in a process of its own and prints its figures as JSON.
 *
 *   node program.js CONTENDER SCENARIO ROUNDS
 */

const { CONTENDERS } = require('./contenders');
const { SCENARIOS, add } = require('./scenarios');

async function main() {
  const [contender, name, rounds] = process.argv.slice(2);
  const scenario = SCENARIOS.find((each) => each.name === name);
  if (scenario === undefined) throw new Error(`no scenario ${name}`);
  const { task, workers, isWarm = false, hasProcesses = false } = scenario;
  let startedAt = performance.now();
  const whenLoaded = () => {
    if (isWarm) startedAt = performance.now();
  };
  const pool = await CONTENDERS[contender]({ name: task, workers, isWarm, hasProcesses, whenLoaded });
  let figures;
  if (scenario.measure === undefined) {
    await add(pool);
    figures = { firstMs: performance.now() - startedAt };
  } else {
    figures = await scenario.measure(pool, Number(rounds));
  }
  process.stdout.write(JSON.stringify(figures), () => process.exit());
}

main();
