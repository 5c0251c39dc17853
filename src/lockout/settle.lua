-- Forgets the failures of KEYS[1] (a device, or a pair) and remembers KEYS[2] for ARGV[1]
-- milliseconds: that the account logged in from this network.
redis.call('DEL', KEYS[1])
if KEYS[2] then
  redis.call('SET', KEYS[2], 1, 'PX', ARGV[1])
end
return 1
