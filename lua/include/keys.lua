-- The keys of one session, from its partition's prefix ("sojourn:{07}:"). The Lua twin of keys.py; a test holds the two
-- together. Scripts derive keys because claims, settles and index moves only learn in Redis which ones they need;
-- all of them carry the partition's hash tag, so they live on one node. Each is spelled when it is first asked for: a
-- call needs few of them.
local function spelled(k, name)
  local own, key = k.own, nil
  if name == 'session' or name == 'lease' or name == 'tokens'
    or name == 'token' or name == 'families' then
    key = own .. name .. ':' .. k.id
  elseif name == 'log' then
    key = own .. 'log:' .. k.id .. ':'
  elseif name == 'member' then
    key = k.tenant .. '/' .. k.id
  elseif name == 'index' or name == 'rate' or name == 'told' then
    key = own .. name .. ':'
  elseif name == 'kinds' or name == 'limits' or name == 'live' or name == 'places' or name == 'stats'
    or name == 'calls' then
    key = own .. name
  elseif name == 'deadlines' or name == 'dirty' or name == 'removals' or name == 'lost' or name == 'counts'
    or name == 'operations' or name == 'events' then
    key = k.prefix .. name
  elseif name == 'guard' or name == 'removed' or name == 'sweeps' then
    key = k.prefix .. '/' .. name
  else
    error('no key is called ' .. tostring(name))
  end
  k[name] = key
  return key
end

local SPELLED = { __index = spelled }

local function session_keys(prefix, tenant, id)
  return setmetatable({ tenant = tenant, id = id, prefix = prefix, own = prefix .. tenant .. ':' }, SPELLED)
end

-- The same from a member of a partition's sorted set, "<tenant>/<id>".
local function member_keys(prefix, member)
  local tenant, id = string.match(member, '^([^/]+)/(.+)$')
  if not tenant then
    return nil
  end
  return session_keys(prefix, tenant, id)
end
