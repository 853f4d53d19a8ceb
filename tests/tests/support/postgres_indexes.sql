-- A row for each index of the schema $1 that is no part of a constraint.
select pg_get_indexdef(i.indexrelid) || ';'
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1
  and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
order by c.relname collate "C"
