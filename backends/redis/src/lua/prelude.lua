-- Put in front of every script. Keys and texts: see layout.rs; the form of a head: see mark.rs.
-- KEYS[1]: the shard's store mark, `{PREFIX:SHARD}:store`. Every other key is derived from it, so it has the same slot.
-- ARGV[1]: the store's id. ARGV[2]: milliseconds to add to the server's clock.
local call = redis.call
local sub, match, format = string.sub, string.match, string.format
if call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('IDENTITY this shard does not carry the mark of the store that was opened')
end
local tag = sub(KEYS[1], 1, -6)
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[2]

local NONE = '~'
local NOWHERE = '~~~~~~~~~~~~~~~~'
local RESTS = { paused = true, succeeded = true, failed = true, cancelled = true }
-- The largest whole number that a sorted set keeps exactly.
local LAST = 9007199254740991
-- Whether something became claimable or was posted: other workers are told.
local hint = false

local function digits(number)
  return format('%.0f', number)
end

-- The end of a lease that begins now. Past the range of a Timestamp it is the last one.
local function ends_after(ttl)
  local at = now + ttl
  if at >= 9223372036854775807 then return '9223372036854775807' end
  return digits(at)
end

-- A stored head, taken apart up to `place`, which only differs at a change of status, order, lane or worker.
local function parse(value)
  if not value then return nil end
  local mail, stands, ends, ttl, wake, version, fence, next_seq, place, rest =
    match(value, '^(.)(................) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) ([^\n]*)()')
  if not mail then error({ err = 'CORRUPT a head of this shard cannot be read: ' .. sub(value, 1, 200) }) end
  return {
    mail = mail == 'm', stands = stands, ends = ends, ttl = ttl, wake = wake, version = version, fence = fence,
    next_seq = next_seq, place = place, rest = rest, value = value,
  }
end

local function compose(mail, stands, ends, ttl, wake, version, fence, next_seq, place, body)
  return (mail and 'm' or '-') .. stands .. ' ' .. ends .. ' ' .. ttl .. ' ' .. wake .. ' ' .. version .. ' '
    .. fence .. ' ' .. next_seq .. ' ' .. place .. body
end

local function parse_place(place)
  local status, order, lane, worker = match(place, '^(%S+) (%S+) (%S+) (%S+)$')
  return { status = status, order = order, lane = lane, worker = worker }
end

-- `Head::due_from`: nil when never.
local function due_from(status, mail, wake, ends)
  if status and RESTS[status] then return nil end
  local at
  if mail then at = 0 elseif wake ~= NONE then at = tonumber(wake) else return nil end
  if ends ~= NONE then
    local ending = tonumber(ends)
    if ending > at then at = ending end
  end
  if at < 0 then return 0 elseif at > LAST then return LAST end
  return at
end

local function stand(at)
  return format('%016.0f', at)
end

-- A script first puts runs into the sets where they will have to be, then writes their heads, then takes them out of the sets
-- where they were: whatever first part of it is applied, as from a torn file (see layout.rs), no run is missing and none is
-- looked at too late.
local dropped = {}

local function put(set, score, member)
  local waits = dropped[set]
  if waits then waits[member] = nil end
  call('ZADD', tag .. set, score, member)
end

local function drop(set, member)
  dropped[set] = dropped[set] or {}
  dropped[set][member] = true
end

-- Comes behind the heads in each script that moves runs.
local function drop_all()
  for set, members in pairs(dropped) do
    for member in pairs(members) do call('ZREM', tag .. set, member) end
  end
end

-- A ready run is in the list of its lane and in the list of its lane and tenant.
local function ready_put(id, order, lane)
  local tenant = match(id, '^[^,]*')
  put('ready:' .. lane, 0, order .. id)
  call('SADD', tag .. 'lanes', lane)
  put('ready:' .. lane .. ':' .. tenant, 0, order .. id)
  call('SADD', tag .. 'lanes:' .. tenant, lane)
  hint = true
end

local function ready_drop(id, order, lane)
  drop('ready:' .. lane, order .. id)
  drop('ready:' .. lane .. ':' .. match(id, '^[^,]*'), order .. id)
end

-- Whether a run whose status, order and lane do not change stands early enough. Standing at all, it does not rest.
local function stands_early(run, mail, wake, ends)
  if run.stands == NOWHERE then return false end
  local due = due_from(nil, mail, wake, ends)
  return due and tonumber(run.stands) <= due
end

-- Puts a run where it has to stand now, unless it stands early enough already; says where it stands.
-- It may stand too early, never too late: whoever takes it out looks at the head again.
local function settle(id, old, old_place, place, mail, wake, ends)
  local stands = old and old.stands or NOWHERE
  local due = due_from(place.status, mail, wake, ends)
  local moved = old and (old_place.order ~= place.order or old_place.lane ~= place.lane)
  if stands ~= NOWHERE then
    if due and not moved and tonumber(stands) <= due then return stands end
    drop('later', id)
    ready_drop(id, old_place.order, old_place.lane)
  end
  if not due then return NOWHERE end
  if due <= now then
    ready_put(id, place.order, place.lane)
  else
    if stands ~= NOWHERE then due = math.min(due, tonumber(stands)) end
    put('later', digits(due), id)
  end
  return stand(due)
end

-- Sets are read by `order` without the priority, then id: the order of a scan.
local function age(place, id)
  return sub(place.order, 6) .. id
end

local STATUSES = { 'queued', 'running', 'waiting', 'paused', 'cancelling', 'succeeded', 'failed', 'cancelled' }
local RANKS = {}
for i = 1, #STATUSES do RANKS[STATUSES[i]] = i end

-- How far a count from the beginning has come, while there is one: `rank` of the status whose set it is in, `member` the
-- last that it has counted there. What stands behind that place is counted when it comes there, so it is not counted along.
local recount
local function recounting()
  if recount == nil then
    local at = call('HMGET', tag .. 'recount', 'rank', 'member')
    recount = at[1] and { rank = tonumber(at[1]), member = at[2] } or false
  end
  return recount
end

local function is_counted(id, place)
  local at = recounting()
  if not at then return true end
  local rank = RANKS[place.status]
  return rank < at.rank or (rank == at.rank and age(place, id) <= at.member)
end

-- How many runs there are more, or less, of each sort.
local counted = {}

local function workflow_of(place)
  return match(place.lane, '^[^,]*,([^,]*)')
end

local function count(id, place, runs)
  local queue, workflow = match(place.lane, '^([^,]*),([^,]*)')
  local sort = match(id, '^[^,]*') .. ',' .. place.status .. ',' .. queue .. ',' .. workflow
  counted[sort] = (counted[sort] or 0) + runs
end

-- Writes what was counted. Comes last in each script that changes the status or the lane of runs.
local function keep_count()
  for sort, runs in pairs(counted) do
    if runs ~= 0 then call('HINCRBY', tag .. 'tally', sort, digits(runs)) end
  end
end

-- A workflow's set to put runs into. Whatever is in it is of before a count from the beginning, until the first run since then
-- is put there.
local function workflow_set(workflow)
  local set = 'workflow:' .. workflow
  if recounting() and call('HSETNX', tag .. 'recount', 'set:' .. workflow, 1) == 1 then call('UNLINK', tag .. set) end
  return set
end

-- What was counted, sorts and numbers in turns; nil while runs are counted from the beginning, and when a program wrote here
-- that does not count. It did when the numbers of a status or a workflow do not add up to its set.
local function counts_if_right()
  if recounting() then return nil end
  local kept = call('HGETALL', tag .. 'tally')
  local sums = {}
  for i = 1, #STATUSES do sums['status:' .. STATUSES[i]] = 0 end
  for i = 1, #kept, 2 do
    local status, workflow = match(kept[i], '^[^,]*,([^,]*),[^,]*,(.*)$')
    status, workflow = 'status:' .. status, 'workflow:' .. workflow
    sums[status] = sums[status] + kept[i + 1]
    sums[workflow] = (sums[workflow] or 0) + kept[i + 1]
  end
  for set, sum in pairs(sums) do
    if sum ~= call('ZCARD', tag .. set) then return nil end
  end
  return kept
end

-- Moves a run between the sets that scans read, and counts it where it is. Either place may be nil: the run was or is not there.
local function reindex(id, old, new)
  local was, is = old and old.status, new and new.status
  if was ~= is or old.lane ~= new.lane then
    if old and is_counted(id, old) then count(id, old, -1) end
    if new and is_counted(id, new) then count(id, new, 1) end
    local from, to = old and workflow_of(old), new and workflow_of(new)
    if from ~= to then
      if from then drop('workflow:' .. from, age(old, id)) end
      if to then put(workflow_set(to), 0, age(new, id)) end
    end
  end
  if was ~= is then
    if was then drop('status:' .. was, age(old, id)) end
    if is then put('status:' .. is, 0, age(new, id)) end
  end
  was, is = old and old.worker or NONE, new and new.worker or NONE
  if was ~= is then
    if was ~= NONE then drop('worker:' .. was, age(old, id)) end
    if is ~= NONE then put('worker:' .. is, 0, age(new, id)) end
  end
end

-- Calls with at most 2000 arguments each: Lua's stack is bounded.
local function mget(keys)
  if #keys <= 2000 then return call('MGET', unpack(keys)) end
  local values = {}
  for first = 1, #keys, 2000 do
    local part = call('MGET', unpack(keys, first, math.min(first + 1999, #keys)))
    for i = 1, #part do values[first + i - 1] = part[i] end
  end
  return values
end

local function each_part(name, key, list, first, last)
  for at = first, last, 2000 do
    call(name, key, unpack(list, at, math.min(at + 1999, last)))
  end
end

-- Only a hint: a login that may not publish must not make the write fail.
local function tell(channel)
  if hint then redis.pcall('PUBLISH', channel, '') end
end
