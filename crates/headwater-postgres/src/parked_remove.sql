delete from {schema}.parked
where projection = $1 and generation = $2 and event_id = $3
