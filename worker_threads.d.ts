import './types/requests';

export * from 'node:worker_threads';
export { BroadcastChannel } from './types/broadcast';
