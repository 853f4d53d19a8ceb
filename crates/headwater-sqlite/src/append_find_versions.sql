-- The first row is the last position that was drawn.
select null, (select coalesce(max(seq), 0) from sqlite_sequence where name = 'events')
union all
select stream, version
from streams
where stream in (select value from json_each($1))
