update parked
set retry = 1
where projection = $1 and generation = $2
