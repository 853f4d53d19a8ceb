update {schema}.parked
set retry = true
where projection = $1 and generation = $2
