-- Who holds tables of the log so that others can neither write nor, where it says so, read them; or waits to, so that
-- everybody behind it waits as well. Of a statement only its first word, since its text may hold anything.
select string_agg(distinct c.relname, ', ') filter (where l.granted) as held,
       string_agg(distinct c.relname, ', ') filter (where not l.granted) as awaited,
       bool_or(l.mode = 'AccessExclusiveLock'
               and c.relname in ('events', 'streams', 'checkpoints', 'settled', 'identity', 'leases', 'instances', 'parked',
                                 'inline_projections', 'subscriptions', 'migrations')) as hides,
       case when bool_or(not l.granted) then array_to_string(pg_blocking_pids(l.pid), ', ') end as behind,
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
group by l.pid, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
order by 13
limit 20
