-- The schedule of throttle/schedule.py, in Redis or Valkey: every change is one call of this script.
-- All times are microseconds of the server's clock; numbers up to 2^53 are exact here.
--
-- KEYS   schedule (hash), members (sorted set: name by last sign of life),
--        returned (sorted set: instants that were given back)
-- ARGV   operation, member, gap, spacing, tolerance, seconds that a silent member counts, and:
--          join     latest, settle, settle of a schedule that is not there yet
--          reserve  count, lead, pad
--          give     instants
--          pause    by how much from now
--          leave
-- Reply  now, earliest free instant, members, rank of this one, end of the pause, instants;
--        or false: this schedule is not there (any more), join first.

local LONG_AGO = -2 ^ 52
local KEPT = 3600 -- seconds; whoever is there refreshes it

local schedule, members, returned = KEYS[1], KEYS[2], KEYS[3]
local operation, member = ARGV[1], ARGV[2]
local gap, spacing, tolerance = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local silence = tonumber(ARGV[6]) * 1000000
local argument = function(number) return tonumber(ARGV[6 + number]) end
local exact = function(number) return string.format('%.0f', number) end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local stored = redis.call('HMGET', schedule, 'last', 'used', 'pause', 'settled', 'seen')
local there = stored[5] and true or false
if not there and operation ~= 'join' then return false end
local last = tonumber(stored[1] or LONG_AGO)
local used = tonumber(stored[2] or LONG_AGO)
local pause = tonumber(stored[3] or LONG_AGO)
local settled = tonumber(stored[4] or LONG_AGO)
local seen = tonumber(stored[5] or LONG_AGO)

local function returned_between(low, high)
  return redis.call('ZRANGEBYSCORE', returned, low, high)
end

-- A clock that steps back takes everything along, as if no time had passed.
local back = seen - now
if there and back > 0 then
  last, used, pause, settled = last - back, used - back, pause - back, settled - back
  for _, instant in ipairs(returned_between('-inf', '+inf')) do
    redis.call('ZREM', returned, instant)
    redis.call('ZADD', returned, exact(instant - back), exact(instant - back))
  end
end

local function fresh(earliest)
  return math.max(earliest, last + gap, used - tolerance)
end

local function pause_until(instant)
  pause = math.max(pause, instant)
  redis.call('ZREMRANGEBYSCORE', returned, '-inf', '(' .. exact(pause))
end

local instants = {}

if operation == 'join' then
  local latest, settle = argument(1), argument(2)
  if not there then settle = math.max(settle, argument(3)) end
  last = math.max(last, latest)
  used = math.max(used, latest + spacing)
  if settle > 0 and now >= settled then
    settled = now + settle
    pause_until(settled)
  end
elseif operation == 'reserve' then
  local count, pad = argument(1), argument(3)
  local earliest = math.max(now + argument(2), pause)
  redis.call('ZREMRANGEBYSCORE', returned, '-inf', '(' .. exact(now))
  -- A slot that was reserved by somebody exact is too narrow for somebody vague.
  local again = {}
  if count > 0 and pad == 0 then
    again = redis.call('ZRANGEBYSCORE', returned, exact(earliest), '+inf', 'LIMIT', 0, count)
  end
  for number = 1, count do
    local instant
    if again[number] then
      instant = tonumber(again[number])
      redis.call('ZREM', returned, again[number])
    else
      instant = fresh(earliest)
      last = instant + pad
      used = math.max(used, last) + spacing
    end
    instants[number] = instant
  end
  table.sort(instants)
elseif operation == 'give' then
  for number = 7, #ARGV do
    local instant = tonumber(ARGV[number])
    if instant >= math.max(now, pause) and instant <= last then -- later: of a clock before a step
      redis.call('ZADD', returned, exact(instant), exact(instant))
    end
  end
elseif operation == 'pause' then
  pause_until(now + argument(1))
  redis.call('PUBLISH', schedule, member .. ' ' .. exact(pause))
end

if operation == 'leave' then
  redis.call('ZREM', members, member)
else
  redis.call('ZADD', members, exact(now), member)
end
if operation == 'leave' or operation == 'join' then
  redis.call('PUBLISH', schedule, member .. ' change')
end
redis.call('ZREMRANGEBYSCORE', members, '-inf', '(' .. exact(now - silence))
local all, rank = redis.call('ZRANGE', members, 0, -1), 0
for _, other in ipairs(all) do
  if other < member then rank = rank + 1 end
end

redis.call('HSET', schedule, 'last', exact(last), 'used', exact(used), 'pause', exact(pause),
  'settled', exact(settled), 'seen', exact(now))
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, KEPT)
end

local free = fresh(math.max(now, pause))
local earlier = redis.call('ZRANGEBYSCORE', returned, exact(now), '+inf', 'LIMIT', 0, 1)[1]
if earlier then free = math.min(free, tonumber(earlier)) end
return { now, free, #all, rank, pause, unpack(instants) }
