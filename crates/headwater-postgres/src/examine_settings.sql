select s.name, s.setting
from pg_settings s
where s.name in ('fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum', 'max_connections',
                 'superuser_reserved_connections', 'default_transaction_read_only', 'data_checksums',
                 'zero_damaged_pages', 'ignore_checksum_failure', 'track_activities')
union all
-- What the role and the database start with: the session of this examination may have its own.
select s.name, s.reset_val
from pg_settings s
where s.name = 'idle_in_transaction_session_timeout'
