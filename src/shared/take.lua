-- Takes up to ARGV[3] from the bucket KEYS[1], which grows by one every ARGV[1] microseconds up to
-- ARGV[2]. The value is the time at which the bucket will be full, by this server's clock, so that
-- the nodes' clocks do not matter. Gives what was taken, what is left, and when nothing was, the
-- microseconds until there is one.
local interval, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local room = math.floor(burst - (full - now) / interval)
if room < 1 then
  return { 0, 0, math.ceil(full - now - (burst - 1) * interval) }
end
local taken = math.min(room, want)
full = full + taken * interval
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return { taken, room - taken, 0 }
