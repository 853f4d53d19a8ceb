select s.stream,
       s.version,
       (select e.recorded_at from events e where e.stream = s.stream and e.version = 1) as first_at,
       (select e.recorded_at from events e where e.stream = s.stream and e.version = s.version) as last_at
from streams s
where s.stream > $1 and s.stream < $2
order by s.stream
limit $3
