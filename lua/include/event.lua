-- @include include/clock
-- Appends one event to the partition's outbox. The fields are always the same ones in the same order, which the
-- stream's encoding stores once. `changes` is a JSON object of the fields that the write changed, or ''.
local function emit(k, event, kind, version, now, actor, trace, changes)
  redis.call('XADD', k.events, '*', 'type', event, 'tenant', k.tenant, 'id', k.id, 'kind', kind,
    'version', text(version), 'at_ms', text(now), 'actor', actor, 'trace', trace, 'changes', changes)
end
