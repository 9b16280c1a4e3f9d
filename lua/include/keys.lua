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

-- Those of another session of the tenant, in the same table: most of what is in it stays.
local function rekey(k, id)
  k.id = id
  k.member = k.tenant .. '/' .. id
  k.session = k.own .. 'session:' .. id
  k.lease = k.own .. 'lease:' .. id
  k.log = k.own .. 'log:' .. id .. ':'
  k.token = k.own .. 'token:' .. id
  k.tokens = k.own .. 'tokens:' .. id
  k.families = k.own .. 'families:' .. id
  return k
end

-- Tenant and id of a member of a partition's sorted set, "<tenant>/<id>"; nil where it is none.
local function member_names(member)
  return string.match(member, '^([^/]+)/(.+)$')
end

-- The keys of the session that such a member names.
local function member_keys(prefix, member)
  local tenant, id = member_names(member)
  if not tenant then
    return nil
  end
  return session_keys(prefix, tenant, id)
end
