-- Takes a session out of the places that its tenant's live sessions take, if it is in them: see place.lua.
local function free_place(k)
  if redis.call('HGET', k.places, k.id) then
    -- @include include/place
    leave_place(k, place_of(k))
  end
end
