update {schema}.checkpoints
set failed_position = $4,
    failed_event_id = $5,
    error = $6,
    error_code = $8
where projection = $1 and generation = $2 and epoch = $3 and position = $7
