'use strict';

/**
 * File name of the addon for the running Linux, as lib/native/index.js looks for it. Included in the published
 * package, since scripts/install.js needs it.
 */

/** Returns the C library of this Node: 'gnu' or 'musl'. */
function libcName() {
  const report = /** @type {any} */ (process.report);
  report.excludeNetwork = true; // Otherwise, the report would resolve the host names of open sockets' peers.
  return report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl';
}

function addonFileName() {
  return `manycore.linux-${process.arch}-${libcName()}.node`;
}

module.exports.addonFileName = addonFileName;
module.exports.libcName = libcName;
