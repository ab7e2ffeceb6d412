-- GET requests with bearer tokens in turn, from the file that bench/harness/sidecar.py names in the environment.
local tokens, at = {}, 0
for line in io.lines(os.getenv("BENCH_TOKENS")) do tokens[#tokens + 1] = "Bearer " .. line end

request = function()
  at = at % #tokens + 1
  return wrk.format("GET", nil, { ["Authorization"] = tokens[at] })
end

done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nBENCH {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
