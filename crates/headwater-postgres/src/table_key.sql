select attribute.attname::text
from pg_catalog.pg_index as key
join pg_catalog.pg_attribute as attribute
    on attribute.attrelid = key.indrelid and attribute.attnum = any (key.indkey)
where key.indrelid = $1::regclass and key.indisprimary
order by attribute.attnum
