-- The keys of one session, from its partition's prefix ("sojourn:{07}:"). The Lua twin of keys.py; a test holds the two
-- together. Scripts derive keys because claims, settles and index moves only learn in Redis which ones they need;
-- all of them carry the partition's hash tag, so they live on one node. A script spells those that it names somewhere:
-- see assembly.py.
local function session_keys(prefix, tenant, id)
  local own = prefix .. tenant .. ':'
  return {
    prefix = prefix,
    own = own,
    tenant = tenant,
    id = id,
    member = tenant .. '/' .. id,
    session = own .. 'session:' .. id,
    lease = own .. 'lease:' .. id,
    log = own .. 'log:' .. id .. ':',
    token = own .. 'token:' .. id,
    tokens = own .. 'tokens:' .. id,
    families = own .. 'families:' .. id,
    index = own .. 'index:',
    kinds = own .. 'kinds',
    limits = own .. 'limits',
    live = own .. 'live',
    places = own .. 'places',
    stats = own .. 'stats',
    calls = own .. 'calls',
    deadlines = prefix .. 'deadlines',
    dirty = prefix .. 'dirty',
    removals = prefix .. 'removals',
    lost = prefix .. 'lost',
    counts = prefix .. 'counts',
    operations = prefix .. 'operations',
    events = prefix .. 'events',
    guard = prefix .. '/guard',
    removed = prefix .. '/removed',
    sweeps = prefix .. '/sweeps',
  }
end

-- The same from a member of a partition's sorted set, "<tenant>/<id>".
local function member_keys(prefix, member)
  local tenant, id = string.match(member, '^([^/]+)/(.+)$')
  if not tenant then
    return nil
  end
  return session_keys(prefix, tenant, id)
end
