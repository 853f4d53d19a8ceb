select '' as name,
       a.pid,
       coalesce(a.application_name, '') as application,
       coalesce(a.usename::text, '') as role,
       coalesce(host(a.client_addr), '') as client,
       coalesce(a.state, '') as state,
       lower(substring(a.query from '^\s*([A-Za-z]{1,20})\M')) as word,
       null::text as prepared,
       a.xact_start as since,
       extract(epoch from clock_timestamp() - a.state_change)::float8 as seconds
from pg_stat_activity a
where a.datname = current_database()
  and a.state in ('idle in transaction', 'idle in transaction (aborted)')
  and a.state_change < clock_timestamp() - interval '1 minute'
  and not exists (select from pg_locks l
                  where l.pid = a.pid
                    and l.relation = '{schema}.events'::regclass
                    and l.mode = 'RowExclusiveLock')
order by a.state_change
limit 20
