-- What was taken out of a record that was read whole: the last field takes its place. See whole.lua.
local function drop(core, names)
  local flat, at = core.flat, core.at
  for _, name in ipairs(names) do
    local place, last = at[name] or 0, #flat
    if place > 0 then
      flat[place - 1], flat[place], at[flat[last - 1]] = flat[last - 1], flat[last], place
      flat[last - 1], flat[last], at[name] = nil, nil, 0
    end
  end
end
