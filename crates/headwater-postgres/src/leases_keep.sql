with there as (
    insert into {schema}.instances (id, name, process, runs, until)
    values ($1, $2, $7, $3, clock_timestamp() + $4)
    on conflict (id) do update set until = excluded.until
), gone as (
    delete from {schema}.instances
    where id <> $1 and until < clock_timestamp() - interval '1 minute'
), given_up as (
    delete from {schema}.leases
    where (projection, work) not in (select * from unnest($5::text[], $6::text[]))
      and (owner = $1 or until < clock_timestamp() - interval '1 minute')
)
insert into {schema}.leases as lease (projection, work, owner, until)
select projection, work, $1, clock_timestamp() + $4
from unnest($5::text[], $6::text[]) as wanted (projection, work)
order by projection, work
on conflict (projection, work) do update set owner = excluded.owner, until = excluded.until
where lease.owner = excluded.owner or lease.until <= clock_timestamp()
returning projection, work
