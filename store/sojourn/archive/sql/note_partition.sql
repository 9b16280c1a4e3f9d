-- The last event of a partition that is archived; it only goes back where `force` says so.
INSERT INTO sojourn.partitions AS held (number, last_ms, last_sequence)
VALUES (%(number)s, %(last_ms)s, %(last_sequence)s)
ON CONFLICT (number) DO UPDATE SET
    last_ms = excluded.last_ms,
    last_sequence = excluded.last_sequence,
    archived_at = now()
WHERE %(force)s OR (held.last_ms, held.last_sequence) < (excluded.last_ms, excluded.last_sequence)
