-- Counts an attempt for the pair KEYS[1] and, unless KEYS[3] says that the network is known to the
-- account, for the account KEYS[2]; or counts nothing. ARGV: interval in microseconds and burst of
-- the pair, then of the account. Gives the microseconds to wait (0: counted), and 1 when the
-- account was counted.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function full(key)
  return math.max(tonumber(redis.call('GET', key) or now), now)
end
local function wait(at, interval, burst)
  return math.max(math.ceil(at - now - (burst - 1) * interval), 0)
end
local function put(key, at)
  redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000))
end

local pair_interval, pair_burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local account_interval, account_burst = tonumber(ARGV[3]), tonumber(ARGV[4])
local pair = full(KEYS[1])
local locked = wait(pair, pair_interval, pair_burst)
if redis.call('EXISTS', KEYS[3]) == 1 then
  if locked == 0 then
    put(KEYS[1], pair + pair_interval)
  end
  return { locked, 0 }
end
local account = full(KEYS[2])
locked = math.max(locked, wait(account, account_interval, account_burst))
if locked == 0 then
  put(KEYS[1], pair + pair_interval)
  put(KEYS[2], account + account_interval)
end
return { locked, 1 }
