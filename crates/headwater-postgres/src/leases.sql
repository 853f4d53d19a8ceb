select projection,
       work,
       owner,
       extract(epoch from until - clock_timestamp())::float8 as seconds_left,
       null::text as name,
       null::text as process,
       null::uuid[] as runs
from {schema}.leases
union all
select null,
       null,
       id,
       extract(epoch from until - clock_timestamp())::float8,
       name,
       process,
       runs
from {schema}.instances
where until > clock_timestamp()
order by projection, work, owner
