insert into streams (stream, category, version)
select value ->> 0, value ->> 1, value ->> 2
from json_each($1)
where true
on conflict (stream) do update set version = excluded.version
