select id, min(position), max(position)
from {schema}.events
group by id
having count(*) > 1
order by 2
limit $1
