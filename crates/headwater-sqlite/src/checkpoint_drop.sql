delete from checkpoints
where projection = $1 and generation = $2 and state <> 'live'
