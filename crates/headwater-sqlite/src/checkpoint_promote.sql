update checkpoints
set state = 'live',
    paused = $3,
    held_back = 0,
    rebuild_asked = null,
    failed_position = null,
    failed_event_id = null,
    error = null,
    error_code = null
where projection = $1 and generation = $2 and state = 'building'
