-- A notification takes part in a commit; one that is lost is no loss, so nobody waits for the disk.
select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)
