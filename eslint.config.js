'use strict';

const { builtinModules } = require('node:module');
const js = require('@eslint/js');
const globals = require('globals');

const bareBuiltins = builtinModules
  .filter((name) => !name.startsWith('node:'))
  .map((name) => ({ name, message: `Write 'node:${name}'.` }));

const rules = {
  ...js.configs.recommended.rules,
  curly: ['error', 'multi-line'],
  eqeqeq: 'error',
  'no-implicit-globals': 'error',
  'no-template-curly-in-string': 'error',
  'no-throw-literal': 'error',
  'no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
  'no-var': 'error',
  'object-shorthand': 'error',
  'prefer-const': 'error',
};

module.exports = [
  { ignores: ['target/', 'lib/native/', 'bench/results/', 'examples/out/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.js', '**/*.cjs'],
    languageOptions: { ecmaVersion: 2023, sourceType: 'commonjs', globals: globals.node },
    rules: {
      ...rules,
      strict: ['error', 'global'],
      'no-restricted-modules': ['error', { paths: bareBuiltins }],
    },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: { ecmaVersion: 2023, sourceType: 'module', globals: globals.nodeBuiltin },
    rules: { ...rules, 'no-restricted-imports': ['error', { paths: bareBuiltins }] },
  },
  {
    // Examples and fixtures represent applications, which use both forms.
    files: ['examples/**', '__test__/fixtures/**'],
    rules: { 'no-restricted-modules': 'off', 'no-restricted-imports': 'off' },
  },
];
