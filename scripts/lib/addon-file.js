'use strict';

/**
 * The name of the addon's file for the running Linux, as lib/native/index.js looks for it. Part of the
 * published package: scripts/install.js needs it.
 */

/** The C library of this Node: 'gnu' or 'musl'. */
function libcName() {
  const report = /** @type {any} */ (process.report);
  report.excludeNetwork = true; // It would look up the names of open sockets' peers.
  return report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl';
}

function addonFileName() {
  return `manycore.linux-${process.arch}-${libcName()}.node`;
}

module.exports.addonFileName = addonFileName;
module.exports.libcName = libcName;
