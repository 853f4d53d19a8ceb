update checkpoints
set position = $6,
    event_id = coalesce((select id from events where events.position <= $6 order by events.position desc limit 1), $7, event_id),
    event_position = coalesce((select max(events.position) from events where events.position <= $6), $8, event_position),
    failed_position = null,
    failed_event_id = null,
    error = null,
    error_code = null,
    updated_at = $9
where projection = $1 and generation = $2 and state = $3 and epoch = $4 and position = $5
  and state in ('building', 'live') and paused = 0
