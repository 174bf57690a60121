'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { spawnSync } = require('node:child_process');
const { describe, mock, test } = require('node:test');

const connections = require('../bench/connections');
const driver = require('../bench/lib/driver');
const { Cores } = require('../bench/lib/cores');
const { paced } = require('../bench/lib/paced');
const { Server, cpuTimeUs } = require('../bench/lib/processes');
const { compare, median, quantile, summarize } = require('../bench/lib/statistics');

const root = path.join(__dirname, '..');
const hello = path.join(root, 'bench', 'servers', 'hello.js');

describe('statistics', () => {
  test('computes the median and the spread', () => {
    assert.equal(median([3]), 3);
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.deepEqual(summarize([10, 9, 11]), { median: 10, min: 9, max: 11 });
  });

  test('computes quantiles by nearest rank', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
    assert.deepEqual(
      [0, 0.5, 0.99, 1].map((share) => quantile(hundred, share)),
      [1, 50, 99, 100],
    );
    assert.equal(quantile([7], 0.99), 7);
  });

  test('gives a verdict only when every round agrees, and reports losses as losses', () => {
    assert.equal(compare([20, 30], [10, 20], 'higher')?.verdict, 'better');
    assert.equal(compare([20, 30], [10, 20], 'lower')?.verdict, 'worse');
    assert.equal(compare([9, 19], [10, 20], 'higher')?.verdict, 'worse');
    assert.equal(compare([9, 19], [10, 20], 'lower')?.verdict, 'better');
    assert.equal(compare([9, 21], [10, 20], 'higher')?.verdict, 'unclear');
    assert.equal(compare([20, 10], [10, 20], 'higher')?.median, 1.25);
    assert.equal(compare([1, 2], [0, 1], 'lower'), null);
  });
});

describe('driver', () => {
  /** A benchmark with known figures. */
  function fake(overrides = {}) {
    const calls = [];
    const figures = { a: 100, b: 200, c: 50 };
    return {
      calls,
      name: 'fake',
      title: 'Fake',
      peer: 'a',
      metrics: [{ key: 'rate', label: 'per second', better: 'higher', digits: 0 }],
      options: { size: { help: 'size', default: '3', parse: driver.positive } },
      scenarios: () => [{ name: 'x' }, { name: 'y' }],
      contenders: () => [{ name: 'a' }, { name: 'b' }, { name: 'c' }, { name: 'd', unavailable: 'not here' }],
      measure: async (contender, scenario) => {
        calls.push(scenario.name + contender.name);
        return { rate: figures[contender.name] + calls.length };
      },
      ...overrides,
    };
  }

  /** @param {string[]} args */
  async function runFake(args, overrides) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-bench-'));
    const json = path.join(folder, 'deep', 'result.json');
    const [log, error] = [mock.method(console, 'log', () => {}), mock.method(console, 'error', () => {})];
    try {
      const benchmark = fake(overrides);
      await driver.run(benchmark, driver.readOptions(benchmark, ['--settle', '0', ...args, '--json', json]));
      const printed = log.mock.calls.map((call) => call.arguments.join(' ')).join('\n');
      return { calls: benchmark.calls, printed, record: JSON.parse(fs.readFileSync(json, 'utf8')) };
    } finally {
      log.mock.restore();
      error.mock.restore();
      fs.rmSync(folder, { recursive: true });
    }
  }

  test('alternates contenders and drops the first round', async () => {
    const { calls, record } = await runFake(['--rounds', '2']);
    assert.equal(calls.join(' '), 'xa xb xc xa xb xc xa xb xc ya yb yc ya yb yc ya yb yc');
    assert.deepEqual(record.results[0].samples, {
      a: [{ rate: 104 }, { rate: 107 }],
      b: [{ rate: 205 }, { rate: 208 }],
      c: [{ rate: 56 }, { rate: 59 }],
    });
  });

  test('the report names the machine, compares with the peer and hides no loss', async () => {
    const { printed, record } = await runFake(['--rounds', '1', '--scenarios', 'x']);
    assert.match(printed, /Node\.js {3}v\d+/);
    assert.match(printed, /a +104 +104\.\.104 +peer/);
    assert.match(printed, /b +205 +205\.\.205 +x1\.97 \(1\.97\.\.1\.97\) better/);
    assert.match(printed, /c +56 +56\.\.56 +x0\.54 \(0\.54\.\.0\.54\) worse/);
    assert.match(printed, /left out +d: not here/);
    assert.match(printed, /too few/);
    assert.equal(record.peer, 'a');
    assert.equal(record.environment.node, process.version);
  });

  test('drops as many rounds as the caller says, or none', async () => {
    const { calls, record } = await runFake('--rounds 1 --warmups 0 --scenarios y --contenders b'.split(' '));
    assert.equal(calls.join(' '), 'yb');
    assert.equal(record.results[0].samples.b.length, 1);
    assert.equal(
      (await runFake('--rounds 1 --warmups 2 --scenarios y --contenders b'.split(' '))).calls.length,
      3,
    );
  });

  test('takes a major version for the binary under test', async () => {
    const [major] = process.versions.node.split('.');
    const { record } = await runFake(['--rounds', '1', '--node', major]);
    assert.equal(record.options.node, process.execPath);
  });

  test('lets the caller select scenarios, contenders and the peer', async () => {
    const { calls, record } = await runFake(['--rounds', '1', '--scenarios', 'y', '--contenders', 'b,c']);
    assert.equal(calls.join(' '), 'yb yc yb yc');
    assert.equal(record.peer, 'b');
    assert.equal((await runFake(['--rounds', '1', '--peer', 'c'])).record.peer, 'c');
  });

  for (const args of [
    ['--rounds', '0'],
    ['--rounds', 'x'],
    ['--warmups', '-1'],
    ['--size', '1.5'],
    ['--contenders', 'a,z'],
    ['--scenarios', 'z'],
    ['--peer', 'z'],
    ['--contenders', 'd'],
    ['--unknown'],
    ['word'],
  ]) {
    test(`refuses ${args.join(' ')}`, async () => {
      await assert.rejects(runFake(args), driver.UsageError);
    });
  }

  test('says which whole numbers are allowed', async () => {
    assert.equal(driver.wholeNumber('0'), 0);
    assert.equal(driver.positive('1'), 1);
    assert.throws(() => driver.wholeNumber('-1'), /'-1' is not a whole number of at least 0$/);
    assert.throws(() => driver.wholeNumber(''), driver.UsageError);
    assert.throws(() => driver.positive('0'), /'0' is not a whole number of at least 1$/);
  });

  test('fails the run when a measurement fails', async () => {
    const measure = () => Promise.reject(new Error('broken'));
    await assert.rejects(runFake([], { measure }), /broken/);
  });

  /** Opens for all contenders but c, and records all calls. */
  function opening({ fails, closeFails } = {}) {
    const steps = [];
    const note = async (step) => {
      steps.push(step);
      if (step === fails) throw new Error('broken');
    };
    const close = (name) => async () => {
      steps.push(`close ${name}`);
      if (closeFails) throw new Error(`${name} stays`);
    };
    return {
      steps,
      open: async (contender, scenario) => {
        const name = scenario.name + contender.name;
        await note(`open ${name}`);
        return contender.name === 'c' ? undefined : { name, close: close(name) };
      },
      measure: async (contender, scenario, options, opened) => {
        await note(opened === undefined ? '-' : opened.name);
        return { rate: 1 };
      },
    };
  }

  test('keeps resources open for all rounds of a scenario, then closes them', async () => {
    const { steps, ...overrides } = opening();
    await runFake(['--rounds', '1'], overrides);
    const scenario = (x) =>
      `open ${x}a,open ${x}b,open ${x}c,${x}a,${x}b,-,${x}a,${x}b,-,close ${x}a,close ${x}b`;
    assert.equal(steps.join(), `${scenario('x')},${scenario('y')}`);
  });

  test('opens resources anew after every few rounds, each time with rounds that are dropped', async () => {
    const { steps, ...overrides } = opening();
    const args = '--rounds 3 --renew 2 --scenarios x --contenders a,b'.split(' ');
    const { record } = await runFake(args, overrides);
    const group = (rounds) => `open xa,open xb,${'xa,xb,'.repeat(1 + rounds)}close xa,close xb`;
    assert.equal(steps.join(), `${group(2)},${group(1)}`);
    assert.equal(record.results[0].samples.a.length, 3);
  });

  test('closes resources when another cannot be opened or a measurement fails', async () => {
    for (const [fails, expected] of [
      ['open xb', 'open xa,open xb,close xa'],
      ['xb', 'open xa,open xb,open xc,xa,xb,close xa,close xb'],
    ]) {
      const { steps, ...overrides } = opening({ fails });
      await assert.rejects(runFake([], overrides), /broken/);
      assert.equal(steps.join(), expected);
    }
  });

  test('closes all resources even if one fails to close, and fails the run', async () => {
    const { steps, ...overrides } = opening({ closeFails: true });
    await assert.rejects(runFake(['--rounds', '1'], overrides), /xa stays/);
    assert.deepEqual(steps.slice(-2), ['close xa', 'close xb']);
  });
});

describe('measurements on undisturbed processors', () => {
  /** A probe with known answers; the last one is repeated. @param {boolean[]} answers */
  function probe(...answers) {
    let asked = 0;
    const isUndisturbed = async () => answers[Math.min(asked++, answers.length - 1)];
    return { isUndisturbed, close: async () => {}, asked: () => asked };
  }

  /** Measures three times. @param {Cores} cores */
  async function measureThrice(cores) {
    const results = [];
    let made = 0;
    cores.begin();
    for (let i = 0; i < 3; i++) results.push(await cores.take(async () => ++made));
    return { results, ...cores.taken };
  }

  test('keeps those that were undisturbed before and after', async () => {
    const report = await measureThrice(new Cores(60_000, probe(true)));
    assert.deepEqual(report, { results: [1, 2, 3], measured: 3, repeated: 0, disturbed: 0 });
  });

  test('waits before, and repeats one that was disturbed', async () => {
    const report = await measureThrice(new Cores(60_000, probe(false, true, true, true, false, true)));
    assert.deepEqual(report, { results: [1, 3, 4], measured: 3, repeated: 1, disturbed: 0 });
  });

  test('keeps disturbed ones when the time is over, and counts them', async () => {
    const report = await measureThrice(new Cores(1, probe(false)));
    assert.deepEqual(report, { results: [1, 2, 3], measured: 3, repeated: 0, disturbed: 3 });
  });

  test('waits no more after a scenario without a good moment, until there is one', async () => {
    const answers = probe(false, false, false, false, false, false, false, false, false, true);
    const cores = new Cores(1, answers);
    await measureThrice(cores);
    const askedAtFirst = answers.asked();
    await measureThrice(cores);
    assert.ok(answers.asked() - askedAtFirst <= 6, 'once before and once after each');
    assert.deepEqual((await measureThrice(cores)).results, [1, 2, 3]);
    assert.equal(cores.taken.measured, 9);
  });

  test('takes them as they come without time to wait', async () => {
    const answers = probe(false);
    const report = await measureThrice(new Cores(0, answers));
    assert.deepEqual(report, { results: [1, 2, 3], measured: 3, repeated: 0, disturbed: 0 });
    assert.equal(answers.asked(), 0);
  });

  test('compares the speed of two threads with that of one', async () => {
    const cores = new Cores(1);
    cores.begin();
    assert.equal(await cores.take(async () => 'result'), 'result');
    await cores.close();
    assert.equal(cores.taken.measured, 1);
  });
});

describe('connections', () => {
  for (const source of ['node', 'manycore']) {
    test(`the server on ${source} answers requests, counts them and exits`, async () => {
      const server = await Server.start(process.execPath, [hello, source, '2'], {});
      try {
        const load = await paced({ port: server.port, rate: 200, durationS: 0.5 });
        assert.deepEqual([load.requests, load.errors], [100, 0]);
        assert.ok(load.latencyUs.p50 > 0 && load.latencyUs.p99 >= load.latencyUs.p50);
        const counts = await server.counts();
        assert.equal(counts.length, 2);
        assert.equal(counts[0] + counts[1], 100);
        assert.ok(server.cpu().workersUs > 0);
      } finally {
        await server.stop();
      }
      for (const pid of [server.primary, ...server.workers]) {
        assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
      }
    });
  }

  test('a curve varies one known parameter', async () => {
    const names = (...args) =>
      connections.scenarios(driver.readOptions(connections, args)).map(({ name }) => name);
    assert.deepEqual(names('--curve', 'workers').slice(-2), ['16 workers', '64 workers']);
    assert.deepEqual(names('--rate', '100', '--ipc', '1').slice(-2), ['close + ipc', 'paced + ipc']);
    assert.throws(() => names('--curve', 'cores'), /there are workers, listeners/);
  });

  test('a kept server is warm once opened and has exited once closed', async (t) => {
    const options = driver.readOptions(connections, ['--workers', '2', '--warm', '1', '--duration', '1']);
    const [contender] = connections.contenders(options).filter(({ name }) => name === 'manycore');
    // With the paced client, since wrk may not be installed.
    const scenario = { name: 'kept', rate: 100, kept: true };
    const opened = await connections.open(contender, scenario, options);
    const { server } = opened;
    t.after(() => server.stop());
    assert.ok(Math.min(...(await server.counts())) >= 1);
    const before = await server.counts();
    const first = await connections.measure(contender, scenario, options, opened);
    const second = await connections.measure(contender, scenario, options, opened);
    assert.deepEqual([first.errors, second.errors], [0, 0]);
    const sum = (counts) => counts.reduce((total, count) => total + count, 0);
    assert.equal(sum(await server.counts()) - sum(before), 200);
    await opened.close();
    for (const pid of [server.primary, ...server.workers]) {
      assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    }
    assert.equal(await connections.open(contender, { name: 'fresh', rate: 100 }, options), undefined);
  });

  test('reports an error when a server cannot start', async () => {
    await assert.rejects(
      Server.start(process.execPath, ['-e', 'process.exit(3)'], {}),
      /The server ended \(3\)/,
    );
  });

  test('the paced client counts unanswered requests', async (t) => {
    let taken = 0;
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      if (taken++ % 2 === 0) socket.end('HTTP/1.1 200 OK\r\n\r\nHello!');
      else socket.destroy();
    });
    t.after(() => server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const load = await paced({ port: server.address().port, rate: 100, durationS: 0.2 });
    assert.deepEqual([load.requests, load.errors], [10, 10]);
  });

  test('CPU time read from the kernel grows with work', async () => {
    const before = cpuTimeUs(process.pid);
    const used = process.cpuUsage();
    while (process.cpuUsage(used).user < 300_000);
    const spentUs = cpuTimeUs(process.pid) - before;
    const { user, system } = process.cpuUsage(used);
    assert.ok(Math.abs(spentUs - user - system) <= 60_000, `${spentUs} against ${user + system}`);
  });

  test('reports that wrk is missing', () => {
    const { status, stderr, stdout } = spawnSync(process.execPath, ['bench/run.js', 'connections'], {
      cwd: root,
      env: { ...process.env, PATH: '/nonexistent' },
      encoding: 'utf8',
    });
    assert.deepEqual({ status, stdout }, { status: 2, stdout: '' });
    assert.match(stderr, /needs wrk in PATH.*apt-get install wrk/);
  });

  test('run.js lists the available benchmarks', () => {
    const { status, stderr } = spawnSync(process.execPath, ['bench/run.js'], { cwd: root, encoding: 'utf8' });
    assert.equal(status, 2);
    assert.match(stderr, /NAME is one of: .*connections/);
  });
});

test('the server is a plain HTTP server', async () => {
  const server = await Server.start(process.execPath, [hello, 'node', '1'], {});
  try {
    const [response] = await once(http.get({ port: server.port, host: '127.0.0.1' }), 'response');
    assert.equal(response.statusCode, 200);
    assert.equal(await response.setEncoding('utf8').toArray().then(String), 'Hello!');
  } finally {
    await server.stop();
  }
});
