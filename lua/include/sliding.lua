-- What a write takes that slides the deadline, for scripts of which few do: see slide.lua.
local function sliding()
  -- @include include/slide
  return slide_with, place_deadline
end
