-- @include include/place
-- Notes that a live session was used, has grown by `bytes`, and is that owner's; after the write.
local function keep_place(k, now, bytes, owner)
  local held, whose = place_of(k)
  if held and bytes == 0 and whose == owner then
    use_place(k, now)
  elseif held then
    take_place(k, now, math.max(held + bytes, 0), owner)
  end
end
