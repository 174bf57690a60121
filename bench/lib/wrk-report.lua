-- Prints what wrk measured as one line of JSON: its own tables round to three digits and change units.
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '\nmanycore-report {"requests":%d,"durationUs":%d,"errors":%d,"latencyUs":{"p50":%d,"p99":%d,"max":%d}}\n',
    summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99), latency.max
  ))
end
