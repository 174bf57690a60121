'use strict';

/*
 * State shared by the workers of a cluster: a cache filled by any of them for all, a rate limit per client across
 * all of them, and a counter. The memory is freed with the last process, and stays consistent if any of them is
 * killed.
 *
 *   node examples/cache.js                              # http://localhost:3000/?below=1000000
 *   node examples/cache.js --limit 5 --window 10000     # five requests in ten seconds for each address
 *   PORT=8080 node examples/cache.js                    # another port; 0 takes any free one
 */

const { RateLimiter, SharedCounter, SharedMap, cluster } = require('manycore');
const http = require('http');
const numCPUs = require('os').cpus().length;
const { parseArgs } = require('util');

const show = require('./support/show-cluster');

if (cluster.isPrimary) {
  const { values } = parseArgs({ options: { limit: { type: 'string' }, window: { type: 'string' } } });
  const common = {
    cache: new SharedMap({ evict: 'lru', ttlMs: 60_000 }),
    limiter: new RateLimiter({
      limit: Number(values.limit ?? 20),
      windowMs: Number(values.window ?? 10_000),
      algorithm: 'sliding-window',
    }),
    computed: new SharedCounter(),
  };
  for (let i = 0; i < numCPUs; i++) cluster.fork().send(common);
  show.primary(cluster);
} else {
  process.once('message', (/** @type {any} */ common) => {
    const server = http.createServer((request, response) => answer(common, request, response));
    server.listen(Number(process.env.PORT ?? 3000));
    show.worker(cluster, server);
  });
}

/**
 * Responds with the number of primes below a given number.
 * @param {{ cache: SharedMap<string, number>, limiter: RateLimiter, computed: SharedCounter }} common
 * @param {http.IncomingMessage} request
 * @param {http.ServerResponse} response
 */
function answer({ cache, limiter, computed }, request, response) {
  const { allowed, retryAfterMs } = limiter.take(request.socket.remoteAddress);
  if (!allowed) {
    response.writeHead(429, { 'Retry-After': Math.ceil(retryAfterMs / 1000) }).end('Too many requests');
    return;
  }
  const text = new URL(request.url ?? '/', 'http://localhost').searchParams.get('below') ?? '1000000';
  const below = Math.min(Number.parseInt(text, 10) || 0, 10_000_000);
  const primes = cache.getOrInsertComputed(`primes below ${below}`, () => {
    computed.add();
    return countPrimes(below);
  });
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ primes, computed: computed.value, worker: process.pid }));
}

/** @param {number} below */
function countPrimes(below) {
  const isComposite = new Uint8Array(Math.max(below, 0));
  let count = 0;
  for (let number = 2; number < below; number++) {
    if (isComposite[number] === 1) continue;
    count++;
    for (let multiple = number * number; multiple < below; multiple += number) isComposite[multiple] = 1;
  }
  return count;
}
