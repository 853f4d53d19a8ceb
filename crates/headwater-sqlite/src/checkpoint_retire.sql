update checkpoints
set state = 'retired'
where (projection = $1 or substr(projection, 1, length($1) + 1) = $1 || '/') and state = 'live'
returning paused
