'use strict';

const { builtinModules } = require('node:module');
const js = require('@eslint/js');
const globals = require('globals');

const bareBuiltins = builtinModules
  .filter((name) => !name.startsWith('node:') && !name.startsWith('_'))
  .map((name) => ({ name, message: `Write 'node:${name}'.` }));

const rules = {
  ...js.configs.recommended.rules,
  curly: ['error', 'multi-line'],
  eqeqeq: 'error',
  'no-constant-binary-expression': 'error',
  'no-implicit-globals': 'error',
  'no-promise-executor-return': 'error',
  'no-shadow': 'error',
  'no-template-curly-in-string': 'error',
  'no-throw-literal': 'error',
  'no-unused-vars': ['error', { args: 'after-used', caughtErrors: 'all', argsIgnorePattern: '^_' }],
  'no-var': 'error',
  'object-shorthand': 'error',
  'prefer-const': 'error',
  'no-restricted-imports': ['error', { paths: bareBuiltins }],
};

module.exports = [
  { ignores: ['target/', 'node_modules/', 'lib/native/', 'bench/results/', 'examples/out/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.js', '**/*.cjs'],
    languageOptions: { ecmaVersion: 2023, sourceType: 'commonjs', globals: globals.node },
    rules: {
      ...rules,
      strict: ['error', 'global'],
      // The deprecated form is fine for ESLint itself, which keeps no other rule for require().
      'no-restricted-modules': ['error', { paths: bareBuiltins }],
    },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: { ecmaVersion: 2023, sourceType: 'module', globals: globals.nodeBuiltin },
    rules,
  },
  {
    // The documented examples and the preload fixtures show what applications write.
    files: ['examples/**'],
    rules: { 'no-restricted-modules': 'off', 'no-restricted-imports': 'off' },
  },
];
