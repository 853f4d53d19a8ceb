update subscriptions as s
set position = $3,
    event_id = newest.id,
    event_position = coalesce(newest.position, 0),
    updated_at = $4
from identity
left join (
    select id, position
    from events
    where position <= $3
    order by position desc
    limit 1
) as newest on true
where s.name = $1 and s.epoch = $2 and s.position <= $3 and s.incarnation = identity.incarnation
  and (s.event_id is null or exists (
      select 1 from events e where e.position = s.event_position and e.id = s.event_id))
