// How results are judged and shown.
//
// status: pass, skip (by the test itself), fail, timeout, expected (failed as listed), unexpected (listed as
// failing, but passed: the list is stale).

const BAD = new Set(['fail', 'timeout', 'unexpected']);

export const isBad = (result) => BAD.has(result.status);

const count = (results, ...statuses) => results.filter((each) => statuses.includes(each.status)).length;

/** Returns a line for bad outcomes, retries, expected failures and every 50th test. */
export function formatProgress(result, done, total) {
  const { status, file, ms, attempts, detail } = result;
  const flaky = status === 'pass' && attempts > 1;
  if (isBad(result) || flaky || status === 'expected') {
    return `${flaky ? 'FLAKY' : status.toUpperCase()} ${file} (${ms} ms, attempts ${attempts}) ${detail}`;
  }
  return done % 50 === 0 ? `... ${done}/${total}` : undefined;
}

export function formatTsv(results) {
  const columns = ['file', 'status', 'ms', 'exit', 'signal', 'leaked', 'attempts', 'detail', 'noise'];
  const row = (result) =>
    columns.map((column) => String(result[column] ?? '').replaceAll(/[\t\n]/g, ' ')).join('\t');
  return [columns.join('\t'), ...results.map(row), ''].join('\n');
}

export function formatSummary(results, wallMs) {
  const retried = results.filter((each) => each.status === 'pass' && each.attempts > 1).length;
  const leaked = results.filter((each) => each.leaked > 0).length;
  return [
    `${results.length} tests in ${(wallMs / 1000).toFixed(1)} s: ${count(results, 'timeout')} timed out, ` +
      `${count(results, 'expected')} failed as expected, ${retried} passed only on a retry, ` +
      `${leaked} left processes behind`,
    `${count(results, 'pass')} passed, ${count(results, ...BAD)} failed, ${count(results, 'skip')} skipped`,
  ].join('\n');
}
