-- The requests that bench/harness/wrk.py puts into the environment, and what was measured as one line of JSON:
-- with BENCH_TOKENS, GET with the bearer tokens of that file in turn; otherwise POST of BENCH_BODY.
local file = os.getenv("BENCH_TOKENS")
if file then
  local tokens, at = {}, 0
  for line in io.lines(file) do tokens[#tokens + 1] = "Bearer " .. line end
  request = function()
    at = at % #tokens + 1
    return wrk.format("GET", nil, { ["Authorization"] = tokens[at] })
  end
else
  wrk.method = "POST"
  wrk.body = os.getenv("BENCH_BODY")
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  wrk.headers["Authorization"] = os.getenv("BENCH_AUTHORIZATION")
end

if os.getenv("BENCH_VARY") then
  -- No request twice: a parameter that nobody knows and everybody has to ignore (RFC 6749 section 3.2) counts.
  local body, sent = wrk.body, 0
  request = function()
    sent = sent + 1
    return wrk.format(nil, nil, nil, body .. "&number=" .. sent)
  end
end

done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nBENCH {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
