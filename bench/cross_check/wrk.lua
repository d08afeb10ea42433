-- Sends every line of a file once as a request body, and prints the counts as one line of JSON.
-- Arguments: path to post to, file, number of threads. Thread i of n sends lines i, i + n, and so on.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  path, sent, bodies = arguments[1], 0, {}
  local line, shares = 0, tonumber(arguments[3])
  for body in io.lines(arguments[2]) do
    if line % shares == number then table.insert(bodies, body) end
    line = line + 1
  end
end

function request()
  sent = sent + 1
  return wrk.format("POST", path, nil, bodies[(sent - 1) % #bodies + 1])
end

function done(summary, latency)
  local most = 0
  for _, thread in ipairs(threads) do most = math.max(most, thread:get("sent")) end
  local failed = summary.errors
  local broken = failed.connect + failed.read + failed.write + failed.timeout
  io.write(string.format(
    '\n{"requests": %d, "refused": %d, "broken": %d, "sent": %d, "duration_us": %d, ' ..
    '"p50_us": %.0f, "p95_us": %.0f, "p99_us": %.0f}\n',
    summary.requests, failed.status, broken, most * #threads, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
