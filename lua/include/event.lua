-- @include include/clock
-- Appends one event to the partition's outbox. The fields are always the same ones in the same order, which the
-- stream's encoding stores once. `version` is a text; `changes` a JSON object of the fields that the write changed, or
-- ''; `before` one of the texts that they held until then (null for none), by which history can be gone back in.
local function emit(k, event, kind, version, now, actor, trace, changes, before)
  redis.call('XADD', k.events, '*', 'type', event, 'tenant', k.tenant, 'id', k.id, 'kind', kind,
    'version', version, 'at_ms', text(now), 'actor', actor, 'trace', trace, 'changes', changes, 'before', before)
end
