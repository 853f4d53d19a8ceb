update checkpoints
set state = 'retired'
where projection = $1 and state = 'live'
returning paused
