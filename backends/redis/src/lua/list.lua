-- Reads sets of the scan's order in one moment, so that a run that moves from one to another is seen in one of them.
-- ARGV[3]: 'oldest' or 'newest'. ARGV[4]: the bound to begin behind, '' for the beginning. ARGV[5]: how many of each.
-- Then the names of the sets. Answers the shard's time, then the members of each set.
local answer = { digits(now) }
for i = 6, #ARGV do
  if ARGV[3] == 'oldest' then
    local from = ARGV[4] == '' and '-' or '(' .. ARGV[4]
    answer[#answer + 1] = call('ZRANGE', tag .. ARGV[i], from, '+', 'BYLEX', 'LIMIT', 0, ARGV[5])
  else
    local from = ARGV[4] == '' and '+' or '(' .. ARGV[4]
    answer[#answer + 1] = call('ZRANGE', tag .. ARGV[i], from, '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[5])
  end
end
return answer
