'use strict';

/**
 * Loads the package the way test runners such as Jest do: with a module system of its own, in a vm context that has
 * the globals of Node and built-in classes (Object, Error, Map) of its own.
 */

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const { createRequire, isBuiltin } = require('node:module');

/** Classes that such contexts take from Node's, as Buffer is one of them. */
const SHARED = ['ArrayBuffer', 'Uint8Array'];

class Realm {
  #context = vm.createContext();
  /** @type {Map<string, { exports: any }>} */
  #modules = new Map();
  #builtins;
  #isOver = false;

  /** @param {Record<string, any>} [builtins] modules in place of Node's, by their requests */
  constructor(builtins = {}) {
    this.#builtins = builtins;
    const globals = this.run('globalThis');
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(globalThis))) {
      const isOwn = Object.hasOwn(globals, name) && !SHARED.includes(name);
      if (!isOwn && name !== 'globalThis') Object.defineProperty(globals, name, descriptor);
    }
    globals.global = globals;
  }

  /** From now on, modules cannot load others: a test runner has ended this file's. */
  end() {
    this.#isOver = true;
  }

  /**
   * Runs code with the globals of this realm.
   * @param {string} code
   */
  run(code) {
    return vm.runInContext(code, this.#context);
  }

  /**
   * @param {string} filename
   * @returns {any} its exports
   */
  load(filename) {
    const known = this.#modules.get(filename);
    if (known !== undefined) return known.exports;
    const requireOfNode = createRequire(filename);
    if (!filename.endsWith('.js')) return requireOfNode(filename);
    const module = { exports: {} };
    this.#modules.set(filename, module);
    const requireHere = Object.assign(
      (/** @type {string} */ request) => {
        if (this.#isOver) return undefined;
        if (isBuiltin(request)) return this.#builtins[request] ?? require(request);
        return this.load(requireOfNode.resolve(request));
      },
      { resolve: requireOfNode.resolve, cache: Object.create(null) },
    );
    const parameters = ['exports', 'require', 'module', '__filename', '__dirname'];
    const code = fs.readFileSync(filename, 'utf8');
    const run = vm.compileFunction(code, parameters, { filename, parsingContext: this.#context });
    const values = [module.exports, requireHere, module, filename, path.dirname(filename)];
    Reflect.apply(run, module.exports, values);
    return module.exports;
  }
}

module.exports.Realm = Realm;
