update checkpoints
set state = 'live',
    failed_position = null,
    failed_event_id = null,
    error = null
where projection = $1 and generation = $2 and state = 'building'
