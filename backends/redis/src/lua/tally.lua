-- Answers how many runs of this shard there are of each sort, `TENANT,STATUS,QUEUE,WORKFLOW`: sorts and numbers in turns.
-- Where what was counted along is not right, every head is counted anew, and put into the set of its workflow.
local kept = counts_if_right()
if kept then return kept end

local old = call('HKEYS', tag .. 'tally')
for i = 1, #old do
  call('DEL', tag .. 'workflow:' .. match(old[i], '[^,]*$'))
end
call('DEL', tag .. 'tally')
local LANE = '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%S+) '
local begun = {}
for i = 1, #STATUSES do
  local first = 0
  repeat
    local members = call('ZRANGE', tag .. 'status:' .. STATUSES[i], first, first + 499)
    local sets = {}
    for m = 1, #members do
      local id = sub(members[m], 17)
      -- Lua keeps every text that it has seen in one table, where whole heads of many runs are too much alike.
      local line = call('GETRANGE', tag .. 'head:' .. id, 0, 255)
      local lane = match(line, LANE)
      if not lane and line ~= '' then lane = parse_place(parse(call('GET', tag .. 'head:' .. id)).place).lane end
      -- A run whose head was lost is nobody's; left out, it would be looked for each time.
      local place = { status = STATUSES[i], lane = lane or ',' }
      count(lane and id or ',', place, 1)
      local workflow = workflow_of(place)
      local set = sets[workflow] or {}
      sets[workflow] = set
      set[#set + 1] = 0
      set[#set + 1] = members[m]
    end
    for workflow, set in pairs(sets) do
      local key = tag .. 'workflow:' .. workflow
      if not begun[workflow] then call('DEL', key) end
      begun[workflow] = true
      each_part('ZADD', key, set, 1, #set)
    end
    collectgarbage()
    first = first + 500
  until #members < 500
end
keep_count()
return call('HGETALL', tag .. 'tally')
