'use strict';

/*
 * A cluster worker of the soak: serves, counts, takes the lock, sends, and is ended at any instant. Each of its
 * promises can be told afterwards from what others see.
 */

const http = require('node:http');
const { cluster, Channel, Mutex, SharedCounter, SharedMap } = require('../..');

const { SOAK_NAME: name = '' } = process.env;
// One that was told to end before it had begun must not make them anew.
const served = SharedCounter.open(`${name}-served`, { create: false });
const map = SharedMap.open(`${name}-map`, { create: false });
const mutex = Mutex.open(`${name}-mutex`, { create: false });
const channel = Channel.open(`${name}-channel`, { create: false });

let sequence = 0;

/** Two entries that are equal whenever nobody has the lock, unless its holder died. */
async function changePair() {
  const token = await mutex.lockAsync();
  try {
    const [first, second] = [map.get('first'), map.get('second')];
    if (first !== second && !token.ownerDied) throw new Error(`the pair is ${first}, ${second}`);
    const next = Math.max(first, second) + 1;
    map.set('first', next);
    map.set('second', next);
  } finally {
    token.unlock();
  }
}

async function work() {
  for (;;) {
    await changePair();
    map.set(`entry-${sequence % 500}`, { by: process.pid, sequence, text: 'x'.repeat(sequence % 300) });
    const item = { by: process.pid, sequence: sequence++ };
    channel.trySend(item);
    if (process.connected) process.send?.(item);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// Its endless work would keep it alive.
process.once('disconnect', () => process.exit());
process.on('message', (message) => process.send?.({ echo: message }));
http
  .createServer((_request, response) => {
    served.add();
    response.end(`${process.pid}`);
  })
  .listen(Number(process.env.SOAK_PORT));

work().catch((error) => {
  // Told by the message, as an exit alone would be one of many.
  process.send?.({ failure: String(error.stack) }, () => process.exit(1));
});

// Only for the type: what is started here is always a worker.
if (cluster.isPrimary) throw new Error('this is a worker of the soak');
