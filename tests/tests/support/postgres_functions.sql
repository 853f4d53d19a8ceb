-- A row for each function of the schema $1.
select rtrim(pg_get_functiondef(p.oid), E'\n') || ';'
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where n.nspname = $1 and p.prokind in ('f', 'p')
order by p.proname collate "C", pg_get_function_identity_arguments(p.oid) collate "C"
