-- Reads sets of the scan's order in one moment, so that a run that moves from one to another is seen in one of them.
-- ARGV[3]: 'oldest' or 'newest'. ARGV[4]: the bound to begin behind, '' for the beginning. ARGV[5]: how many of each.
-- ARGV[6]: a workflow whose set will do as well, '' for none. Then the names of the sets.
-- Answers the shard's time, then the members of each set.
local sets = {}
local size = 0
for i = 7, #ARGV do
  sets[#sets + 1] = ARGV[i]
  if ARGV[6] ~= '' then size = size + call('ZCARD', tag .. ARGV[i]) end
end
if ARGV[6] ~= '' and call('ZCARD', tag .. 'workflow:' .. ARGV[6]) < size and counts_if_right() then
  sets = { 'workflow:' .. ARGV[6] }
end
local answer = { digits(now) }
for i = 1, #sets do
  if ARGV[3] == 'oldest' then
    local from = ARGV[4] == '' and '-' or '(' .. ARGV[4]
    answer[#answer + 1] = call('ZRANGE', tag .. sets[i], from, '+', 'BYLEX', 'LIMIT', 0, ARGV[5])
  else
    local from = ARGV[4] == '' and '+' or '(' .. ARGV[4]
    answer[#answer + 1] = call('ZRANGE', tag .. sets[i], from, '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[5])
  end
end
return answer
