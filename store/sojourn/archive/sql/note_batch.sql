-- Counts a batch of a partition, in the transaction that stores it.
INSERT INTO sojourn.partitions AS held (number, batches) VALUES (%(number)s, 1)
ON CONFLICT (number) DO UPDATE SET batches = held.batches + 1, archived_at = now()
RETURNING batches, archived_at
