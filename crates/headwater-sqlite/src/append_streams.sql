insert into streams (stream, version)
select key, value
from json_each($1)
where true
on conflict (stream) do update set version = excluded.version
