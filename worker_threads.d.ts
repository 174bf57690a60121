import './types/requests';

export * from 'node:worker_threads';
