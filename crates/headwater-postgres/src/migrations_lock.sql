-- Ends with the transaction, so it works through a pooler and cannot be left behind.
select pg_advisory_xact_lock(hashtextextended('headwater.migrate.' || $1, 0))
