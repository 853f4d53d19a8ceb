-- A row for each trigger on a table of the schema $1, with the sessions that it fires in.
select format(
           E'%s;\nalter table %s.%I %s trigger %I;',
           pg_get_triggerdef(t.oid), n.nspname, c.relname,
           case t.tgenabled when 'O' then 'enable' when 'A' then 'enable always'
                            when 'R' then 'enable replica' when 'D' then 'disable' end,
           t.tgname)
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and not t.tgisinternal
order by c.relname collate "C", t.tgname collate "C"
