'use strict';

const selfsigned = require('selfsigned');

/** @type {Promise<{ key: string, cert: string }> | undefined} */
let pending;

/**
 * Returns a key and a certificate for `localhost`, generated once per process.
 * @returns {Promise<{ key: string, cert: string }>} PEM
 */
function certificate() {
  pending ??= selfsigned
    .generate([{ name: 'commonName', value: 'localhost' }], { keyType: 'ec', algorithm: 'sha256' })
    .then((pems) => ({ key: pems.private, cert: pems.cert }));
  return pending;
}

module.exports.certificate = certificate;
