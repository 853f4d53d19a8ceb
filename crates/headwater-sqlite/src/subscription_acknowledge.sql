update subscriptions as s
set position = $4,
    event_id = newest.id,
    event_position = coalesce(newest.position, 0),
    updated_at = $7
from identity
left join (
    select id, position
    from events
    where position <= $4
    order by position desc
    limit 1
) as newest on true
where s.name = $1 and s.id = $2 and s.position >= $3 and s.position < $4
  and s.incarnation = identity.incarnation
  and (s.event_id is null or exists (
      select 1 from events e where e.position = s.event_position and e.id = s.event_id))
  and ($5 is null or exists (select 1 from events e where e.position = $6 and e.id = $5))
  and exists (select 1 from events e where e.position >= $4)
returning name, position, id, updated_at, 1 as of_this_log
