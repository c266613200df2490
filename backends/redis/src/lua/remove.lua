-- ARGV[3] and on: ids. Deletes the finished ones among them with all they have, and answers how many.
local FINISHED = { succeeded = true, failed = true, cancelled = true }
local removed = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local run = parse(call('GET', tag .. 'head:' .. id))
  local place = run and parse_place(run.place)
  if run and FINISHED[place.status] then
    reindex(id, place, nil)
    if run.mail then drop('with-mail', age(place, id)) end
    call('UNLINK', tag .. 'head:' .. id, tag .. 'journal:' .. id, tag .. 'inbox:' .. id, tag .. 'mail:' .. id)
    removed = removed + 1
  end
end
keep_count()
drop_all()
return removed
