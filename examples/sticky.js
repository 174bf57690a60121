'use strict';

/*
 * Socket.IO on every core. A client that cannot open a WebSocket polls over HTTP, on many connections, all of which
 * must reach the worker that has its session: `ip-hash` always routes an address to the same worker.
 *
 *   npm install socket.io
 *   node examples/sticky.js             # http://localhost:3000
 *   PORT=8080 node examples/sticky.js   # another port; 0 takes any free one
 *
 * A client: io('http://localhost:3000', { transports: ['polling'] }).emit('hello', 'you', console.log)
 */

const { cluster } = require('manycore');
const http = require('http');
const { Server } = require('socket.io');
const numCPUs = require('os').cpus().length;

const show = require('./support/show-cluster');

if (cluster.isPrimary) {
  cluster.schedulingPolicy = 'ip-hash';
  for (let i = 0; i < numCPUs; i++) cluster.fork();
  show.primary(cluster);
} else {
  const server = http.createServer();
  const io = new Server(server);
  io.on('connection', (socket) => {
    socket.on('hello', (name, answer) => answer(`Hello ${name}, from worker ${process.pid}`));
  });
  server.listen(Number(process.env.PORT ?? 3000));
  show.worker(cluster, server, () => io.disconnectSockets(true));
}
