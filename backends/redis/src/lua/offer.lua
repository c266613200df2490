-- Says which runs of this shard stand ready, without taking them.
-- ARGV[3]: how many whose time has come to make ready at most. ARGV[4]: how many of each lane to name.
-- ARGV[5]: tenant, '' for any. ARGV[6]: number of queues, the queues, number of workflows, the `NAME,VERSION`s.
-- Answers: 1 when more wait to be made ready, else 0; then for each lane its name and its first members.
local most, named, tenant = tonumber(ARGV[3]), ARGV[4], ARGV[5]
local function wanted(from)
  local n = tonumber(ARGV[from])
  if n == 0 then return nil, from + 1 end
  local set = {}
  for i = from + 1, from + n do set[ARGV[i]] = true end
  return set, from + n + 1
end
local queues, after = wanted(6)
local workflows = wanted(after)

local ripe = call('ZRANGEBYSCORE', tag .. 'later', '-inf', digits(now), 'LIMIT', 0, most)
if #ripe > 0 then
  local keys = {}
  for i = 1, #ripe do keys[i] = tag .. 'head:' .. ripe[i] end
  local values = mget(keys)
  local gone = {}
  for i = 1, #ripe do
    local id, run = ripe[i], parse(values[i])
    local place = run and parse_place(run.place)
    local due = run and due_from(place.status, run.mail, run.wake, run.ends)
    if due and due > now then
      -- It stood too early: a renewed lease does not move it.
      call('ZADD', tag .. 'later', digits(due), id)
      call('SETRANGE', keys[i], 1, stand(due))
    else
      gone[#gone + 1] = id
      if due then
        ready_put(id, place.order, place.lane)
      elseif run then
        call('SETRANGE', keys[i], 1, NOWHERE)
      end
    end
  end
  if #gone > 0 then each_part('ZREM', tag .. 'later', gone, 1, #gone) end
end

local answer = { #ripe == most and 1 or 0 }
local register = tenant == '' and tag .. 'lanes' or tag .. 'lanes:' .. tenant
local lanes = call('SMEMBERS', register)
for i = 1, #lanes do
  local lane = lanes[i]
  local queue, workflow = match(lane, '^([^,]*),(.*)$')
  if (not queues or queues[queue]) and (not workflows or workflows[workflow]) then
    local list = tag .. 'ready:' .. lane
    if tenant ~= '' then list = list .. ':' .. tenant end
    local members = call('ZRANGE', list, '-', '+', 'BYLEX', 'LIMIT', 0, named)
    if #members == 0 then
      call('SREM', register, lane)
    else
      answer[#answer + 1] = lane
      answer[#answer + 1] = members
    end
  end
end
return answer
