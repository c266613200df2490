-- ARGV[3]: hint channel. ARGV[4]: number of batches. Then for each batch:
--   id, guard ('+' absent, '?' exists, else the version), version, fence, first seq, next seq, ttl, wake, place, body,
--   number of records, of messages, of ids to take, the records, the messages (id, text), the ids to take.
-- A batch without head has '' from version to body. Everything is checked first and written last.
-- Answers one word for each batch: 'a' accepted, '!VERSION' rejected, '!' rejected and no such run.
local count = tonumber(ARGV[4])
local at = 5
local ids, keys, places, starts, shared = {}, {}, {}, {}, {}
for b = 1, count do
  local id = ARGV[at]
  starts[b] = at
  if places[id] then
    -- Several batches for one run.
    shared[places[id]] = true
  else
    local n = #ids + 1
    places[id] = n
    ids[n] = id
    keys[n] = tag .. 'head:' .. id
  end
  at = at + 13 + ARGV[at + 10] + 2 * ARGV[at + 11] + ARGV[at + 12]
end
local runs = mget(keys)
for n = 1, #ids do runs[n] = parse(runs[n]) or false end

local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function created(place)
  return sub(match(place, '^%S+ (%S+)'), 6)
end

-- Phase 1: judge, as `Batch::judge` does. `planned` holds what the batches before have made of a run.
local verdicts, applies, planned = {}, {}, {}
for b = 1, count do
  local s = starts[b]
  local n = places[ARGV[s]]
  local current = planned[n] or runs[n]
  local guard, version = ARGV[s + 1], ARGV[s + 2]
  if version ~= '' and current and current.version == version then
    verdicts[b] = 'a'
  elseif (guard == '+' and not current) or (guard == '?' and current)
    or (current and current.version == guard) then
    if version ~= '' then
      local fence, first = ARGV[s + 3], ARGV[s + 4]
      local expected = current and current.next_seq or '1'
      if first ~= expected then
        return redis.error_reply('INVALID batch for ' .. ARGV[s] .. ' continues at record ' .. first
          .. ', the journal at ' .. expected)
      end
      if current and (less(fence, current.fence)
        or (ARGV[s + 8] ~= current.place and created(ARGV[s + 8]) ~= created(current.place))) then
        return redis.error_reply('INVALID batch for ' .. ARGV[s] .. ' lowers the fence or moves created_at')
      end
      if shared[n] then
        planned[n] = { version = version, fence = fence, next_seq = ARGV[s + 5], place = ARGV[s + 8] }
      end
    end
    verdicts[b] = 'a'
    applies[b] = true
  else
    verdicts[b] = '!' .. (current and current.version or '')
  end
end

-- Writes records to a journal behind those that the head knew of, whatever stands there. The journal is cut first, and by
-- commands that are always logged: without them what is applied again from a torn transaction would stay (see layout.rs).
local function append(id, first, from, to)
  local key = tag .. 'journal:' .. id
  call('RPUSH', key, '')
  if first == '1' then call('LTRIM', key, 1, 0) else call('LTRIM', key, 0, first - 2) end
  each_part('RPUSH', key, ARGV, from, to)
end

-- Messages are taken out behind the heads that know of them: id of the run → id of the message → how often it was seen there,
-- which is once unless it came out of a torn file too.
local taken = {}

-- Answers whether others stay in the inbox. Looks no further than to the first of them, where those to take stand in front.
local function take(id, first, last)
  local inbox = tag .. 'inbox:' .. id
  local gone = taken[id] or {}
  taken[id] = gone
  for i = first, last do gone[ARGV[i]] = gone[ARGV[i]] or 0 end
  local seen, left, at, page = {}, false, 0, last - first + 2
  repeat
    local ids = call('LRANGE', inbox, at, at + page - 1)
    at = at + page
    for i = 1, #ids do
      local message = ids[i]
      if gone[message] then
        seen[message] = (seen[message] or 0) + 1
        gone[message] = math.max(gone[message], seen[message])
      elseif call('HSTRLEN', tag .. 'mail:' .. id, message) > 0 then
        left = true
        break
      else
        -- Out of a torn file: it was taken before, or its text never came.
        call('LREM', inbox, 1, message)
        at = at - 1
      end
    end
  until left or #ids < page
  for i = first, last do
    local message = ARGV[i]
    if gone[message] == 0 then gone[message] = left and call('LPOS', inbox, message) and 1 or nil end
  end
  return left
end

-- Puts a message into an inbox, unless one of its id was there before. Answers whether it waits there now.
local function post(id, message, text)
  if taken[id] and taken[id][message] then return false end
  local known = call('HGET', tag .. 'mail:' .. id, message)
  if known then return known ~= '' end
  call('RPUSH', tag .. 'inbox:' .. id, message)
  call('HSET', tag .. 'mail:' .. id, message, text)
  return true
end

local function take_all()
  for id, messages in pairs(taken) do
    for message, times in pairs(messages) do
      call('LREM', tag .. 'inbox:' .. id, times, message)
      -- The id stays: a message is delivered once per id.
      call('HSET', tag .. 'mail:' .. id, message, '')
    end
  end
end

-- Phase 2: write.
local changed = {}
for b = 1, count do
  if applies[b] then
    local s = starts[b]
    local id = ARGV[s]
    local n = places[id]
    local old = runs[n] or nil
    local records, posts, takes = tonumber(ARGV[s + 10]), tonumber(ARGV[s + 11]), tonumber(ARGV[s + 12])
    local old_mail = old and old.mail or false
    local mail = old_mail
    local item = s + 13 + records
    if takes > 0 then mail = take(id, item + 2 * posts, item + 2 * posts + takes - 1) end
    for i = item, item + 2 * posts - 1, 2 do
      if post(id, ARGV[i], ARGV[i + 1]) then
        mail = true
        hint = true
      end
    end
    local old_place, place
    if ARGV[s + 2] ~= '' then
      local ttl, wake, text = ARGV[s + 6], ARGV[s + 7], ARGV[s + 8]
      local ends = ttl == NONE and NONE or ends_after(ttl)
      local stands
      if old and old.place == text and stands_early(old, mail, wake, ends) then
        -- The way of every step: nothing moves.
        stands = old.stands
      else
        place = parse_place(text)
        old_place = old and parse_place(old.place)
        reindex(id, old_place, place)
        stands = settle(id, old, old_place, place, mail, wake, ends)
      end
      if records > 0 then append(id, ARGV[s + 4], s + 13, s + 12 + records) end
      local value = compose(mail, stands, ends, ttl, wake, ARGV[s + 2], ARGV[s + 3], ARGV[s + 5], text, ARGV[s + 9])
      runs[n] = {
        mail = mail, stands = stands, ends = ends, ttl = ttl, wake = wake, version = ARGV[s + 2], fence = ARGV[s + 3],
        next_seq = ARGV[s + 5], place = text, value = value,
      }
      changed[n] = true
    elseif mail ~= old_mail then
      place = parse_place(old.place)
      old.stands = settle(id, old, place, place, mail, old.wake, old.ends)
      old.value = 'm' .. old.stands .. sub(old.value, 18)
      changed[n] = true
    end
    if mail and not old_mail then
      put('with-mail', 0, age(place or parse_place(runs[n].place), id))
    elseif old_mail and not mail then
      drop('with-mail', age(place or parse_place(runs[n].place), id))
    end
    runs[n].mail = mail
  end
end
local writes = {}
for n = 1, #ids do
  if changed[n] then
    writes[#writes + 1] = keys[n]
    writes[#writes + 1] = runs[n].value
  end
end
for first = 1, #writes, 2000 do
  call('MSET', unpack(writes, first, math.min(first + 1999, #writes)))
end
take_all()
keep_count()
drop_all()
tell(ARGV[3])
return table.concat(verdicts, ' ')
