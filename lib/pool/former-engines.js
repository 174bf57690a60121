'use strict';

/** Engines that a pool has replaced and whose tasks have not ended yet. */

/** @typedef {import('./engine').Engine} Engine */

class FormerEngines {
  /** @type {Set<Engine>} */
  #engines = new Set();
  #completedBefore = 0;

  /** Tasks that they have completed. */
  get completed() {
    let completed = this.#completedBefore;
    for (const engine of this.#engines) completed += engine.completed;
    return completed;
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
    await engine.destroy(error);
    if (this.#engines.delete(engine)) this.#completedBefore += engine.completed;
  }
}

module.exports.FormerEngines = FormerEngines;
