select name, position, id, updated_at,
       incarnation = (select incarnation from identity)
           and (event_id is null or exists (
               select 1 from events e where e.position = event_position and e.id = event_id)) as of_this_log
from subscriptions
where $1 is null or name = $1
order by name
