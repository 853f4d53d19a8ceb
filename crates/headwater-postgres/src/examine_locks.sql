-- Who holds tables of the log so that others can neither write nor, where it says so, read them. Of a statement only its
-- first word, since its text may hold anything.
select string_agg(distinct c.relname, ', ') as tables,
       bool_or(l.mode = 'AccessExclusiveLock') as hides,
       l.virtualtransaction as name,
       a.pid,
       coalesce(a.application_name, '') as application,
       coalesce(a.usename::text, p.owner::text, '') as role,
       coalesce(host(a.client_addr), '') as client,
       coalesce(a.state, '') as state,
       lower(substring(a.query from '^\s*([A-Za-z]{1,20})\M')) as word,
       p.gid as prepared,
       coalesce(a.xact_start, p.prepared) as since,
       extract(epoch from now() - coalesce(a.xact_start, p.prepared))::float8 as seconds
from pg_locks l
join pg_class c on c.oid = l.relation and c.relkind = 'r' and c.relnamespace = '{schema}'::regnamespace
left join pg_stat_activity a on a.pid = l.pid
left join pg_prepared_xacts p on l.pid is null and l.virtualtransaction = '-1/' || p.transaction
where l.locktype = 'relation'
  and l.database = (select d.oid from pg_database d where d.datname = current_database())
  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and l.granted
group by 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
order by 11
limit 20
