-- The statuses that there are.
local LIVE = { pending = true, in_progress = true }
local ENDED = { completed = true, failed = true, terminated = true, expired = true, deleted = true }
