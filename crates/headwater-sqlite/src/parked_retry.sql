update parked
set retry = 1
where projection = $1 and generation = $2 and ($3 is null or stream = $3)
