// Interprets the exit of a test's process, and its output.

// Lines printed only by a process that dies of an exception, or by the suite's own checks at exit.
const FAILED_CHECK = /^Mismatched .+ function calls\..*$/m;
const DIED = /^Node\.js v\d+\.\d+\.\d+/m;
const CAUSE_OF_DEATH =
  /^(?:Uncaught:?|(?:node:)?AssertionError\b.*|\w*Error(?: \[\w+\])?: .*|FATAL ERROR: .*|.*Assertion .* failed\.?.*)$/m;

const SKIPPED = /^1\.\.0 # Skipped:? ?(.*)$/m;
const DETAIL_LIMIT = 240;

/** Returns the line of the output that best explains the failure. */
function firstError(stdout, stderr) {
  const lines = `${stderr}\n${stdout}`.split('\n').map((line) => line.trim());
  const patterns = [
    /^(\w*Error|AssertionError)\b.*[:[]/,
    /bad option|Mismatched .* function calls|Assertion .* failed|FATAL ERROR|is not allowed in NODE_OPTIONS/,
    /Error/,
    /^(?!\(|Node\.js v|at ).+/,
  ];
  for (const pattern of patterns) {
    const line = lines.find((each) => pattern.test(each));
    if (line) return line.slice(0, DETAIL_LIMIT);
  }
  return '';
}

/** Returns the failure of a process other than the test's own, which succeeded. */
function findNoise(stdout, stderr) {
  const mismatch = FAILED_CHECK.exec(stderr) ?? FAILED_CHECK.exec(stdout);
  if (mismatch) return mismatch[0];
  if (!DIED.test(stderr) && !DIED.test(stdout)) return '';
  const cause = CAUSE_OF_DEATH.exec(stderr) ?? CAUSE_OF_DEATH.exec(stdout);
  return cause ? cause[0] : 'a process died of an exception';
}

function outcome(options, file, ended, stdout, stderr) {
  if (ended.timedOut) return { status: 'timeout', detail: firstError(stdout, stderr) };
  if (ended.exit !== 0) return { status: 'fail', detail: firstError(stdout, stderr) };
  const skipped = SKIPPED.exec(stdout);
  if (skipped) return { status: 'skip', detail: skipped[1].slice(0, DETAIL_LIMIT) };
  const noise = findNoise(stdout, stderr).slice(0, DETAIL_LIMIT);
  if (noise && options.strict && !options.noiseOk.has(file)) {
    return { status: 'fail', detail: `a process of it failed: ${noise}`, noise };
  }
  return { status: 'pass', detail: '', noise };
}

export function judge(options, file, ended, stdout, stderr) {
  const verdict = outcome(options, file, ended, stdout, stderr);
  const reason = options.expectFail.get(file);
  if (reason === undefined) return verdict;
  if (verdict.status === 'fail' || verdict.status === 'timeout') {
    return { ...verdict, status: 'expected', detail: reason };
  }
  if (verdict.status === 'pass') {
    return { ...verdict, status: 'unexpected', detail: `passed, though announced to fail: ${reason}` };
  }
  return verdict;
}
