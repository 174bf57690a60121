'use strict';

/*
 * One HTTP server on every core: the classic cluster program, with only the `require` changed. The two `show` calls
 * print which workers listen and, after Ctrl-C, how many requests each has served.
 *
 *   node examples/cluster.js            # http://localhost:3000
 *   PORT=8080 node examples/cluster.js  # another port; 0 takes any free one
 */

const { cluster } = require('manycore');
const http = require('http');
const numCPUs = require('os').cpus().length;

const show = require('./support/show-cluster');

if (cluster.isMaster) {
  for (let i = 0; i < numCPUs; i++) cluster.fork(); // Fork workers
  show.primary(cluster);
} else {
  const server = http.createServer((req, res) => res.end('Hello!')).listen(Number(process.env.PORT ?? 3000));
  show.worker(cluster, server);
}
