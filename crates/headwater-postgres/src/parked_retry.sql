update {schema}.parked
set retry = true
where projection = $1 and generation = $2 and ($3::text is null or stream = $3)
