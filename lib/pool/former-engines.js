'use strict';

/** Engines that a pool has replaced and whose tasks have not ended yet. */

/** @typedef {import('./engine').Engine} Engine */

class FormerEngines {
  /** @type {Set<Engine>} */
  #engines = new Set();
  #completedBefore = 0;
  #busyMsBefore = 0;

  /** Tasks that they have completed. */
  get completed() {
    let completed = this.#completedBefore;
    for (const engine of this.#engines) completed += engine.completed;
    return completed;
  }

  /** Total run time of their tasks, in milliseconds. */
  get busyMs() {
    let busyMs = this.#busyMsBefore;
    for (const engine of this.#engines) busyMs += engine.busyMs;
    return busyMs;
  }

  /**
   * Lets an engine finish its tasks. Resolves when its workers have ended.
   * @param {Engine} engine
   * @param {Error} error what tasks of workers that still end are rejected with
   */
  async add(engine, error) {
    this.#engines.add(engine);
    await engine.whenIdle();
    await this.#end(engine, error);
  }

  async whenIdle() {
    await Promise.all([...this.#engines].map((engine) => engine.whenIdle()));
  }

  /** @param {Error} error */
  rejectWaiting(error) {
    for (const engine of this.#engines) engine.rejectWaiting(error);
  }

  /** @param {Error} error */
  async destroy(error) {
    await Promise.all([...this.#engines].map((engine) => this.#end(engine, error)));
  }

  /**
   * @param {Engine} engine
   * @param {Error} error
   */
  async #end(engine, error) {
    const { busyMs } = engine;
    await engine.destroy(error);
    if (!this.#engines.delete(engine)) return;
    this.#completedBefore += engine.completed;
    this.#busyMsBefore += busyMs;
  }
}

module.exports.FormerEngines = FormerEngines;
