-- Whom the function ceiling waits for. Of a statement only its first word, since its text may hold anything.
select l.virtualtransaction as name,
       a.pid,
       coalesce(a.application_name, '') as application,
       coalesce(a.usename::text, p.owner::text, '') as role,
       coalesce(host(a.client_addr), '') as client,
       coalesce(a.state, '') as state,
       lower(substring(a.query from '^\s*([A-Za-z]{1,20})\M')) as word,
       p.gid as prepared,
       coalesce(a.xact_start, p.prepared) as since,
       extract(epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8 as seconds
from pg_locks l
left join pg_stat_activity a on a.pid = l.pid
left join pg_prepared_xacts p on l.pid is null and l.virtualtransaction = '-1/' || p.transaction
where l.locktype = 'relation'
  and l.database = (select d.oid from pg_database d where d.datname = current_database())
  and l.relation = '{schema}.events'::regclass
  and l.mode = 'RowExclusiveLock'
  and l.granted
order by 9
limit 20
