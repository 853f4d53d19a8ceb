delete from parked
where substr(projection, 1, length($1) + 1) = $1 || '/' and generation = $2
