delete from checkpoints
where (projection = $1 or substr(projection, 1, length($1) + 1) = $1 || '/') and generation = $2 and state <> 'live'
