delete from {schema}.checkpoints
where split_part(projection, '/', 1) = $1 and projection <> $1 and generation = $2 and state = 'building'
