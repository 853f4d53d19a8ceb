-- A row for each view of the schema $1: the types of its columns, and its query.
--
-- PostgreSQL 15 puts the table before each column of a view over one table, later versions do not.
select format(
           E'-- columns: %s\ncreate view %s.%I as\n%s',
           (select string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
            from pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0),
           n.nspname, c.relname,
           regexp_replace(pg_get_viewdef(c.oid), '(?<![\w.])' || b.tables || '\.(?=[\w"])', '', 'g'))
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join lateral (
    select '(?:' || string_agg(distinct t.relname, '|') || ')' as tables
    from pg_rewrite r
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
    join pg_class t on d.refclassid = 'pg_class'::regclass and t.oid = d.refobjid and t.oid <> c.oid
    where r.ev_class = c.oid
) b
where n.nspname = $1 and c.relkind in ('v', 'm')
order by c.relname collate "C"
