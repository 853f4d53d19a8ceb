-- A row for each object of the schema $1 that the other descriptions leave out.
select format('-- %s %I', o.kind, o.name)
from (
    select 'sequence' as kind, c.relname as name
    from pg_class c
    where c.relnamespace = to_regnamespace($1) and c.relkind = 'S'
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i')
    union all
    select 'relation of kind ' || c.relkind::text, c.relname
    from pg_class c
    where c.relnamespace = to_regnamespace($1) and c.relkind not in ('r', 'p', 'v', 'm', 'i', 'I', 'S', 't')
    union all
    select 'type', t.typname
    from pg_type t
    where t.typnamespace = to_regnamespace($1) and t.typtype in ('d', 'e', 'r')
    union all
    select 'policy', p.polname
    from pg_policy p
    join pg_class c on c.oid = p.polrelid
    where c.relnamespace = to_regnamespace($1)
    union all
    select 'rights of ' || c.relname || ': ' || array_to_string(c.relacl, ', '), ''
    from pg_class c
    where c.relnamespace = to_regnamespace($1) and c.relacl is not null
) o
order by o.kind collate "C", o.name collate "C"
