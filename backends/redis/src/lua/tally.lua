-- Answers how many runs of this shard there are of each sort, `TENANT,STATUS,QUEUE,WORKFLOW`: sorts and numbers in turns.
-- Where what was counted along is not right, every head is counted from the beginning, and put into the set of its workflow:
-- at most ARGV[3] heads in a call, so that others have their turn. Then the answer is `more` until it is done.
local kept = counts_if_right()
if kept then return kept end

local at = recounting()
if not at then
  at = { rank = 1, member = '' }
  recount = at
  call('HSET', tag .. 'recount', 'rank', 1, 'member', '')
  -- Those that no run is of any more go, too.
  local old = call('HKEYS', tag .. 'tally')
  for i = 1, #old do workflow_set(match(old[i], '[^,]*$')) end
  call('UNLINK', tag .. 'tally')
end
local LANE = '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%S+) '
local left = tonumber(ARGV[3])
local sets = {}
while left > 0 and at.rank <= #STATUSES do
  local status = STATUSES[at.rank]
  local from = at.member == '' and '-' or '(' .. at.member
  local members = call('ZRANGE', tag .. 'status:' .. status, from, '+', 'BYLEX', 'LIMIT', 0, left)
  for m = 1, #members do
    local id = sub(members[m], 17)
    -- Lua keeps every text that it has seen in one table, where whole heads of many runs are too much alike.
    local line = call('GETRANGE', tag .. 'head:' .. id, 0, 255)
    local lane = match(line, LANE)
    if not lane and line ~= '' then lane = parse_place(parse(call('GET', tag .. 'head:' .. id)).place).lane end
    -- A run whose head was lost is nobody's; left out, it would be looked for each time.
    local place = { status = status, lane = lane or ',' }
    count(lane and id or ',', place, 1)
    local workflow = workflow_of(place)
    local set = sets[workflow] or {}
    sets[workflow] = set
    set[#set + 1] = 0
    set[#set + 1] = members[m]
  end
  if #members < left then
    at.rank, at.member = at.rank + 1, ''
  else
    at.member = members[#members]
  end
  left = left - #members
end
for workflow, set in pairs(sets) do
  each_part('ZADD', tag .. workflow_set(workflow), set, 1, #set)
end
keep_count()
if at.rank <= #STATUSES then
  call('HSET', tag .. 'recount', 'rank', at.rank, 'member', at.member)
  return { 'more' }
end
call('UNLINK', tag .. 'recount')
return call('HGETALL', tag .. 'tally')
