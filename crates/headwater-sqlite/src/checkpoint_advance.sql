update checkpoints
set position = $6,
    event_id = coalesce(last_id, event_id),
    event_position = coalesce(last_position, event_position),
    failed_position = null,
    failed_event_id = null,
    error = null,
    error_code = null,
    updated_at = $7
from (select 1) as one
left join (
    select id as last_id, events.position as last_position
    from events
    where events.position <= $6
    order by events.position desc
    limit 1
) as newest on true
where projection = $1 and generation = $2 and state = $3 and epoch = $4 and position = $5
  and state <> 'retired' and paused = 0
returning event_id, event_position
