insert into leases (projection, work, owner, until)
select wanted.value ->> 0, wanted.value ->> 1, $1, $2
from json_each($3) as wanted
where true
on conflict (projection, work) do update set owner = excluded.owner, until = excluded.until
where leases.owner = excluded.owner or leases.until <= $4
returning projection, work
