select name, position, id, updated_at,
       incarnation = (select incarnation from {schema}.identity)
           and (event_id is null or exists (
               select 1 from {schema}.events e where e.position = event_position and e.id = event_id)) as of_this_log
from {schema}.subscriptions
where $1::text is null or name = $1
order by name
