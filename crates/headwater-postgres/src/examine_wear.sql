select c.relname::text as name,
       coalesce(t.n_live_tup, 0) as live,
       coalesce(t.n_dead_tup, 0) as dead,
       coalesce(c.reloptions, '{}') && array['autovacuum_enabled=false', 'autovacuum_enabled=off'] as neglected
from pg_class c
left join pg_stat_user_tables t on t.relid = c.oid
where c.relnamespace = '{schema}'::regnamespace and c.relkind = 'r'
order by 1
