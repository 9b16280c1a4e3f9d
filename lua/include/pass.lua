-- @include include/price
-- Takes a token for a call on a session, or for one on what is not there (`core` is nil): the error reply where a rate
-- refuses it.
local function pass(k, limits, core)
  local payment, refusal = price(k, limits, { 'operations', 'owner_operations' }, core and core.owner or '')
  if payment then
    pay(payment)
  end
  return refusal
end
