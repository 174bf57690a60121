'use strict';

const selfsigned = require('selfsigned');

/** @type {Promise<{ key: string, cert: string }> | undefined} */
let pending;

/**
 * A key and a certificate for `localhost`, made once for this process.
 * @returns {Promise<{ key: string, cert: string }>} PEM
 */
function certificate() {
  pending ??= selfsigned
    .generate([{ name: 'commonName', value: 'localhost' }], { keyType: 'ec', algorithm: 'sha256' })
    .then((pems) => ({ key: pems.private, cert: pems.cert }));
  return pending;
}

module.exports.certificate = certificate;
