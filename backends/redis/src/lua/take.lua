-- Leases ready runs to a worker.
-- ARGV[3]: worker. ARGV[4]: ttl. Then for each run: its member in the ready lists, its lane, the nonce of the new version.
-- Answers for each run the head as it is now, or '' when it is not due any more.
local worker, ttl = ARGV[3], ARGV[4]
local keys = {}
for at = 5, #ARGV, 3 do keys[#keys + 1] = tag .. 'head:' .. sub(ARGV[at], 22) end
local values = mget(keys)
local answer = {}
for i = 1, #keys do
  local at = 2 + 3 * i
  local id, lane = sub(ARGV[at], 22), ARGV[at + 1]
  local run = parse(values[i])
  local place = run and parse_place(run.place)
  local due = run and due_from(place.status, run.mail, run.wake, run.ends)
  answer[i] = ''
  local order = sub(ARGV[at], 1, 21)
  -- A run that was moved to another lane or order since it was offered is ready there.
  local here = run and place.lane == lane and place.order == order
  ready_drop(id, order, lane)
  if here and due and due <= now then
    local ends = ends_after(ttl)
    local counter = digits(match(run.version, '^%d+') + 1)
    local taken = { status = place.status, order = place.order, lane = lane, worker = worker }
    local text = place.status .. ' ' .. place.order .. ' ' .. lane .. ' ' .. worker
    local stands = stand(due_from(place.status, run.mail, run.wake, ends))
    put('later', digits(tonumber(stands)), id)
    reindex(id, place, taken)
    local value = compose(run.mail, stands, ends, ttl, run.wake, counter .. '-' .. ARGV[at + 2],
      digits(run.fence + 1), run.next_seq, text, sub(run.value, run.rest))
    call('SET', keys[i], value)
    answer[i] = value
  elseif here then
    -- It stood too early, or rests.
    local stands = NOWHERE
    if due then
      stands = stand(due)
      put('later', digits(due), id)
    end
    call('SETRANGE', keys[i], 1, stands)
  end
end
drop_all()
return answer
