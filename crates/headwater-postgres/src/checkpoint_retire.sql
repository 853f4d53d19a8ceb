update {schema}.checkpoints
set state = 'retired',
    updated_at = clock_timestamp()
where split_part(projection, '/', 1) = $1 and state = 'live'
returning paused
