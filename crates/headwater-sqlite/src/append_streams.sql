insert into streams (stream, version)
select value ->> 0, value ->> 1
from json_each($1)
where true
on conflict (stream) do update set version = excluded.version
