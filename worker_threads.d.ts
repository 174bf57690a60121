import './types/requests';

export * from 'node:worker_threads';
export { BroadcastChannel } from './types/broadcast';
export { locks } from './types/thread-locks';
export {
  Worker,
  isInternalThread,
  isMarkedAsUntransferable,
  markAsUncloneable,
  threadName,
} from './types/threads';
export type { WorkerOptions } from './types/threads';
