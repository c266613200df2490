-- Answers how many runs of this shard there are of each sort, `TENANT,STATUS,QUEUE,WORKFLOW`: sorts and numbers in turns.
-- The other scripts count along. Runs that were written by a program that does not are found by this: the number of each
-- status is that of its set. Where it is not, every head is counted anew.
local STATUSES = { 'queued', 'running', 'waiting', 'paused', 'cancelling', 'succeeded', 'failed', 'cancelled' }
local kept = call('HGETALL', tag .. 'tally')
local sums = {}
for i = 1, #kept, 2 do
  local status = match(kept[i], '^[^,]*,([^,]*)')
  sums[status] = (sums[status] or 0) + kept[i + 1]
end
local right = true
for _, status in ipairs(STATUSES) do
  right = right and (sums[status] or 0) == call('ZCARD', tag .. 'status:' .. status)
end
if right then return kept end

for _, status in ipairs(STATUSES) do
  local first = 0
  repeat
    local members = call('ZRANGE', tag .. 'status:' .. status, first, first + 1999)
    local keys = {}
    for i = 1, #members do keys[i] = tag .. 'head:' .. sub(members[i], 17) end
    local values = #keys > 0 and mget(keys) or {}
    for i = 1, #members do
      local run = parse(values[i])
      -- A run whose head was lost is nobody's; left out, it would be looked for each time.
      local lane = run and match(run.place, '^%S+ %S+ (%S+)') or ','
      count(run and sub(members[i], 17) or ',', { status = status, lane = lane }, 1)
    end
    first = first + 2000
  until #members < 2000
end
call('DEL', tag .. 'tally')
keep_count()
return call('HGETALL', tag .. 'tally')
