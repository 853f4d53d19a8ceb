update {schema}.checkpoints
set state = 'retired'
where split_part(projection, '/', 1) = $1 and state = 'live'
returning paused
