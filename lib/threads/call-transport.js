'use strict';

const { MessagePort } = require('node:worker_threads');
const { withSystemErrors } = require('../core/errors');
const { CallLink } = require('../link/call-link');
const { LaneReceiver } = require('../link/lane-receiver');
const { LaneSender } = require('../link/lane-sender');
const { runTicks, tick } = require('./ticks');

/** Room for bursts; memory is committed only as it is used. */
const LANE_BYTES = 256 * 1024;

/**
 * @typedef {Pick<import('../link/call-link').Transport, 'postBeside' | 'takeBeside' | 'assist'>} Beside
 */

/**
 * Opens a link over the lanes of a call point, with one of the platform's ports beside them.
 * @param {typeof import('../native/index')} addon
 * @param {import('../native/index').CallPoint} point
 * @param {Beside & { close?: () => void }} beside
 */
function openLink(addon, point, beside) {
  const end = withSystemErrors('open', () => point.open(LANE_BYTES));
  return new CallLink({
    ...beside,
    sender: new LaneSender(end.sender()),
    receiver: new LaneReceiver(end.receiver()),
    close() {
      end.close();
      point.close();
      beside.close?.();
    },
    tick: () => runTicks !== undefined && tick(addon.reportUncaught),
  });
}

/**
 * Finds the ports in a message, which `receiveMessageOnPort` does not report.
 * @param {any} value
 * @returns {MessagePort[]}
 */
function portsIn(value) {
  /** @type {Set<any>} */
  const seen = new Set();
  /** @type {MessagePort[]} */
  const ports = [];
  const waiting = [value];
  while (waiting.length > 0) {
    const each = waiting.pop();
    if (typeof each !== 'object' || each === null || seen.has(each)) continue;
    seen.add(each);
    if (each instanceof MessagePort) ports.push(each);
    else if (each instanceof Map) waiting.push(...each.keys(), ...each.values());
    else if (each instanceof Set) waiting.push(...each);
    else if (!ArrayBuffer.isView(each)) waiting.push(...Object.values(each).reverse());
  }
  return ports;
}

module.exports.openLink = openLink;
module.exports.portsIn = portsIn;
