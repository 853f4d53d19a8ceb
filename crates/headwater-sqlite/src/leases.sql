select projection, work, owner, until - $1 as micros_left, null as name, null as process, null as runs
from leases
union all
select null, null, id, until - $1, name, process, runs
from instances
where until > $1
order by 1, 2, 3
