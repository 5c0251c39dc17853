-- wrk sends one request after the other on each connection. From the environment:
--   FIELD, VALUES  a header field, and a file of its values, one a line: each request has the next one
--   RATE, CLIENTS  requests a second over all clients, by pauses between 0 and twice the mean; without: as fast as it goes
local values, rate = {}, tonumber(os.getenv("RATE") or "0")
local file = os.getenv("VALUES") or ""
if file ~= "" then for line in io.lines(file) do values[#values + 1] = line end end

if #values > 0 then
    local requests, at = {}, 0
    function init()
        for i, value in ipairs(values) do
            requests[i] = wrk.format("GET", wrk.path, { [os.getenv("FIELD")] = value })
        end
    end
    function request()
        at = at % #requests + 1
        return requests[at]
    end
end

if rate > 0 then
    local mean = 1000 * tonumber(os.getenv("CLIENTS")) / rate
    function delay() return math.floor(2 * mean * math.random() + 0.5) end
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format('RESULT {"requests":%d,"p50_us":%d,"p99_us":%d,"not_2xx":%d,"broken":%d}\n', summary.requests,
        latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
